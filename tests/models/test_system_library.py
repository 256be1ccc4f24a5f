"""Packages that are installed on a box that lacks a library of the system's."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import pytest
from onnx_writing import doubling

from tidegate.errors import ModelMissing
from tidegate.models.manifest import ModelFile, ModelLimits
from tidegate.models.runtimes import llama_library
from tidegate.models.runtimes.onnx import OnnxSession
from tidegate.models.runtimes.system_library import unusable

NO_FILE = "cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("said", "command"),
    [
        (f"libgomp.so.1: {NO_FILE}", "apt-get install libgomp1"),
        (f"PLEASE READ THIS\n\nOriginal error was: libstdc++.so.6: {NO_FILE}\n", "apt-get install libstdc++6"),
        (f"/lib/xllamacpp.abi3.so: {NO_FILE}", "put it back"),
        ("/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found", "put it back"),
    ],
)
def test_what_helps_is_said(said: str, command: str) -> None:
    words = unusable("pack", ImportError(said), "put it back")
    assert words.startswith("the package `pack` cannot be used: ")
    assert words.endswith(command)
    assert "\n" not in words


def test_llama_without_libgomp_asks_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")

    def fails(path: str) -> None:
        raise OSError(f"libgomp.so.1: {NO_FILE}")

    monkeypatch.setattr(llama_library, "_opened", None)
    monkeypatch.setattr(llama_library, "LlamaLibrary", fails)
    with pytest.raises(ModelMissing, match=r"no `libgomp\.so\.1`.* apt-get install libgomp1$"):
        llama_library.opened()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `import onnxruntime` finds."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "onnxruntime.py"


def test_an_onnxruntime_that_cannot_be_loaded_is_not_said_to_be_absent(package: Path) -> None:
    package.write_text(f"raise ImportError('libstdc++.so.6: {NO_FILE}')")
    model = package.with_name("m.onnx")
    model.write_bytes(doubling())
    with pytest.raises(ModelMissing, match=r"no `libstdc\+\+\.so\.6`.* apt-get install libstdc\+\+6$"):
        OnnxSession.open(model, ModelFile("model", "m.onnx", sha256(doubling()).hexdigest()), 1, ModelLimits())
