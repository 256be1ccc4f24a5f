"""The shipped model `ocr`: rendered pages with known words, upright and not, and the same networks called by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from models_at_hand import Silence, call, installed, placed, shipped

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.task import BadInput
from tidegate.models.tasks.text_recognition import TextRecognition

pytestmark = pytest.mark.skipif(not installed("ocr"), reason="the package rapidocr-onnxruntime is not installed")

LINES = (
    "Invoice 2024-0917",
    "The quick brown fox jumps over the lazy dog.",
    "Total amount due: 1,284.50 EUR",
    "Please pay within 30 days.",
)
SIZE = (820, 320)


@pytest.fixture(scope="module")
def ocr() -> Iterator[TextRecognition]:
    of = shipped("ocr")
    task = TextRecognition(of, lambda role: placed(of, role))
    task.load(2)
    yield task
    task.unload()


def page(ink: str = "black", paper: str = "white") -> Any:
    """The lines at 40, 100, 160 and 220 pixels from the top; two spaces each, for those of Pillow's font are narrow"""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", SIZE, paper)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=28)
    for index, line in enumerate(LINES):
        draw.text((40, 40 + 60 * index), line.replace(" ", "  "), fill=ink, font=font)
    return image


def sent(image: Any, kind: str = "PNG", **how: Any) -> dict[str, Any]:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return {"image": {"type": "image", "mimeType": "image/png", "data": base64.b64encode(out.getvalue()).decode()}}


def test_a_rendered_page_is_read_word_for_word(ocr: TextRecognition) -> None:
    (answer,) = call(ocr, "read", sent(page()))
    found = answer.structured
    assert found["text"] == "\n".join(LINES) == answer.text
    assert [line["text"] for line in found["lines"]] == list(LINES)
    assert found["confidence"] > 0.95
    assert (found["width"], found["height"]) == SIZE
    for index, line in enumerate(found["lines"]):
        left, top = line["box"][0]
        right, bottom = line["box"][2]
        assert 20 < left < 45 < 200 < right < SIZE[0]
        assert 30 + 60 * index < top < bottom < 85 + 60 * index
        assert line["confidence"] > 0.9
    Draft202012Validator(ocr.tools[0].output_schema).validate(found)


@pytest.mark.parametrize("degrees", [4, 180, 270])
def test_a_page_is_read_however_it_lies(ocr: TextRecognition, degrees: int) -> None:
    from PIL import Image

    turned = page().rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    (answer,) = call(ocr, "read", sent(turned))
    assert answer.structured["text"].replace(" ", "") == "\n".join(LINES).replace(" ", "")


def test_light_letters_on_a_dark_page_are_read_from_a_jpeg_held_sideways(ocr: TextRecognition) -> None:
    from PIL import Image

    sideways = page("#eee", "#222").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen upright, turn it a quarter to the right
    (answer,) = call(ocr, "read", sent(sideways, "JPEG", quality=95, exif=exif))
    assert answer.structured["text"] == "\n".join(LINES)
    assert (answer.structured["width"], answer.structured["height"]) == SIZE


def test_what_stands_side_by_side_is_one_row(ocr: TextRecognition) -> None:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (700, 240), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=28)
    for row, cells in enumerate((("Item", "Quantity", "Price"), ("Hammer", "12", "7.99"), ("Paint", "3", "14.25"))):
        for column, cell in enumerate(cells):
            draw.text((40 + 240 * column, 30 + 65 * row), cell, fill="black", font=font)
    (answer,) = call(ocr, "read", sent(image))
    assert answer.structured["text"] == "Item Quantity Price\nHammer 12 7.99\nPaint 3 14.25"
    assert len(answer.structured["lines"]) == 9


def test_an_empty_page_has_no_text_and_that_is_sure(ocr: TextRecognition) -> None:
    from PIL import Image

    (answer,) = call(ocr, "read", sent(Image.new("RGB", (300, 200), "white")))
    assert answer.structured["text"] == ""
    assert answer.structured["lines"] == []
    assert answer.structured["confidence"] > 0.9
    assert answer.text == "There is no text in this picture that can be read."


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((820, 320), (1640, 640)),
        ((2480, 3508), (932, 1318)),
        ((1280, 960), (1280, 960)),
        ((600, 6000), (351, 3505)),
        ((3, 2_000_000), (1, 8192)),
        ((40, 20), (80, 40)),
    ],
)
def test_what_the_detector_sees_is_bounded_whatever_the_picture(
    ocr: TextRecognition, size: tuple[int, int], seen: tuple[int, int]
) -> None:
    from PIL import Image

    assert ocr._fitted(Image.new("RGB", size)).size == seen


