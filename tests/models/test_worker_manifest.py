"""`model.toml`, read as what somebody unknown wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import ModelRefused
from tidegate.models.manifest import BrokenManifest, digest_of, is_inner_path, parse_manifest, read_manifest
from tidegate.models.worker.assignment import read_assignment

SHA = "ab" * 32
WHOLE = f"""
name = "voice"
version = "6.2"
description = "Speech or not"
licence = "MIT"
task = "voice-activity"
install = ["onnxruntime", "silero-vad"]
[files.model]
package = "silero_vad"
path = "data/silero_vad.onnx"
sha256 = "{SHA}"
inputs = [{{ name = "input", dtype = "float32", shape = [-1, -1] }}]
outputs = [{{ name = "output", dtype = "float32", shape = [1, 2] }}]
[settings]
threshold = 0.5
[tools.detect]
name = "hear"
title = "Hear"
description = "Is anybody speaking?"
[limits]
memory_bytes = 1
deadline_ms = 2
input_bytes = 3
batch = 4
batch_wait_ms = 5
queue = 6
"""


def test_a_whole_one_is_read() -> None:
    manifest = parse_manifest(WHOLE.encode(), Path("/m"))
    assert (manifest.name, manifest.version, manifest.task) == ("voice", "6.2", "voice-activity")
    assert manifest.licence == "MIT"
    assert manifest.install == ("onnxruntime", "silero-vad")
    (file,) = manifest.files
    assert (file.role, file.package, file.path, file.sha256) == ("model", "silero_vad", "data/silero_vad.onnx", SHA)
    assert (file.inputs[0].name, file.inputs[0].dtype, file.inputs[0].shape) == ("input", "float32", (-1, -1))
    assert file.outputs[0].shape == (1, 2)
    assert manifest.settings == {"threshold": 0.5}
    assert manifest.tools["detect"].name == "hear"
    limits = manifest.limits
    assert (limits.memory_bytes, limits.deadline_ms, limits.input_bytes) == (1, 2, 3)
    assert (limits.batch, limits.batch_wait_ms, limits.queue) == (4, 5, 6)
    assert manifest.digest == digest_of(WHOLE.encode())


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "voice"', 'name = "Voice"', "`name`"),
        ('name = "voice"', "", "`name`"),
        ('task = "voice-activity"', "task = 5", "`task`"),
        ('licence = "MIT"', 'licence = "MIT"\ncolour = "red"', "`colour`"),
        ("package =", "pakage =", "`files.model.pakage`"),
        ('package = "silero_vad"', 'package = "os.path"', "`files.model.package`"),
        ("threshold = 0.5", "threshold = nan", "nan"),
        ("threshold = 0.5", "threshold = 2020-01-01", "date"),
        ("threshold = 0.5", f"threshold = {'[' * 40}{']' * 40}", "levels"),
        ("threshold = 0.5", "threshold = 99999999999999999999", "64 bits"),
        ("data/silero_vad.onnx", "../silero_vad.onnx", "`files.model.path`"),
        ("data/silero_vad.onnx", "/etc/passwd", "`files.model.path`"),
        ("data/silero_vad.onnx", "data//x", "`files.model.path`"),
        ("data/silero_vad.onnx", "", "`files.model.path`"),
        (SHA, "ABCD", "`files.model.sha256`"),
        (f'sha256 = "{SHA}"', "", "`files.model.sha256`"),
        ("[-1, -1]", "[-2]", "shape"),
        ("[-1, -1]", "[true]", "shape"),
        ("[-1, -1]", str([1] * 17), "shape"),
        ("[-1, -1]", "[4294967296]", "shape"),
        ('dtype = "float32"', 'dtype = "Float 32"', "dtype"),
        ("[tools.detect]", '[tools."de tect"]', "`tools`"),
        ('name = "hear"', 'name = "he ar"', "`tools.detect.name`"),
        ('title = "Hear"', f'title = "{"x" * 300}"', "`tools.detect.title`"),
        ("batch = 4", "batch = 0", "`limits.batch`"),
        ("batch = 4", "batch = true", "`limits.batch`"),
        ("batch = 4", "batch = 4.5", "`limits.batch`"),
        ("queue = 6", "queue = 6\nspeed = 1", "`limits.speed`"),
        ('"onnxruntime", ', '"--index-url", ', "`install`"),
        ("[settings]", "settings = 5\n[other]", "`other`"),
        ("[files.model]", f"{'a.' * 20}b = 1\n[files.model]", "parts"),
        ('name = "voice"', "name = ", "TOML"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, named: str) -> None:
    assert old in WHOLE
    with pytest.raises(BrokenManifest, match=named.replace("`", ".").replace("[", r"\[")):
        parse_manifest(WHOLE.replace(old, new, 1).encode(), Path("/m"))


def test_one_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(BrokenManifest, match="bytes"):
        parse_manifest(b"#" * 300_000, Path("/m"))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_the_bytes_are_they_are_refused_by_name(text: bytes) -> None:
    with pytest.raises(BrokenManifest):
        parse_manifest(text, Path("/m"))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_one_wrong_byte_is_read_or_refused(at: int, byte: int) -> None:
    text = bytearray(WHOLE.encode())
    text[at] = byte
    try:
        manifest = parse_manifest(bytes(text), Path("/m"))
    except BrokenManifest:
        return
    assert all(is_inner_path(file.path) for file in manifest.files)


@pytest.mark.parametrize("path", ["..", "a/..", "a/../b", ".", "", "/", "a//b", "a/", "a\nb", "a\0b"])
def test_no_path_leads_out(path: str) -> None:
    assert not is_inner_path(path)


def test_a_pinned_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(WHOLE)
    assert read_manifest(tmp_path, digest_of(WHOLE.encode())).name == "voice"
    with pytest.raises(ModelRefused, match="digest"):
        read_manifest(tmp_path, "sha256:" + "0" * 64)
    with pytest.raises(ModelRefused, match="64 hexadecimal"):
        read_manifest(tmp_path, "md5:1")


def test_a_manifest_that_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="cannot be read"):
        read_manifest(tmp_path)
    os.mkfifo(tmp_path / "model.toml")
    with pytest.raises(ModelRefused, match="no plain file"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"models":[]}',
        '{"models":[5]}',
        '{"models":[{"path":""}]}',
        '{"models":[{"path":"x"}],"memory_bytes":-1}',
        '{"models":[{"path":"x"}],"memory_bytes":"1"}',
        '{"models":[{"path":"x"}],"set":1}',
        '{"models":[{"path":"x"}],"power":1}',
        '{"models":[{"path":"x"}],"unload_idle_s":1e999}',
    ],
)
def test_a_worker_that_is_told_nonsense_says_so(text: str) -> None:
    with pytest.raises(Exception, match="TIDEGATE_MODELS"):
        read_assignment(text)


def test_what_a_worker_is_not_told_has_a_default() -> None:
    assignment = read_assignment('{"models":[{"path":"x"}],"unload_idle_s":1,"unknown":2}')
    assert assignment.models[0].path == "x"
    assert assignment.unload_idle_s == 1.0
    assert assignment.memory_bytes == 0
