"""Classifiers of pictures: a real one (which way up a line of text is), and small ones made here for each setting."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from models_at_hand import Silence, call, file, installed, manifest, placed, shipped
from onnx_writing import declared, graph, model, node

from tidegate.errors import ModelFailed, ModelRefused
from tidegate.models.task import BadInput
from tidegate.models.tasks.image_classification import ImageClassification

pytest.importorskip("onnxruntime")
pytest.importorskip("PIL")


def sent(image: Any, kind: str = "PNG", **more: Any) -> dict[str, Any]:
    out = io.BytesIO()
    image.save(out, kind)
    return {"image": "data:image/png;base64," + base64.b64encode(out.getvalue()).decode(), **more}


def means(folder: Path, shape: tuple[int | str, ...] = ("n", 3, 4, 6), axes: str = "spatial", **settings: Any) -> Any:
    """A task whose scores are the mean of each channel of the picture as it was fed in."""
    axis = 2 if axes == "spatial" else 1
    attribute = b"".join((b"\x0a\x04axes", b"\x40" + bytes([axis]), b"\x40" + bytes([axis + 1]), b"\xa0\x01\x07"))
    keep = b"\x0a\x08keepdims\x18\x00\xa0\x01\x02"
    extra = b"".join(b"\x2a" + bytes([len(one)]) + one for one in (attribute, keep))
    count = 3 if 3 in shape else 1
    whole = graph(
        [node("ReduceMean", ["x"], ["y"], extra=extra)], [declared("x", shape)], [declared("y", [shape[0], count])]
    )
    path = folder / "means.onnx"
    path.write_bytes(model(whole))
    how: dict[str, Any] = {"width": 6, "height": 4, "fit": "stretch", "activation": "none"}
    how["labels"] = ["red", "green", "blue"][:count]
    of = manifest("image-classification", (file(path),), folder, **(how | settings))
    return ImageClassification(of, lambda role: path)


def scores(task: ImageClassification, image: Any) -> dict[str, float]:
    task.load(1)
    (answer,) = call(task, "classify", sent(image))
    task.unload()
    return {one["label"]: one["score"] for one in answer.structured["labels"]}


def plain(colour: tuple[int, int, int] = (255, 51, 102), size: tuple[int, int] = (60, 40)) -> Any:
    from PIL import Image

    return Image.new("RGB", size, colour)


@pytest.mark.skipif(not installed("ocr"), reason="the package rapidocr-onnxruntime is not installed")
def test_a_real_classifier_tells_which_way_up_a_line_is(tmp_path: Path) -> None:
    """PaddleOCR's direction classifier, through its settings, against onnxruntime called by hand."""
    import numpy as np
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]
    from PIL import Image, ImageDraw, ImageFont

    (tmp_path / "labels.txt").write_text("upright\nupside down\n")
    of = shipped("ocr")
    direction = replace(next(one for one in of.files if one.role == "direction"), role="model")
    labels = file(tmp_path / "labels.txt", "labels")
    how = {"width": 192, "height": 48, "fit": "pad", "channels": "bgr", "mean": 0.5, "std": 0.5, "activation": "none"}
    task = ImageClassification(
        manifest("image-classification", (direction, labels), tmp_path, **how),
        lambda role: tmp_path / "labels.txt" if role == "labels" else placed(of, "direction"),
    )
    task.load(1)
    line = Image.new("RGB", (176, 44), "white")
    ImageDraw.Draw(line).text((10, 4), "Hello World", fill="black", font=ImageFont.load_default(size=30))
    up, down = call(task, "classify", sent(line), sent(line.rotate(180)))
    assert up.structured["label"] == "upright"
    assert down.structured["label"] == "upside down"
    assert min(up.structured["confidence"], down.structured["confidence"]) > 0.9
    assert up.text.startswith("upright ")
    Draft202012Validator(task.tools[0].output_schema).validate(up.structured)

    network = onnxruntime.InferenceSession(placed(of, "direction"), providers=["CPUExecutionProvider"])
    pixels = np.zeros((1, 3, 48, 192), np.float32)
    own = 192
    shown = np.asarray(line.resize((own, 48), Image.Resampling.BILINEAR), np.float32)
    pixels[0, :, :, :own] = ((shown / 255 - 0.5) / 0.5)[:, :, ::-1].transpose(2, 0, 1)
    chances = network.run(None, {"x": pixels})[0][0]
    assert up.structured["confidence"] == pytest.approx(float(chances[0]), abs=1e-4)


def test_channels_are_fed_in_their_order_and_scaled(tmp_path: Path) -> None:
    assert scores(means(tmp_path), plain()) == pytest.approx({"red": 1.0, "green": 0.2, "blue": 0.4}, abs=1e-4)
    assert scores(means(tmp_path, channels="bgr"), plain()) == pytest.approx(
        {"red": 0.4, "green": 0.2, "blue": 1.0}, abs=1e-4
    )
    shifted = means(tmp_path, mean=[0.5, 0.1, 0.2], std=[1.0, 0.5, 0.4])
    assert scores(shifted, plain()) == pytest.approx({"red": 0.5, "green": 0.2, "blue": 0.5}, abs=1e-4)