def test_a_picture_of_a_few_pixels_has_no_text(ocr: TextRecognition) -> None:
    from PIL import Image

    answers = call(ocr, "read", *(sent(Image.new("RGB", size, "white")) for size in ((1, 1), (1, 5000), (3000, 2))))
    assert [answer.structured["lines"] for answer in answers] == [[], [], []]


def test_the_networks_called_by_hand_say_the_same(ocr: TextRecognition) -> None:
    """The detector marks each line of the page where it was drawn; the recogniser reads strips cut out by hand."""
    import numpy as np
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]

    def network(role: str) -> Any:
        return onnxruntime.InferenceSession(placed(shipped("ocr"), role), providers=["CPUExecutionProvider"])

    def pixels(image: Any) -> Any:
        return (np.asarray(image, np.float32)[:, :, ::-1].transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5

    whole = page().resize((1632, 640))
    chances = network("detector").run(None, {"x": np.ascontiguousarray(pixels(whole)[:, :, :, :])})[0][0, 0]
    rows = (chances > 0.3).any(axis=1)
    starts = np.flatnonzero(np.diff(rows.astype(int)) == 1) / 2
    assert len(starts) == len(LINES)
    assert all(40 + 60 * index < start < 70 + 60 * index for index, start in enumerate(starts))

    recogniser = network("recogniser")
    characters = ["", *recogniser.get_modelmeta().custom_metadata_map["character"].rstrip("\n").split("\n"), " "]
    (answer,) = call(ocr, "read", sent(page()))
    for index, line in enumerate(answer.structured["lines"]):
        strip = page().crop((36, 36 + 60 * index, 36 + 780, 78 + 60 * index))
        strip = strip.resize((round(780 * 48 / 42), 48))
        best = recogniser.run(None, {"x": pixels(strip)})[0][0].argmax(axis=1)
        read = "".join(characters[one] for at, one in enumerate(best) if at == 0 or one != best[at - 1])
        assert read.replace(" ", "") == line["text"].replace(" ", "")


def test_a_page_reports_progress_by_lines_and_stops_when_nobody_waits(ocr: TextRecognition) -> None:
    of = shipped("ocr")
    by_one = TextRecognition(replace(of, settings={**of.settings, "batch": 1}), lambda role: placed(of, role))
    by_one.load(2)
    job = by_one.prepare("read", sent(page()))
    ear = Silence()
    by_one.run([job], [ear])
    assert [(done, total) for done, total, _ in ear.heard] == [(done, 4) for done in (1, 2, 3, 4)]
    gone = Silence()
    gone.gone = True
    assert isinstance(by_one.run([job], [gone])[0], ModelFailed)
    by_one.unload()


def test_a_picture_that_is_cut_off_is_told_so_by_the_one_call_only(ocr: TextRecognition) -> None:
    arguments = sent(page(), "JPEG", quality=95)
    whole = base64.b64decode(arguments["image"]["data"])
    cut = {"image": base64.b64encode(whole[: len(whole) // 2]).decode()}
    outcomes = ocr.run([ocr.prepare("read", cut), ocr.prepare("read", arguments)], [Silence(), Silence()])
    assert isinstance(outcomes[0], BadInput)
    assert "damaged or cut off" in str(outcomes[0])
    assert getattr(outcomes[1], "structured", {}).get("text") == "\n".join(LINES)


def test_a_recogniser_that_names_no_characters_is_refused() -> None:
    of = shipped("ocr")
    files = tuple(replace(file, role="recogniser") for file in of.files if file.role == "detector")
    files += tuple(file for file in of.files if file.role == "detector")
    task = TextRecognition(replace(of, files=files), lambda role: placed(of, "detector"))
    with pytest.raises(ModelRefused, match="no characters in its metadata"):
        task.load(1)
    with pytest.raises(ModelRefused, match=r"needs `\[files\.recogniser\]`"):
        TextRecognition(replace(of, files=files[1:]), lambda role: placed(of, role))
