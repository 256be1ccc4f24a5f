"""Text in pictures: the `text-recognition` task, for the detector, direction classifier and recogniser of PaddleOCR.

The detector marks where lines are, each line is cut out and turned straight, the direction classifier tells whether it
stands on its head, the recogniser reads it. Only numpy and Pillow stand between them: see `models/page/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.inputs.binary import binary, binary_schema, only
from tidegate.models.inputs.pictures import Picture, look_at
from tidegate.models.manifest import ModelFile, ModelManifest
from tidegate.models.runtimes.onnx import OnnxSession
from tidegate.models.settings import Settings
from tidegate.models.task import Answer, BadInput, Ear, Job, Json, Outcome, Tool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from tidegate.models.page.letters import Alphabet
    from tidegate.models.page.regions import Box, Finding

_HEIGHT: Final = 48
"""Of a strip, in pixels: what both networks were trained with."""

_DIRECTION_WIDTH: Final = 192
"""Of a strip for the direction classifier: the beginning of a line tells."""

_LEAST_WIDTH: Final = 320
"""Of a strip for the recogniser, which was trained with no narrower ones."""

_MOST_WIDTH: Final = 3200
"""Of a strip, and of those read together: longer lines are squeezed. Memory goes with it."""

_MOST_SIDE: Final = 8192
"""Of what the detector sees, in pixels, however narrow it is."""

_STEP: Final = 32
"""The detector halves the picture five times."""

_OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "description": "All lines in reading order, a line break between rows."},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                    "box": {
                        "type": "array",
                        "description": "Corners [x, y] in pixels of the picture, from the upper left, clockwise.",
                        "items": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                        "minItems": 4,
                        "maxItems": 4,
                    },
                },
                "required": ["text", "confidence", "box"],
                "additionalProperties": False,
            },
        },
        "width": {"type": "integer", "description": "Of the picture, held upright, in pixels."},
        "height": {"type": "integer"},
        "confidence": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "Mean of the letters; without text, how sure it is that there is none.",
        },
    },
    "required": ["text", "lines", "width", "height", "confidence"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _Opened:
    detector: OnnxSession
    direction: OnnxSession | None
    recogniser: OnnxSession
    alphabet: Alphabet
    finding: Finding


@dataclass(slots=True)
class _Line:
    """One line on its way through the networks."""

    box: Box
    strip: Image
    quarters: int
    """To the left, until it could be read."""
    turned: float = 0.0
    """How likely it stands on its head, from 0 to 1."""
    text: str = ""
    confidence: float = 0.0


class TextRecognition:
    """The task for one model."""

    def __init__(self, manifest: ModelManifest, place: Callable[[str], Path]) -> None:
        self._manifest = manifest
        self._place = place
        settings = Settings(manifest)
        self._min_side = settings.whole("min_side", 736, low=32, high=4096)
        self._seen_pixels = settings.whole("seen_pixels", 1_228_800, low=65_536, high=16_777_216)
        self._max_pixels = settings.whole("max_pixels", 24_000_000, low=1024, high=200_000_000)
        self._threshold = settings.number("threshold", 0.3, low=0.01, high=0.99)
        self._box_threshold = settings.number("box_threshold", 0.5, low=0.01, high=0.99)
        self._widen = settings.number("widen", 1.6, low=0.1, high=5.0)
        self._most = settings.whole("max_lines", 1000, low=1, high=10_000)
        self._turned_over = settings.number("turned_over", 0.9, low=0.5, high=1.0)
        self._least = settings.number("min_confidence", 0.5, low=0.0, high=1.0)
        self._batch = settings.whole("batch", 6, low=1, high=64)
        settings.done()
        manifest.file("detector")
        manifest.file("recogniser")
        self._roles: dict[str, ModelFile] = {file.role: file for file in manifest.files}
        self._opened: _Opened | None = None
        self.tools: tuple[Tool, ...] = (
            Tool(
                name="read",
                title="Read text in a picture",
                description=(
                    "Reads printed text in a picture (a scan, a photo, a screenshot): the text, and each line with its "
                    "place and confidence."
                ),
                input_schema={
                    "type": "object",
                    "properties": {"image": binary_schema("The picture.", "image")},
                    "required": ["image"],
                    "additionalProperties": False,
                },
                output_schema=_OUTPUT,
            ),
        )

    def prepare(self, tool: str, arguments: Json) -> Job:
        only(arguments, frozenset(("image",)))
        data = binary(arguments, "image", self._manifest.limits.input_bytes)
        return Job(tool, look_at(data, self._max_pixels))

    def load(self, threads: int) -> None:
        from tidegate.models.page.letters import Alphabet
        from tidegate.models.page.regions import Finding

        name, limits = self._manifest.name, self._manifest.limits
        sessions = {
            role: OnnxSession.open(self._place(role), self._roles[role], threads, limits)
            for role in ("detector", "direction", "recogniser")
            if role in self._roles
        }
        for role, session in sessions.items():
            if len(session.inputs) != 1 or len(session.inputs[0].shape) != 4 or not session.outputs:
                raise ModelRefused(f"model `{name}`: the {role} does not take pictures, one input of four dimensions")
        recogniser = sessions["recogniser"]
        characters = recogniser.metadata.get("character")
        if characters is None:
            raise ModelRefused(f"model `{name}`: the recogniser has no characters in its metadata")
        alphabet = Alphabet(characters, recogniser.outputs[0].shape[-1], recogniser.name)
        finding = Finding(self._threshold, self._box_threshold, self._widen, self._most)
        self._opened = _Opened(sessions["detector"], sessions.get("direction"), recogniser, alphabet, finding)

    def unload(self) -> None:
        opened, self._opened = self._opened, None
        for session in () if opened is None else (opened.detector, opened.direction, opened.recogniser):
            if session is not None:
                session.close()

    def run(self, jobs: Sequence[Job], ears: Sequence[Ear]) -> Sequence[Outcome]:
        if self._opened is None:
            raise ModelFailed(f"model `{self._manifest.name}` is not loaded")
        return [self._read(self._opened, job.payload, ear) for job, ear in zip(jobs, ears, strict=True)]

    def _read(self, opened: _Opened, picture: Picture, ear: Ear) -> Outcome:
        try:
            page = picture.decode()
        except BadInput as error:
            return error
        boxes, sure = self._find(opened, page)
        lines = self._cut(opened, page, boxes)
        if ear.gone or not self._recognise(opened, lines, ear):
            return ModelFailed("nobody waited for the answer any more")
        kept = [line for line in lines if line.text.strip() and line.confidence >= self._least]
        return _answer(kept, lines, page.size, sure)

    def _fitted(self, page: Image) -> Image:
        """For the detector, in a size in which it sees lines: neither a stamp nor a wall."""
        from PIL import Image

        short, long, area = min(page.size), max(page.size), page.width * page.height
        larger = max(1.0, min(2.0, self._min_side / short))
        scale = min(larger, math.sqrt(self._seen_pixels / area), _MOST_SIDE / long)
        if scale == 1.0:
            return page
        size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
        return page.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)

    def _find(self, opened: _Opened, page: Image) -> tuple[list[Box], float]:
        """Where lines are in `page`, and how likely the likeliest pixel of text is."""
        import numpy as np

        from tidegate.models.page.regions import regions

        seen = self._fitted(page)
        pixels: NDArray[np.float32] = np.asarray(seen, np.float32)[:, :, ::-1].transpose(2, 0, 1) / 127.5 - 1
        beyond = (-seen.height % _STEP, -seen.width % _STEP)
        padded = np.pad(pixels, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="edge")
        del pixels
        (taken,), given = opened.detector.inputs, opened.detector.outputs[0]
        chances = opened.detector.run({taken.name: padded[None]})[given.name]
        if chances.shape != (1, 1, *padded.shape[1:]):
            raise ModelFailed(f"`{opened.detector.name}` gave a map of the shape {list(chances.shape)}")
        chances = chances[0, 0, : seen.height, : seen.width]
        scale = page.width / seen.width
        return [box.scaled(scale) for box in regions(chances, opened.finding)], float(chances.max(initial=0.0))

    def _cut(self, opened: _Opened, page: Image, boxes: list[Box]) -> list[_Line]:
        """The lines, each upright."""
        from PIL import Image

        from tidegate.models.page.strips import batch, cut

        lines = []
        for box in boxes:
            strip, lay = cut(page, box)
            lines.append(_Line(box, strip, 1 if lay else 0))
        if opened.direction is None:
            return lines
        (taken,), given = opened.direction.inputs, opened.direction.outputs[0]
        for start in range(0, len(lines), self._batch):
            some = lines[start : start + self._batch]
            pixels = batch([line.strip for line in some], _HEIGHT, _DIRECTION_WIDTH)
            chances = opened.direction.run({taken.name: pixels})[given.name]
            for line, (_, turned) in zip(some, chances.tolist(), strict=True):
                line.turned = turned
        # a short line tells little: it stands as the page does, unless it is sure of the contrary
        weights = [line.strip.width * (line.turned - 0.5) for line in lines]
        bound = self._turned_over if sum(weights) <= 0 else 1 - self._turned_over
        for line in lines:
            if line.turned > bound:
                line.strip = line.strip.transpose(Image.Transpose.ROTATE_180)
                line.quarters += 2
        return lines

    def _recognise(self, opened: _Opened, lines: list[_Line], ear: Ear) -> bool:
        """Reads all lines, those of like width together; False when nobody waits any more."""
        from tidegate.models.page.strips import batch, scaled_width

        (taken,), given = opened.recogniser.inputs, opened.recogniser.outputs[0]
        by_width = [(scaled_width(line.strip, _HEIGHT, _MOST_WIDTH), line) for line in lines]
        by_width.sort(key=lambda one: one[0])
        done = 0
        while done < len(by_width):
            if ear.gone:
                return False
            some = by_width[done : done + self._batch]
            while len(some) > 1 and some[-1][0] * len(some) > _MOST_WIDTH:
                some.pop()
            width = max(_LEAST_WIDTH, some[-1][0])
            pixels = batch([line.strip for _, line in some], _HEIGHT, width)
            chances: Any = opened.recogniser.run({taken.name: pixels})[given.name]
            for (_, line), columns in zip(some, chances, strict=True):
                line.text, line.confidence = opened.alphabet.read(columns)
            done += len(some)
            ear.progress(done, len(by_width))
        return True


def _answer(kept: list[_Line], found: list[_Line], size: tuple[int, int], sure: float) -> Answer:
    from tidegate.models.page.order import rows

    placed = rows([(line.box, line.quarters % 4) for line in kept])
    ordered = [kept[index] for row in placed for index in row]
    text = "\n".join(" ".join(kept[index].text for index in row) for row in placed)
    if ordered:
        letters = sum(len(line.text) for line in ordered)
        confidence = sum(line.confidence * len(line.text) for line in ordered) / letters
    elif found:  # something is there and cannot be read
        confidence = sum(line.confidence for line in found) / len(found)
    else:
        confidence = 1 - sure
    structured: Json = {
        "text": text,
        "lines": [
            {
                "text": line.text,
                "confidence": round(min(1.0, line.confidence), 4),
                "box": [_inside(x, y, size) for x, y in line.box.corners()],
            }
            for line in ordered
        ],
        "width": size[0],
        "height": size[1],
        "confidence": round(min(1.0, max(0.0, confidence)), 4),
    }
    return Answer(structured, text or "There is no text in this picture that can be read.")


def _inside(x: float, y: float, size: tuple[int, int]) -> list[int]:
    return [min(size[0], max(0, round(x))), min(size[1], max(0, round(y)))]