def test_channels_may_stand_last(tmp_path: Path) -> None:
    last = means(tmp_path, ("n", 4, 6, 3), "first", layout="nhwc")
    assert scores(last, plain()) == pytest.approx({"red": 1.0, "green": 0.2, "blue": 0.4}, abs=1e-4)


def test_a_gray_picture_has_one_channel(tmp_path: Path) -> None:
    gray = means(tmp_path, ("n", 1, 4, 6), channels="gray")
    assert scores(gray, plain((51, 51, 51))) == pytest.approx({"red": 0.2}, abs=1e-3)


def test_a_picture_is_stretched_cropped_or_padded(tmp_path: Path) -> None:
    from PIL import Image

    image = Image.new("RGB", (120, 40), "black")
    image.paste((255, 255, 255), (20, 0, 100, 40))  # a crop leaves the middle 60 x 40
    assert scores(means(tmp_path, fit="crop"), image)["red"] == pytest.approx(1.0, abs=0.01)
    assert scores(means(tmp_path, fit="stretch"), image)["red"] == pytest.approx(2 / 3, abs=0.02)
    assert scores(means(tmp_path, fit="pad"), image)["red"] == pytest.approx(1 / 3, abs=0.02)


def test_raw_scores_become_probabilities(tmp_path: Path) -> None:
    import math

    raw = {"red": 1.0, "green": 0.2, "blue": 0.4}
    total = sum(math.exp(value) for value in raw.values())
    soft = scores(means(tmp_path, activation="softmax"), plain())
    assert soft == pytest.approx({name: math.exp(value) / total for name, value in raw.items()}, abs=1e-4)
    each = scores(means(tmp_path, activation="sigmoid"), plain())
    assert each == pytest.approx({name: 1 / (1 + math.exp(-value)) for name, value in raw.items()}, abs=1e-4)


@pytest.mark.parametrize("rows", ["n", 1])
def test_pictures_together_are_each_answered(tmp_path: Path, rows: int | str) -> None:
    """Whether the network takes several at once or one."""
    task = means(tmp_path, (rows, 3, 4, 6))
    task.load(1)
    colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    found = call(task, "classify", *(sent(plain(colour), top=1) for colour in colours))
    assert [one.structured["label"] for one in found] == ["red", "green", "blue"]
    assert all(len(one.structured["labels"]) == 1 for one in found)


def test_a_damaged_picture_spoils_no_other(tmp_path: Path) -> None:
    task = means(tmp_path)
    task.load(1)
    whole = sent(plain(size=(600, 400)), "JPEG")
    raw = base64.b64decode(whole["image"].partition(",")[2])
    broken = {"image": base64.b64encode(raw[: len(raw) // 2]).decode()}
    jobs = [task.prepare("classify", broken), task.prepare("classify", whole), task.prepare("classify", whole)]
    ears = [Silence(), Silence(), Silence()]
    ears[2].gone = True
    first, second, third = task.run(jobs, ears)
    assert isinstance(first, BadInput)
    assert getattr(second, "structured", {})["label"] == "red"
    assert isinstance(third, ModelFailed)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 7}, r"the settings make float32 of the shape \[any, 3, 4, 7\], and the model takes"),
        ({"dtype": "uint8"}, "the settings make uint8"),
        ({"layout": "nhwc"}, "the settings make"),
        ({"labels": ["one", "two"]}, "gives 3 scores, and there are 2 labels"),
    ],
)
def test_settings_that_do_not_fit_the_model_refuse_it(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        means(tmp_path, **settings).load(1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labels": []}, "needs its labels"),
        ({"mean": [1, 2]}, "`mean` is not a list of 3 numbers"),
        ({"std": 0}, "`std` is not a list of 3 numbers"),
        ({"fit": "squeeze"}, "`fit` is `squeeze`"),
        ({"widht": 3}, "`widht` is not one of its task"),
    ],
)
def test_settings_that_make_no_sense_refuse_the_model(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        means(tmp_path, **settings)


@pytest.mark.parametrize("listed", ['["a", 1, "b"]', "a\n\nb\n", "[", b"\xff\xfe"])
def test_a_file_that_lists_no_labels_refuses_the_model(tmp_path: Path, listed: str | bytes) -> None:
    task = means(tmp_path)
    labels = tmp_path / "labels"
    labels.write_bytes(listed if isinstance(listed, bytes) else listed.encode())
    files = (file(tmp_path / "means.onnx"), file(labels, "labels"))
    of = manifest("image-classification", files, tmp_path, width=6, height=4)
    task = ImageClassification(of, lambda role: labels if role == "labels" else tmp_path / "means.onnx")
    with pytest.raises(ModelRefused, match="label"):
        task.load(1)
