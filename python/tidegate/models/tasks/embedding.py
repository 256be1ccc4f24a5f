"""Text embedding and semantic search, by an ONNX text model with its tokenizer.

The model gives a vector for each token, which are pooled; texts that mean the same lie close together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed
from tidegate.models.embed_call import KINDS, MODEL, TEXTS, USAGE, embed_tool
from tidegate.models.inputs.arguments import how_many, one_text, several_texts
from tidegate.models.inputs.tokens import Encoded
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.encoder import TextEncoder
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOCUMENTS: Final = 256
"""Of one call of `search`."""
TOP: Final = 5
"""Results of `search` unless the caller asks for more or fewer."""
DIGITS: Final = 7
"""After the point, of a number in an answer: what float32 has to say of a vector of length 1."""


class Embedding:
    """`embed`: texts -> vectors. `search`: a query and documents -> the documents, best first."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        settings = Settings(manifest)
        self._manifest = manifest
        self._place = place
        self._pooling = settings.choice("pooling", ("mean", "first", "last", "max", "none"), "mean")
        """How token vectors become one; `none`: the model has done it."""
        self._normalised = settings.flag("normalised", True)
        """Whether vectors are brought to length 1."""
        self._max_tokens = settings.whole("max_tokens", 256, low=3, high=32768)
        """Of one text; what is beyond is not read, and the answer says so."""
        self._lowercase = settings.flag("lowercase", True)
        """Only for a tokenizer given as `vocab.txt`."""
        self._output = settings.text("output", "")
        """Which output of the model; empty: its first."""
        self._prefixes = (settings.text("document_prefix", ""), settings.text("query_prefix", ""))
        """Words that some models want before a text that is searched, and before one that is searched for."""
        settings.done()
        manifest.file("model")
        manifest.file("tokenizer")
        self._encoder: TextEncoder | None = None
        self._tools = (embed_tool(any(self._prefixes)), _search_tool())

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        most_bytes = self._manifest.limits.input_bytes
        if tool == "search":
            query = one_text(arguments.get("query"), "query", most_bytes)
            documents = several_texts(arguments.get("documents"), "documents", DOCUMENTS, most_bytes)
            top = how_many(arguments, min(TOP, len(documents)), DOCUMENTS)
            texts = [self._prefixes[1] + query, *(self._prefixes[0] + document for document in documents)]
            return Job(tool, (texts, documents, top), group=tool, weight=len(texts))
        texts = several_texts(arguments.get("texts"), "texts", TEXTS, most_bytes)
        kind = arguments.get("kind", "document")
        if kind not in KINDS:
            raise BadInput("`kind` must be `document` or `query`")
        prefix = self._prefixes[KINDS.index(kind)]
        return Job(tool, ([prefix + text for text in texts], (), 0), group=tool, weight=len(texts))

    def load(self, threads: int) -> None:
        if self._encoder is None:
            self._encoder = TextEncoder.open(
                self._manifest,
                self._place,
                threads,
                max_tokens=self._max_tokens,
                lowercase=self._lowercase,
                output=self._output,
            )

    def unload(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        import numpy as np

        assert self._encoder is not None
        owners = [number for number, job in enumerate(jobs) for _ in job.payload[0]]
        rows = self._encoder.encode([text for job in jobs for text in job.payload[0]])
        vectors: list[NDArray[Any] | None] = [None] * len(rows)
        done = [0] * len(jobs)
        for batch, hidden, mask in self._encoder.batches(rows, lambda index: not ears[owners[index]].gone):
            pooled = self._pooled(np, hidden, mask)
            for index, vector in zip(batch, pooled, strict=True):
                vectors[index] = vector
            for owner in {owners[index] for index in batch}:
                done[owner] += sum(owners[index] == owner for index in batch)
                ears[owner].progress(done[owner], len(jobs[owner].payload[0]))
        outcomes: list[Outcome] = []
        start = 0
        for job in jobs:
            end = start + len(job.payload[0])
            mine = [vector for vector in vectors[start:end] if vector is not None]
            if len(mine) < end - start:
                outcomes.append(ModelFailed(f"model `{self._manifest.name}`: nobody waits for the answer"))
            elif not all(np.isfinite(vector).all() for vector in mine):
                outcomes.append(ModelFailed(f"model `{self._manifest.name}` gave numbers that are none"))
            else:
                outcomes.append(self._answer(job, mine, rows[start:end]))
            start = end
        return outcomes

    def _pooled(self, np: Any, hidden: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
        """[rows, length, dimensions] and the mask -> float32 [rows, dimensions]."""
        hidden = hidden.astype(np.float32, copy=False)
        if hidden.ndim != (2 if self._pooling == "none" else 3):
            raise ModelFailed(
                f"model `{self._manifest.name}` gives an array of {hidden.ndim} dimensions,"
                f" which does not go with pooling `{self._pooling}`"
            )
        if self._pooling == "mean":
            hidden = (hidden * mask[..., None]).sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
        elif self._pooling == "first":
            hidden = hidden[:, 0]
        elif self._pooling == "last":
            hidden = hidden[np.arange(len(hidden)), mask.sum(axis=1).astype(np.int64) - 1]
        elif self._pooling == "max":
            hidden = np.where(mask[..., None] > 0, hidden, -np.inf).max(axis=1)
        if self._normalised:
            hidden = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-12)
        return hidden

    def _answer(self, job: Job, vectors: list[NDArray[Any]], rows: Sequence[Encoded]) -> Answer:
        _texts, documents, top = job.payload
        structured: dict[str, Any] = {
            "model": self._manifest.name,
            "usage": {"input_tokens": sum(len(row.ids) for row in rows)},
        }
        cut = [index for index, row in enumerate(rows) if row.tokens > len(row.ids)]
        note = f"; {len(cut)} cut to {self._max_tokens} tokens" if cut else ""
        if job.tool == "search":
            if 0 in cut:
                structured["query_truncated"] = True
            if cut := [index - 1 for index in cut if index]:
                structured["truncated"] = cut
            scores = [_cosine(vectors[0], vector) for vector in vectors[1:]]
            best = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top]
            structured["results"] = [
                {"index": index, "score": scores[index], "text": documents[index]} for index in best
            ]
            structured["confidence"] = min(1.0, max(0.0, scores[best[0]]))
            lines = [f"{scores[index]:.2f} [{index}] {_short(documents[index])}" for index in best]
            return Answer(structured, "\n".join(lines) + (note and f"\n({note[2:]})"))
        if cut:
            structured["truncated"] = cut
        structured["dimensions"] = len(vectors[0])
        structured["embeddings"] = [[round(number, DIGITS) for number in vector.tolist()] for vector in vectors]
        many = f"{len(vectors)} vectors" if len(vectors) > 1 else "1 vector"
        return Answer(structured, f"{many} of {len(vectors[0])} numbers{note}")


