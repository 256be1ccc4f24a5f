"""What kind of file some bytes are: the `file-type` task, for models of the Magika family.

Such a model looks at the beginning and the end of a file, never at its name. Which bytes it wants, what its labels are
and how sure it must be of each is in its own configuration file; what a label means is in a second one. Where it is not
sure enough, the answer is only whether it is text, with the model's guess beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.inputs.binary import binary, binary_schema, only
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.onnx import OnnxSession
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT: Final = 64 * 1024
"""Bytes of each end of a file that wait in the queue. A model may look at no more."""

_MAX_TABLE_BYTES: Final = 4 * 1024 * 1024
"""Of a configuration file; the largest known has 70 KiB."""

_TEXT, _UNKNOWN, _UNDEFINED = "txt", "unknown", "undefined"

_OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "description": "A short name of the type, such as `png` or `python`."},
        "mime_type": {"type": "string"},
        "description": {"type": "string"},
        "group": {"type": "string", "description": "Such as `image`, `code` or `archive`."},
        "is_text": {"type": "boolean"},
        "extensions": {"type": "array", "items": {"type": "string"}},
        "guess": {"type": "string", "description": "What the model took it for, sure or not."},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "How sure it is of the guess."},
    },
    "required": ["label", "mime_type", "description", "group", "is_text", "extensions", "guess", "confidence"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _Ends:
    """What is kept of a file."""

    head: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class _Look:
    """How the model looks at a file. Sizes in bytes."""

    beginning: int
    end: int
    block: int
    """Read at each end before white space is taken off."""
    least: int
    """Of bytes that mean anything; below, there is nothing to guess."""
    padding: int
    labels: tuple[str, ...]
    renamed: Mapping[str, str]
    """What to call some labels of the model."""
    thresholds: Mapping[str, float]
    threshold: float
    """For a label without one of its own."""

    def seen(self, ends: _Ends) -> _Ends | None:
        """What the model looks at of these, or None when there is too little."""
        head = ends.head[: self.block].lstrip()[: self.beginning]
        tail = ends.tail[-self.block :].rstrip()[-self.end :]
        return _Ends(head, tail) if len(head) >= self.least else None


@dataclass(frozen=True, slots=True)
class _Opened:
    session: OnnxSession
    look: _Look
    kinds: Mapping[str, Mapping[str, Any]]


class FileType:
    """The task for one model."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        self._manifest = manifest
        self._place = place
        settings = Settings(manifest)
        self._sure = settings.choice("sure", ("high", "medium", "best-guess"), "high")
        """Threshold: of each label as its makers chose it; one for all; none."""
        settings.done()
        self._file = manifest.file("model")
        manifest.file("config")
        manifest.file("kinds")
        self._opened: _Opened | None = None
        self.tools: tuple[Tool, ...] = (
            Tool(
                name="identify",
                title="Identify a file's type",
                description="Tells what kind of file some bytes are by what is in them: label, MIME type, description.",
                input_schema={
                    "type": "object",
                    "properties": {"file": binary_schema("The bytes of the file.", "image", "audio")},
                    "required": ["file"],
                    "additionalProperties": False,
                },
                output_schema=_OUTPUT,
            ),
        )

    def prepare(self, tool: str, arguments: Json) -> Job:
        only(arguments, frozenset(("file",)))
        data = binary(arguments, "file", self._manifest.limits.input_bytes)
        return Job(tool, _Ends(data[:_KEPT], data[-_KEPT:]), group=tool)

    def load(self, threads: int) -> None:
        look = _look(self._manifest.name, _table(self._place("config")))
        kinds = _table(self._place("kinds"))
        session = OnnxSession.open(self._place("model"), self._file, threads, self._manifest.limits)
        width = look.beginning + look.end
        shapes = [tensor.shape for tensor in (*session.inputs, *session.outputs)]
        if len(shapes) != 2 or shapes[0][1:] != (width,) or shapes[1][1:] != (len(look.labels),):
            wanted = f"rows of {width} numbers and give rows of {len(look.labels)}, as its configuration says"
            raise ModelRefused(f"model `{self._manifest.name}`: `{session.name}` does not take {wanted}")
        self._opened = _Opened(session, look, kinds)

    def unload(self) -> None:
        if self._opened is not None:
            self._opened.session.close()
        self._opened = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        opened = self._opened
        if opened is None:
            raise ModelFailed(f"model `{self._manifest.name}` is not loaded")
        seen = [opened.look.seen(job.payload) for job in jobs]
        scored = iter(_scores(opened, [one for one in seen if one is not None]))
        return [
            self._few(opened, job.payload) if one is None else self._answer(opened, next(scored))
            for one, job in zip(seen, jobs, strict=True)
        ]

    def _few(self, opened: _Opened, ends: _Ends) -> Answer:
        """Of a file too short for the model."""
        try:
            ends.head[: opened.look.block].decode()
        except UnicodeDecodeError:
            return _told(opened, _UNKNOWN, _UNDEFINED, 1.0)
        return _told(opened, _TEXT, _UNDEFINED, 1.0)

    def _answer(self, opened: _Opened, scores: NDArray[Any]) -> Answer:
        look = opened.look
        best = int(scores.argmax())
        score, guess = float(scores[best]), look.labels[best]
        label = look.renamed.get(guess, guess)
        bound = {"high": look.thresholds.get(guess, look.threshold), "medium": look.threshold}.get(self._sure, 0.0)
        if score < bound:
            label = _TEXT if opened.kinds.get(label, {}).get("is_text") else _UNKNOWN
        return _told(opened, label, guess, score)


