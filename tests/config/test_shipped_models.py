"""Which packages a model needs and this Python has not got, without importing any."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tidegate.config import shipped_models
from tidegate.config.shipped_models import (
    import_name,
    is_installed,
    may_be_shipped_model,
    missing_packages,
    shipped_model_folder,
)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that packages are found in."""
    folder = tmp_path / "lib"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def manifest(folder: Path, text: str) -> Path:
    (folder / "model.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("silero-vad", "silero_vad"),
        ("pillow", "PIL"),
        ("fasttext-predict", "fasttext"),
        ("onnxruntime>=1.2", "onnxruntime"),
    ],
)
def test_packages_are_looked_for_under_the_name_they_are_imported_by(package: str, module: str) -> None:
    assert import_name(package) == module


def test_what_is_not_there_is_missing_and_nothing_is_imported(tmp_path: Path, library: Path) -> None:
    folder = manifest(tmp_path, 'install = ["json", "is-there-x", "not-there-x"]\n')
    (library / "is_there_x.py").write_text("raise AssertionError('imported')")
    assert missing_packages(folder) == ("not-there-x",)
    assert "is_there_x" not in sys.modules


def test_a_folder_that_only_has_the_name_is_no_package(tmp_path: Path, library: Path) -> None:
    (library / "hollow_x").mkdir()
    assert missing_packages(manifest(tmp_path, 'install = ["hollow-x"]\n')) == ("hollow-x",)


def test_a_package_without_the_file_that_it_should_carry_is_missing(tmp_path: Path, library: Path) -> None:
    (library / "carrier_x").mkdir()
    (library / "carrier_x" / "__init__.py").touch()
    text = 'install = ["Carrier-X"]\n[files.model]\npackage = "carrier_x"\npath = "data/m.onnx"\n'
    assert missing_packages(manifest(tmp_path, text)) == ("Carrier-X",)
    (library / "carrier_x" / "data").mkdir()
    (library / "carrier_x" / "data" / "m.onnx").touch()
    assert missing_packages(tmp_path) == ()


@pytest.mark.parametrize(
    "text", ["[", "install = 3", "install = [3]", "files = 1", "[files]\nmodel = 2", '[files.model]\npackage = "../x"']
)
def test_a_manifest_that_makes_no_sense_is_somebody_elses_to_complain_about(tmp_path: Path, text: str) -> None:
    assert missing_packages(manifest(tmp_path, text)) == ()


def test_only_names_of_folders_with_a_manifest_come_with_tidegate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_models, "DIRECTORY", tmp_path)
    (tmp_path / "one").mkdir()
    manifest(tmp_path / "one", "")
    (tmp_path / "no-manifest").mkdir()
    assert shipped_models.shipped_models() == ("one",)
    assert shipped_model_folder("one") == tmp_path / "one"
    assert shipped_model_folder("../" + tmp_path.name + "/one") is None
    assert not may_be_shipped_model("./one")
    assert is_installed("one")
    assert not is_installed("no-manifest")
