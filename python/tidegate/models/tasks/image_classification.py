"""What is in a picture, out of a list of labels: the `image-classification` task, for any ONNX classifier.

How the picture is brought into the network's shape is in the settings (see `inputs/picture_tensor.py`), so is what its
numbers mean: probabilities, or raw scores of which `activation` makes some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.inputs.arguments import how_many
from tidegate.models.inputs.binary import binary, binary_schema, only
from tidegate.models.inputs.picture_tensor import picture_tensor
from tidegate.models.inputs.pictures import look_at
from tidegate.models.manifest import ModelManifest
from tidegate.models.runtimes.onnx import OnnxSession, shape_words
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP: Final = 5
"""Labels in an answer unless the caller asks for more or fewer."""
MOST: Final = 100
"""Labels in an answer at most."""

_MAX_LABELS_BYTES: Final = 8 * 1024 * 1024
"""Of a file of labels."""

_OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "description": "The likeliest labels, best first.",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
                "required": ["label", "score"],
                "additionalProperties": False,
            },
        },
        "label": {"type": "string", "description": "The likeliest label."},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "Score of that label."},
    },
    "required": ["labels", "label", "confidence"],
    "additionalProperties": False,
}


class ImageClassification:
    """The task for one model."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        self._manifest = manifest
        self._place = place
        settings = Settings(manifest)
        self._tensor = picture_tensor(settings)
        self._activation = settings.choice("activation", ("none", "softmax", "sigmoid"), "softmax")
        self._labels: tuple[str, ...] = settings.texts("labels")
        self._max_pixels = settings.whole("max_pixels", 24_000_000, low=1024, high=200_000_000)
        settings.done()
        self._file = manifest.file("model")
        if bool(self._labels) == any(file.role == "labels" for file in manifest.files):
            raise ModelRefused(f"model `{manifest.name}` needs its labels, in the settings or in `[files.labels]`")
        self._session: OnnxSession | None = None
        self.tools: tuple[Tool, ...] = (
            Tool(
                name="classify",
                title="Classify a picture",
                description="Says which labels fit a picture, with a score from 0 to 1 for each.",
                input_schema={
                    "type": "object",
                    "properties": {
                        "image": binary_schema("The picture.", "image"),
                        "top": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": MOST,
                            "default": TOP,
                            "description": "Labels in the answer.",
                        },
                    },
                    "required": ["image"],
                    "additionalProperties": False,
                },
                output_schema=_OUTPUT,
            ),
        )

    def prepare(self, tool: str, arguments: Json) -> Job:
        only(arguments, frozenset(("image", "top")))
        top = how_many(arguments, TOP, MOST)
        data = binary(arguments, "image", self._manifest.limits.input_bytes)
        return Job(tool, (look_at(data, self._max_pixels), top), group=tool)

    def load(self, threads: int) -> None:
        if any(file.role == "labels" for file in self._manifest.files):
            self._labels = _labels_of(self._place("labels"))
        session = OnnxSession.open(self._place("model"), self._file, threads, self._manifest.limits)
        try:
            self._check(session)
        except ModelRefused:
            session.close()
            raise
        self._session = session

    def unload(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        import numpy as np

        session = self._session
        if session is None:
            raise ModelFailed(f"model `{self._manifest.name}` is not loaded")
        outcomes: list[Outcome] = [ModelFailed(f"model `{self._manifest.name}`: nobody waits for the answer")] * len(
            jobs
        )
        rows: dict[int, NDArray[Any]] = {}
        for index, (job, ear) in enumerate(zip(jobs, ears, strict=True)):
            if ear.gone:
                continue
            try:
                rows[index] = self._tensor.numbers(job.payload[0].decode())
            except BadInput as error:
                outcomes[index] = error
        (taken,) = session.inputs
        together = list(rows) if taken.shape[0] == -1 else []
        batches = [together] if together else [[index] for index in rows]
        for batch in batches:
            given = session.run({taken.name: np.stack([rows[index] for index in batch])})[session.outputs[0].name]
            for index, scores in zip(batch, self._scores(given, len(batch)), strict=True):
                outcomes[index] = self._answer(scores, jobs[index].payload[1])
        return outcomes

    def _check(self, session: OnnxSession) -> None:
        """Raises: ModelRefused, when the network takes or gives something else than the settings say."""
        name, tensor = self._manifest.name, self._tensor
        if len(session.inputs) != 1:
            raise ModelRefused(
                f"model `{name}`: `{session.name}` takes {len(session.inputs)} inputs, and not one picture"
            )
        (taken,) = session.inputs
        made = (taken.shape[0] if taken.shape[:1] == (1,) else -1, *tensor.shape)
        fits = len(taken.shape) == 4 and all(want in (-1, size) for want, size in zip(taken.shape, made, strict=True))
        if not fits or taken.dtype != tensor.dtype:
            said = f"{tensor.dtype} of the shape {shape_words(made)}"
            wanted = f"{taken.dtype} of {shape_words(taken.shape)}"
            raise ModelRefused(f"model `{name}`: the settings make {said}, and the model takes {wanted}")
        shape = session.outputs[0].shape
        if shape and shape[-1] not in (-1, len(self._labels)):
            raise ModelRefused(
                f"model `{name}`: the model gives {shape[-1]} scores, and there are {len(self._labels)} labels"
            )

    def _scores(self, given: NDArray[Any], count: int) -> NDArray[Any]:
        """From 0 to 1, by picture and label. Raises: ModelFailed."""
        import numpy as np

        if given.size != count * len(self._labels):
            raise ModelFailed(f"model `{self._manifest.name}` gave {given.size} scores for {len(self._labels)} labels")
        scores: NDArray[Any] = given.reshape(count, -1).astype(np.float64)
        if self._activation == "softmax":
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
        elif self._activation == "sigmoid":
            scores = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        if not np.isfinite(scores).all():
            raise ModelFailed(f"model `{self._manifest.name}` gave scores that are no numbers")
        return scores.clip(0, 1)

    def _answer(self, scores: NDArray[Any], top: int) -> Answer:
        best = (-scores).argsort(kind="stable")[:top]
        found = [{"label": self._labels[place], "score": round(float(scores[place]), 6)} for place in best]
        structured: Json = {"labels": found, "label": found[0]["label"], "confidence": found[0]["score"]}
        return Answer(structured, ", ".join(f"{one['label']} {one['score']:.1%}" for one in found))


def _labels_of(path: Path) -> tuple[str, ...]:
    """One a line, or a JSON list. Raises: ModelRefused."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_LABELS_BYTES + 1)
        if len(raw) > _MAX_LABELS_BYTES:
            raise ModelRefused(f"`{path.name}` is larger than {_MAX_LABELS_BYTES} bytes")
        text = raw.decode()
        listed = json.loads(text) if text.lstrip().startswith("[") else text.rstrip("\n").split("\n")
    except (OSError, ValueError, RecursionError):
        raise ModelRefused(f"`{path.name}` is no list of labels, in text or JSON") from None
    if not all(isinstance(label, str) and label.strip() for label in listed):
        raise ModelRefused(f"`{path.name}` has a label that is empty, or no text")
    return tuple(label.strip() for label in listed)
