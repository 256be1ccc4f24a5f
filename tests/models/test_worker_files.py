"""Which files a model gets to see: its own, as its manifest says they are, and no others."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.errors import ModelMissing, ModelRefused
from tidegate.models import files as files_module
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import ModelFile, ModelManifest

DATA = b"weights" * 1000


def manifest(folder: Path, path: str = "a/model.bin", data: bytes = DATA, package: str = "") -> ModelManifest:
    file = ModelFile("model", path, hashlib.sha256(data).hexdigest(), package)
    return ModelManifest("m", "1", "", "", "toy", (file,), folder, "", install=("some-package",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "a").mkdir(parents=True)
    (home / "a" / "model.bin").write_bytes(DATA)
    (tmp_path / "outside.bin").write_bytes(DATA)
    return home


def test_a_file_that_is_what_it_should_be_is_placed(folder: Path) -> None:
    assert ModelFiles(manifest(folder)).place("model").read_bytes() == DATA


def test_one_with_other_bytes_is_refused(folder: Path) -> None:
    with pytest.raises(ModelRefused, match="SHA-256"):
        ModelFiles(manifest(folder, data=b"others")).place("model")


def test_it_is_hashed_once_and_again_when_it_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    real = files_module._sha256
    monkeypatch.setattr(files_module, "_sha256", lambda descriptor: hashed.append(1) or real(descriptor))
    files = ModelFiles(manifest(folder))
    files.place("model")
    files.place("model")
    files.still_those()
    assert len(hashed) == 1
    place = folder / "a" / "model.bin"
    place.write_bytes(b"x" * len(DATA))
    os.utime(place, ns=(1, 1))
    with pytest.raises(ModelRefused, match="replaced"):
        files.still_those()
    with pytest.raises(ModelRefused, match="SHA-256"):
        files.place("model")
    assert len(hashed) == 2


def test_one_that_is_larger_than_it_may_be_is_not_even_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "_sha256", lambda descriptor: pytest.fail("it was read"))
    with pytest.raises(ModelRefused, match=f"{len(DATA)} bytes"):
        ModelFiles(manifest(folder), memory_bytes=100).place("model")


def test_no_link_is_followed(folder: Path) -> None:
    (folder / "link.bin").symlink_to("a/model.bin")
    (folder / "b").symlink_to("a")
    (folder / "out").symlink_to(folder.parent)
    for path in ("link.bin", "b/model.bin", "out/outside.bin"):
        with pytest.raises(ModelRefused, match="link"):
            ModelFiles(manifest(folder, path)).place("model")


def test_the_folder_itself_may_be_reached_by_a_link(folder: Path) -> None:
    other = folder.parent / "other"
    other.symlink_to(folder)
    assert ModelFiles(manifest(other)).place("model").read_bytes() == DATA


def test_what_is_no_plain_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for path in ("pipe", "a"):
        with pytest.raises(ModelRefused, match="plain file"):
            ModelFiles(manifest(folder, path)).place("model")


def test_a_file_that_is_not_there_is_missing_and_the_way_to_it_is_said(folder: Path) -> None:
    with pytest.raises(ModelMissing, match=r"tidegate model add m --install.*some-package"):
        ModelFiles(manifest(folder, "a/nothing.bin")).place("model")


def test_a_part_that_the_manifest_does_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(ModelRefused, match=r"files\.tokenizer"):
        ModelFiles(manifest(folder)).place("tokenizer")


class TestPackages:
    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        home = tmp_path / "site" / "toy_weights"
        (home / "data").mkdir(parents=True)
        (home / "__init__.py").write_text("raise SystemExit('it was imported')")
        (home / "data" / "m.bin").write_bytes(DATA)
        monkeypatch.syspath_prepend(tmp_path / "site")
        return "toy_weights"

    def test_a_file_of_a_package_is_found_without_importing_it(self, tmp_path: Path, package: str) -> None:
        found = ModelFiles(manifest(tmp_path, "data/m.bin", package=package)).place("model")
        assert found.read_bytes() == DATA
        assert package not in sys.modules

    def test_a_package_that_is_not_there_or_lacks_the_file_is_missing(self, tmp_path: Path, package: str) -> None:
        for name in (package, "no_such_package_here", "json.decoder", "ctypes_is_a_file"):
            with pytest.raises(ModelMissing, match="some-package"):
                ModelFiles(manifest(tmp_path, "data/other.bin", package=name)).place("model")

    def test_nothing_outside_the_package_is_reached(self, tmp_path: Path, package: str) -> None:
        (tmp_path / "site" / package / "out").symlink_to(tmp_path)
        with pytest.raises(ModelRefused, match="link"):
            ModelFiles(manifest(tmp_path, "out/site/x", package=package)).place("model")


def test_a_manifest_without_packages_to_install_names_none(folder: Path) -> None:
    bare = replace(manifest(folder, "a/nothing.bin"), install=())
    with pytest.raises(ModelMissing) as caught:
        ModelFiles(bare).place("model")
    assert "install" not in str(caught.value)
