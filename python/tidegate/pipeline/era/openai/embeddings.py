"""`POST /v1/embeddings`: texts to numbers by an `embed` tool, as many at a time as such a tool takes.

Taken from "Create embeddings" of OpenAI's API reference. The numbers are passed on as the tool wrote them.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Any, Final

from tidegate.errors import TooLarge, UpstreamProtocol
from tidegate.pipeline.codec import array_spans, find_member
from tidegate.pipeline.era.openai.model_names import model_of
from tidegate.pipeline.era.openai.parameters import BadParameter, text, whole
from tidegate.pipeline.era.openai.tool_result import ServedBy, ToolFailed, count_of, structured_of
from tidegate.pipeline.json_text import json_bytes, json_value

AT_ONCE: Final = 64
"""Texts in one call of a tool."""
_MOST_TEXTS: Final = 2048
"""As for the original."""
_MOST_DIMENSIONS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    model: str
    texts: list[str]
    base64: bool
    dimensions: int | None


def read_embeddings(values: dict[str, Any]) -> EmbeddingsRequest:
    """Raises: BadParameter."""
    form = text(values, "encoding_format")
    if form not in (None, "float", "base64"):
        raise BadParameter("`encoding_format` must be `float` or `base64`", "encoding_format")
    dimensions = whole(values, "dimensions", low=1, high=_MOST_DIMENSIONS)
    return EmbeddingsRequest(model_of(values), _texts(values.get("input")), form == "base64", dimensions)


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 0 < len(texts) <= _MOST_TEXTS:
        raise BadParameter(f"`input` must be a string or a list of 1 to {_MOST_TEXTS} strings", "input")
    if any(isinstance(one, int | list) for one in texts):
        raise BadParameter("`input` must be text; tokens of another model mean nothing to this one", "input")
    if not all(isinstance(one, str) and one for one in texts):
        raise BadParameter("each `input` must be a string, and not an empty one", "input")
    return texts


class Embeddings:
    """The answer, gathered from one result after the other."""

    __slots__ = ("_asked", "_bytes", "_dimensions", "_model", "_most_bytes", "_rows", "_tokens", "_tool", "served_by")

    def __init__(self, asked: EmbeddingsRequest, tool: str, most_bytes: int) -> None:
        self._asked = asked
        self._tool = tool
        self._most_bytes = most_bytes
        self._rows: list[bytes] = []
        self._bytes = 0
        self._tokens: int | None = 0
        self._model: object = None
        self._dimensions = 0
        self.served_by: ServedBy | None = None

    def next_arguments(self) -> bytes | None:
        """For the call of the tool that comes next; None when all is there."""
        done = len(self._rows)
        texts = self._asked.texts[done : done + AT_ONCE]
        return json_bytes({"texts": texts}) if texts else None

    def take(self, result: bytes) -> None:
        """The result of that call. Raises: ToolFailed, UpstreamProtocol, TooLarge, BadParameter."""
        at = find_member(result, "structuredContent")
        rows_at = (
            find_member(result, "embeddings", *at) if at is not None and result[at[0] : at[0] + 1] == b"{" else None
        )
        if at is None or rows_at is None or result[rows_at[0] : rows_at[0] + 1] != b"[":
            structured_of(json_value(result))
            raise self._odd("answered without embeddings")
        failed = find_member(result, "isError")
        if failed is not None and result[failed[0] : failed[1]] == b"true":
            raise ToolFailed(f"tool `{self._tool}` failed")
        wanted = min(AT_ONCE, len(self._asked.texts) - len(self._rows))
        rows = [result[start:end] for start, end in array_spans(result, *rows_at)]
        if len(rows) != wanted:
            raise self._odd(f"answered {len(rows)} embeddings for {wanted} texts")
        first = not self._rows
        for row in rows:
            self._add(row)
        self._check(result, at, first=first)

    def _add(self, row: bytes) -> None:
        size = len(array_spans(row)) if row.startswith(b"[") else 0
        if size == 0 or (self._dimensions and size != self._dimensions):
            raise self._odd("answered embeddings of different lengths, or none")
        self._dimensions = size
        wanted = self._asked.dimensions
        if wanted is not None and wanted != size:
            raise BadParameter(f"the model has {size} `dimensions`, no more and no fewer", "dimensions")
        encoded = self._encoded(row) if self._asked.base64 else row
        self._bytes += len(encoded)
        if self._bytes > self._most_bytes:
            raise TooLarge(f"the answer is longer than `result_bytes` ({self._most_bytes} bytes): send fewer texts")
        self._rows.append(encoded)

    def _encoded(self, row: bytes) -> bytes:
        """32-bit floats, little-endian, as a JSON string in base64."""
        try:
            values = json_value(row)
            return b'"' + base64.b64encode(struct.pack(f"<{len(values)}f", *values)) + b'"'
        except (struct.error, OverflowError) as error:
            raise self._odd("answered embeddings that are no numbers") from error

    def _check(self, result: bytes, at: tuple[int, int], *, first: bool) -> None:
        """Embeddings of different models have nothing to do with each other."""
        model = _member(result, "model", at)
        tokens = count_of(_member(result, "usage", at), "input_tokens")
        self._tokens = self._tokens + tokens if self._tokens is not None and tokens is not None else None
        if first:
            self._model = model
            meta = find_member(result, "_meta")
            said = json_value(result[meta[0] : meta[1]]) if meta is not None else None
            self.served_by = ServedBy({"_meta": said}, self._tool)
        elif model != self._model:
            raise self._odd("answered by another model in the middle")

    def body(self) -> bytes:
        rows = b",".join(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (index, row) for index, row in enumerate(self._rows)
        )
        tokens = self._tokens or 0
        said = {
            "model": self._asked.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "tidegate": {"served_by": self.served_by.said if self.served_by is not None else None},
        }
        return b'{"object":"list","data":[' + rows + b"]," + json_bytes(said)[1:]

    def _odd(self, what: str) -> UpstreamProtocol:
        return UpstreamProtocol(f"tool `{self._tool}` {what}, so it is no tool to embed with")


def _member(result: bytes, name: str, at: tuple[int, int]) -> object:
    span = find_member(result, name, *at)
    found: object = json_value(result[span[0] : span[1]]) if span is not None else None
    return found