def _cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    """From -1 to 1; 0 when one of them is nothing."""
    length = float((one @ one) ** 0.5 * (other @ other) ** 0.5)
    return round(max(-1.0, min(1.0, float(one @ other) / length)), 6) if length > 0 else 0.0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"


def _search_tool() -> Tool:
    return Tool(
        "search",
        "Search by meaning",
        "Ranks documents by how well their meaning fits a query, whatever the words.",
        {
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "description": "What is searched for"},
                "documents": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "maxItems": DOCUMENTS,
                    "description": "What is searched",
                },
                "top": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": DOCUMENTS,
                    "default": TOP,
                    "description": "Results at most",
                },
            },
            "required": ["query", "documents"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "model": MODEL,
                "results": {
                    "type": "array",
                    "description": "Best first",
                    "items": {
                        "type": "object",
                        "properties": {
                            "index": {"type": "integer", "minimum": 0, "description": "Place in `documents`"},
                            "score": {
                                "type": "number",
                                "minimum": -1,
                                "maximum": 1,
                                "description": "1: the same meaning",
                            },
                            "text": {"type": "string"},
                        },
                        "required": ["index", "score", "text"],
                        "additionalProperties": False,
                    },
                },
                "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "Score of the best"},
                "truncated": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "description": "Documents that were too long and of which only the beginning counts, by index",
                },
                "query_truncated": {"type": "boolean", "description": "Whether only the beginning of the query counts"},
                "usage": USAGE,
            },
            "required": ["model", "results", "confidence", "usage"],
            "additionalProperties": False,
        },
    )