def _scores(opened: _Opened, seen: Sequence[_Ends]) -> Sequence[NDArray[Any]]:
    """Of each, one for each label."""
    import numpy as np

    if not seen:
        return ()
    look, session = opened.look, opened.session
    (taken,), (given,) = session.inputs, session.outputs
    width = look.beginning + look.end
    rows = np.full((len(seen), width), look.padding, taken.dtype)
    for row, ends in zip(rows, seen, strict=True):
        row[: len(ends.head)] = np.frombuffer(ends.head, np.uint8)
        row[width - len(ends.tail) :] = np.frombuffer(ends.tail, np.uint8)
    return list(session.run({taken.name: rows})[given.name])


def _told(opened: _Opened, label: str, guess: str, score: float) -> Answer:
    kind = opened.kinds.get(label, {})
    is_text = bool(kind.get("is_text"))
    structured: Json = {
        "label": label,
        "mime_type": kind.get("mime_type") or ("text/plain" if is_text else "application/octet-stream"),
        "description": kind.get("description") or label,
        "group": kind.get("group") or "unknown",
        "is_text": is_text,
        "extensions": [str(one) for one in kind.get("extensions") or ()],
        "guess": guess,
        "confidence": round(min(1.0, max(0.0, score)), 4),
    }
    said = f"{structured['description']} ({structured['mime_type']}), {structured['confidence']:.0%} sure"
    if label in (_TEXT, _UNKNOWN) and guess not in (label, _UNDEFINED):
        said = f"{structured['description']} ({structured['mime_type']}); perhaps {guess}, {score:.0%} sure"
    return Answer(structured, said)


def _table(path: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises: ModelRefused."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TABLE_BYTES + 1)
        if len(raw) > _MAX_TABLE_BYTES:
            raise ModelRefused(f"`{path.name}` is larger than {_MAX_TABLE_BYTES} bytes")
        table = json.loads(raw)
    except (OSError, ValueError, RecursionError):
        raise ModelRefused(f"`{path.name}` is no JSON file") from None
    if not isinstance(table, dict):
        raise ModelRefused(f"`{path.name}` holds no JSON object")
    return table


def _look(model: str, table: Mapping[str, Any]) -> _Look:
    """Raises: ModelRefused, for a configuration that is incomplete or asks for what is not done here."""

    def whole(key: str, low: int, high: int) -> int:
        value = table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ModelRefused(f"model `{model}`: `{key}` of its configuration must be a number from {low} to {high}")
        return value

    if table.get("mid_size") or table.get("use_inputs_at_offsets"):
        raise ModelRefused(f"model `{model}` looks into the middle of files, which only its first generation did")
    labels, renamed, thresholds = (table.get(key) for key in ("target_labels_space", "overwrite_map", "thresholds"))
    block = whole("block_size", 1, _KEPT)
    threshold = table.get("medium_confidence_threshold")
    well = (
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        and isinstance(renamed, dict)
        and all(isinstance(label, str) for label in renamed.values())
        and isinstance(thresholds, dict)
        and all(isinstance(number, int | float) for number in (threshold, *thresholds.values()))
    )
    if not well or labels is None or renamed is None or thresholds is None or threshold is None:
        raise ModelRefused(f"model `{model}`: its configuration has no labels, thresholds or names that can be used")
    return _Look(
        beginning=whole("beg_size", 1, block),
        end=whole("end_size", 1, block),
        block=block,
        least=whole("min_file_size_for_dl", 1, block),
        padding=whole("padding_token", 0, 1 << 20),
        labels=tuple(labels),
        renamed=renamed,
        thresholds=thresholds,
        threshold=threshold,
    )
