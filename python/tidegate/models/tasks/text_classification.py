"""Text classification: which of a fixed set of labels fits a text, and how well.

By a fastText file or by an ONNX file with a tokenizer; the ending of the file's name tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from tidegate.errors import ModelRefused
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.fasttext import FastTextClassifier
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

TOP: Final = 3
"""Labels in an answer unless the caller asks for more or fewer."""
MOST: Final = 100
"""Labels in an answer at most."""

Scored = list[tuple[str, float]]


class _Classifier(Protocol):
    def score(self, texts: Sequence[str]) -> Sequence[Scored]:
        """The `MOST` likeliest labels of each text, best first."""


class _ByFastText:
    def __init__(self, classifier: FastTextClassifier, prefix: str, lower_capitals: bool) -> None:
        self._classifier = classifier
        self._prefix = prefix
        self._lower_capitals = lower_capitals

    def score(self, texts: Sequence[str]) -> Sequence[Scored]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Scored:
        if self._lower_capitals and text.isupper():
            text = text.lower()
        return [(label.removeprefix(self._prefix), score) for label, score in self._classifier.scores(text, MOST)]


class TextClassification:
    """`classify`: text -> labels with scores."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        settings = Settings(manifest)
        self._manifest = manifest
        self._place = place
        self._names = settings.words("names")
        """What a label means, where its own word is a code."""
        self._prefix = settings.text("label_prefix", "__label__")
        self._lower_capitals = settings.flag("lower_capitals", False)
        """Whether a text all in capitals is read in small letters."""
        settings.done()
        model = next((file for file in manifest.files if file.role == "model"), None)
        if model is None:
            raise ModelRefused(f"Model `{manifest.name}`: text classification needs `[files.model]`")
        if not model.path.endswith((".ftz", ".bin")):
            raise ModelRefused(
                f"Model `{manifest.name}`: `{model.path}` is neither a fastText nor an ONNX file by its name"
            )
        self._classifier: _Classifier | None = None
        self._tools = (_tool(bool(self._names)),)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        text = one_text(arguments.get("text"), "text", self._manifest.limits.input_bytes)
        return Job(tool, (text, how_many(arguments, TOP, MOST)), group=tool)

    def load(self, threads: int) -> None:
        if self._classifier is None:
            opened = FastTextClassifier.open(self._manifest, self._place("model"))
            self._classifier = _ByFastText(opened, self._prefix, self._lower_capitals)

    def unload(self) -> None:
        self._classifier = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        assert self._classifier is not None
        scored = self._classifier.score([job.payload[0] for job in jobs])
        return [self._answer(found[: job.payload[1]]) for found, job in zip(scored, jobs, strict=True)]

    def _answer(self, found: Scored) -> Answer:
        structured: dict[str, Any] = {
            "labels": [{"label": label, "score": round(score, 6)} for label, score in found],
            "label": found[0][0] if found else "",
            "confidence": round(found[0][1], 6) if found else 0.0,
        }
        if found and found[0][0] in self._names:
            structured["name"] = self._names[found[0][0]]
        words = ", ".join(f"{self._names.get(label, label)} {score:.1%}" for label, score in found)
        return Answer(structured, words or "No label fits")


def one_text(value: object, key: str, most_bytes: int) -> str:
    """A string that holds something. Raises: BadInput."""
    if not isinstance(value, str):
        raise BadInput(f"`{key}` must be a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadInput(f"`{key}` holds half of a surrogate pair, which is no character") from None
    if size > most_bytes:
        raise BadInput(f"`{key}` is {size} bytes long; this model takes at most {most_bytes}")
    if not value.strip():
        raise BadInput(f"`{key}` is empty")
    return value


def how_many(arguments: Mapping[str, Any], default: int, most: int) -> int:
    """The argument `top`. Raises: BadInput."""
    top = arguments.get("top", default)
    if isinstance(top, float) and top.is_integer():
        top = int(top)
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= most:
        raise BadInput(f"`top` must be a whole number from 1 to {most}")
    return top


def _tool(named: bool) -> Tool:
    outputs: Json = {
        "labels": {
            "type": "array",
            "description": "The likeliest labels, best first",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
                "required": ["label", "score"],
                "additionalProperties": False,
            },
        },
        "label": {"type": "string", "description": "The likeliest label; empty when none fits"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "Score of that label"},
    }
    if named:
        outputs["name"] = {"type": "string", "description": "What that label means, in English"}
    return Tool(
        "classify",
        "Classify a text",
        "Says which labels fit a text, with a score from 0 to 1 for each.",
        {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1, "description": "The text"},
                "top": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST,
                    "default": TOP,
                    "description": "Labels in the answer",
                },
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": outputs,
            "required": ["labels", "label", "confidence"],
            "additionalProperties": False,
        },
    )
