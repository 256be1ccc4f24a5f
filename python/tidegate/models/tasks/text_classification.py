"""Text classification: which of a fixed set of labels fits a text, and how well.

By a fastText file or by an ONNX file with a tokenizer; the ending of the file's name tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.inputs.arguments import how_many, one_text
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.encoder import TextEncoder
from tidegate.models.runtimes.fasttext import FastTextClassifier
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP: Final = 3
"""Labels in an answer unless the caller asks for more or fewer."""
MOST: Final = 100
"""Labels in an answer at most."""

Scored = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found out about one text."""

    labels: Scored
    """The `MOST` likeliest, best first."""
    cut: bool = False
    """Whether only its beginning was read."""


class _Classifier(Protocol):
    def score(self, texts: Sequence[str], wanted: Callable[[int], bool]) -> Sequence[_Found | None]:
        """For each text; None for one that is not `wanted` any more."""

    def close(self) -> None: ...


class _ByFastText:
    def __init__(self, classifier: FastTextClassifier, prefix: str, lower_capitals: bool) -> None:
        self._classifier = classifier
        self._prefix = prefix
        self._lower_capitals = lower_capitals

    def score(self, texts: Sequence[str], wanted: Callable[[int], bool]) -> Sequence[_Found | None]:
        return [_Found(self._one(text)) if wanted(index) else None for index, text in enumerate(texts)]

    def _one(self, text: str) -> Scored:
        if self._lower_capitals and text.isupper():
            text = text.lower()
        return [(label.removeprefix(self._prefix), score) for label, score in self._classifier.scores(text, MOST)]

    def close(self) -> None:
        pass


class _ByOnnx:
    def __init__(self, model: str, encoder: TextEncoder, labels: Sequence[str], activation: str) -> None:
        self._model = model
        self._encoder = encoder
        self._labels = labels
        self._activation = activation
        shape = encoder.output.shape
        if len(shape) != 2 or shape[1] not in (-1, len(labels)):
            raise ModelRefused(
                f"model `{model}`: {len(labels)} labels do not go with an output of the shape {list(shape)}"
            )

    def score(self, texts: Sequence[str], wanted: Callable[[int], bool]) -> Sequence[_Found | None]:
        import numpy as np

        found: list[_Found | None] = [None] * len(texts)
        rows = self._encoder.encode(texts)
        for batch, logits, _mask in self._encoder.batches(rows, wanted):
            scores = self._activated(np, logits.astype(np.float64))
            if scores.shape != (len(batch), len(self._labels)) or not np.isfinite(scores).all():
                raise ModelFailed(
                    f"model `{self._model}` did not give one number for each of its {len(self._labels)} labels"
                )
            for index, row in zip(batch, scores, strict=True):
                best = np.argsort(-row, kind="stable")[:MOST]
                labels = [(self._labels[place], float(row[place])) for place in best]
                found[index] = _Found(labels, rows[index].tokens > len(rows[index].ids))
        return found

    def _activated(self, np: Any, logits: NDArray[Any]) -> NDArray[Any]:
        if self._activation == "softmax":
            raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
            scores: NDArray[Any] = raised / raised.sum(axis=-1, keepdims=True)
        elif self._activation == "sigmoid":
            scores = 0.5 * (1 + np.tanh(logits / 2))  # does not overflow
        else:
            scores = np.clip(logits, 0, 1)
        return scores

    def close(self) -> None:
        self._encoder.close()


class TextClassification:
    """`classify`: text -> labels with scores."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        settings = Settings(manifest)
        self._manifest = manifest
        self._place = place
        self._names = settings.words("names")
        """What a label means, where its own word is a code."""
        self._by_fasttext = manifest.file("model").path.endswith((".ftz", ".bin"))
        if self._by_fasttext:
            self._prefix = settings.text("label_prefix", "__label__")
            """What stands before each label in the file and is not part of it."""
            self._lower_capitals = settings.flag("lower_capitals", False)
            """Whether a text all in capitals is read in small letters."""
        else:
            manifest.file("tokenizer")
            self._labels = settings.texts("labels")
            """By the place of their number in the model's output."""
            self._activation = settings.choice("activation", ("softmax", "sigmoid", "none"), "softmax")
            """How the model's numbers become scores: `softmax` where exactly one label is right, `sigmoid` where any
            number of them may be, `none` where the model has done it.
            """
            self._max_tokens = settings.whole("max_tokens", 512, low=3, high=32768)
            """Of one text; what is beyond is not read."""
            self._lowercase = settings.flag("lowercase", True)
            """Only for a tokenizer given as `vocab.txt`."""
            self._output = settings.text("output", "")
            """Which output of the model; empty: its first."""
            if len(set(self._labels)) < max(1, len(self._labels)):
                settings.refuse("labels", "names a label twice, or none at all")
        settings.done()
        self._classifier: _Classifier | None = None
        self._tools = (_tool(bool(self._names)),)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return self._tools

    def prepare(self, tool: str, arguments: Json) -> Job:
        text = one_text(arguments.get("text"), "text", self._manifest.limits.input_bytes)
        return Job(tool, (text, how_many(arguments, TOP, MOST)), group=tool)

    def load(self, threads: int) -> None:
        if self._classifier is not None:
            return
        if self._by_fasttext:
            opened = FastTextClassifier.open(self._manifest, self._place("model"))
            self._classifier = _ByFastText(opened, self._prefix, self._lower_capitals)
        else:
            encoder = TextEncoder.open(
                self._manifest,
                self._place,
                threads,
                max_tokens=self._max_tokens,
                lowercase=self._lowercase,
                output=self._output,
            )
            self._classifier = _ByOnnx(self._manifest.name, encoder, self._labels, self._activation)

    def unload(self) -> None:
        if self._classifier is not None:
            self._classifier.close()
            self._classifier = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        assert self._classifier is not None
        scored = self._classifier.score([job.payload[0] for job in jobs], lambda index: not ears[index].gone)
        gone = ModelFailed(f"model `{self._manifest.name}`: nobody waits for the answer")
        return [
            gone if found is None else self._answer(found.labels[: job.payload[1]], found.cut)
            for found, job in zip(scored, jobs, strict=True)
        ]

    def _answer(self, found: Scored, cut: bool) -> Answer:
        structured: dict[str, Any] = {
            "labels": [{"label": label, "score": round(score, 6)} for label, score in found],
            "label": found[0][0] if found else "",
            "confidence": round(found[0][1], 6) if found else 0.0,
        }
        if found and found[0][0] in self._names:
            structured["name"] = self._names[found[0][0]]
        if cut:
            structured["truncated"] = True
        words = ", ".join(f"{self._names.get(label, label)} {score:.1%}" for label, score in found)
        note = " (by its beginning: the text is too long)" if cut else ""
        return Answer(structured, (words or "No label fits") + note)


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
        "truncated": {"type": "boolean", "description": "Whether the text was too long and only its beginning counts"},
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
