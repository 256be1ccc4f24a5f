"""The shipped model `content-type`: real files of many kinds, and the same answers as the library gives by itself."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import json
import sqlite3
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from models_at_hand import Silence, call, file, installed, placed, shipped

from tidegate.errors import ModelRefused
from tidegate.models.task import Answer, BadInput
from tidegate.models.tasks.file_type import FileType

pytestmark = pytest.mark.skipif(not installed("content-type"), reason="the package magika is not installed")


@pytest.fixture(scope="module")
def content_type() -> Iterator[FileType]:
    of = shipped("content-type")
    task = FileType(of, lambda role: placed(of, role))
    task.load(1)
    yield task
    task.unload()


def sent(data: bytes) -> dict[str, Any]:
    return {"file": base64.b64encode(data).decode()}


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("notes/readme.txt", "nothing to see\n" * 40)
        zipped.writestr("data.bin", bytes(range(256)))
    return out.getvalue()


def tape() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("hello.txt")
        entry.size = 600
        tar.addfile(entry, io.BytesIO(b"hello " * 100))
    return out.getvalue()


def picture(kind: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.radial_gradient("L").resize((64, 48)).convert("RGB").save(out, kind)
    return out.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a, b)")
    connection.execute("insert into t values (1, 'two')")
    return connection.serialize()


@cache  # archives carry the time
def files() -> dict[str, tuple[str, bytes]]:
    """What each is, by its expected label."""
    program = Path(__file__).read_bytes()
    page = b"<!DOCTYPE html><html><head><title>t</title></head><body><h1>One</h1><p>Two.</p></body></html>"
    letter = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    letter += b"xref\n0 3\n0000000000 65535 f \ntrailer<</Size 3/Root 1 0 R>>\nstartxref\n110\n%%EOF\n"
    table = b"name,age,town\n" + b"".join(b"person%d,%d,Town %d\n" % (n, 20 + n, n * 7) for n in range(40))
    script = b'#!/bin/sh\nset -eu\nfor file in *.txt; do\n  echo "$file"\n  grep -c word "$file" || true\ndone\n'
    return {
        "python": ("text/x-python", program),
        "png": ("image/png", picture("PNG")),
        "jpeg": ("image/jpeg", picture("JPEG")),
        "gif": ("image/gif", picture("GIF")),
        "zip": ("application/zip", archive()),
        "gzip": ("application/gzip", gzip.compress(program)),
        "tar": ("application/x-tar", tape()),
        "html": ("text/html", page),
        "pdf": ("application/pdf", letter),
        "json": ("application/json", json.dumps({"a": [1, 2, {"b": None}], "c": "text " * 10}, indent=2).encode()),
        "csv": ("text/csv", table),
        "shell": ("text/x-shellscript", script),
        "sqlite": ("application/octet-stream", database()),
    }


@pytest.mark.parametrize("label", files())
def test_a_file_is_known_by_what_is_in_it(content_type: FileType, label: str) -> None:
    mime_type, data = files()[label]
    (answer,) = call(content_type, "identify", sent(data))
    assert (answer.structured["label"], answer.structured["mime_type"]) == (label, mime_type)
    assert answer.structured["confidence"] > 0.5
    assert answer.structured["guess"] == label
    assert mime_type in answer.text
    Draft202012Validator(content_type.tools[0].output_schema).validate(answer.structured)


def cases() -> list[bytes]:
    whole = [data for _, data in files().values()]
    cut = [data[: len(data) // 2] for data in whole] + [data[7:] for data in whole]
    few = [
        b"hi",
        b"\xff\xfe\0",
        b"       \n\n     a   ",
        b"x" * 8,
        b"\0" * 5000,
        b" " * 6000,
        b"caf\xe9 et th\xe9 au lait",
    ]
    odd = [b"  \n\t" * 2000 + b"int main(void) { return 0; }", bytes(range(256)) * 40, b"lorem ipsum dolor " * 400]
    return whole + cut + few + odd


def test_every_answer_is_the_one_the_library_itself_gives(content_type: FileType) -> None:
    """By its own Python API, which reads the same files: label, MIME type, guess and score."""
    magika = pytest.importorskip("magika")
    theirs = magika.Magika()
    jobs = [content_type.prepare("identify", sent(data)) for data in cases()]
    ours = content_type.run(jobs, [Silence() for _ in jobs])
    unsure = 0
    for data, one in zip(cases(), ours, strict=True):
        assert isinstance(one, Answer)
        expected = theirs.identify_bytes(data)
        found = one.structured
        assert (found["label"], found["guess"]) == (str(expected.output.label), str(expected.dl.label)), data[:60]
        assert found["mime_type"] == expected.output.mime_type
        assert found["description"] == expected.output.description
        assert found["is_text"] == expected.output.is_text
        assert found["confidence"] == pytest.approx(expected.score, abs=5e-3)  # of a batch, which is rounded otherwise
        unsure += found["label"] != found["guess"]
    assert unsure > 3


@pytest.mark.parametrize("sure", ["medium", "best-guess"])
def test_less_caution_is_the_librarys_other_mode(sure: str) -> None:
    magika = pytest.importorskip("magika")
    of = shipped("content-type")
    task = FileType(replace(of, settings={"sure": sure}), lambda role: placed(of, role))
    task.load(1)
    mode = {"medium": "MEDIUM_CONFIDENCE", "best-guess": "BEST_GUESS"}[sure]
    theirs = magika.Magika(prediction_mode=magika.PredictionMode[mode])
    for data, answer in zip(cases(), call(task, "identify", *map(sent, cases())), strict=True):
        assert answer.structured["label"] == str(theirs.identify_bytes(data).output.label), data[:60]
    task.unload()


def test_a_label_has_a_threshold_of_its_own(tmp_path: Path) -> None:
    of = shipped("content-type")
    config = json.loads(placed(of, "config").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | {"thresholds": {"python": 1.0}}))
    task = FileType(of, lambda role: tmp_path / "config.json" if role == "config" else placed(of, role))
    task.load(1)
    program, page = call(task, "identify", sent(files()["python"][1]), sent(files()["html"][1]))
    assert (program.structured["label"], program.structured["guess"]) == ("txt", "python")
    assert program.text.startswith("Generic text document (text/plain); perhaps python")
    assert page.structured["label"] == "html"
    task.unload()


def test_calls_together_are_answered_as_each_alone(content_type: FileType) -> None:
    calls = [sent(data) for _, data in files().values()]
    alone = [call(content_type, "identify", one)[0] for one in calls]
    together = call(content_type, "identify", *calls)
    assert [one.structured["label"] for one in together] == [one.structured["label"] for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.structured["confidence"] == pytest.approx(other.structured["confidence"], abs=5e-3)


def test_nothing_is_told_that_it_is_nothing(content_type: FileType) -> None:
    with pytest.raises(BadInput, match="`file` is empty: send it as base64"):
        content_type.prepare("identify", {"file": ""})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mid_size": 512}, "middle of files"),
        ({"block_size": 1 << 30}, "`block_size`"),
        ({"beg_size": 100}, "does not take rows of 1124 numbers"),
        ({"target_labels_space": ["a"]}, "rows of 1, as its configuration says"),
        ({"target_labels_space": [1]}, "no labels"),
        ({"thresholds": {"a": "b"}}, "no labels, thresholds"),
    ],
)
def test_a_configuration_that_does_not_fit_refuses_the_model(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    of = shipped("content-type")
    config = json.loads(placed(of, "config").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    task = FileType(of, lambda role: tmp_path / "config.json" if role == "config" else placed(of, role))
    with pytest.raises(ModelRefused, match=words):
        task.load(1)


def test_a_configuration_that_is_no_json_refuses_the_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"[" * 100_000)
    of = shipped("content-type")
    task = FileType(of, lambda role: tmp_path / "config.json" if role == "config" else placed(of, role))
    with pytest.raises(ModelRefused, match=r"`config\.json` is no JSON file"):
        task.load(1)


def test_a_model_without_its_files_is_refused() -> None:
    of = shipped("content-type")
    spec = importlib.util.find_spec("magika")
    assert spec is not None
    with pytest.raises(ModelRefused, match=r"needs `\[files\.config\]`"):
        FileType(replace(of, files=(file(placed(of, "model")),)), lambda role: placed(of, role))
