"""Machine code that comes with tidegate: made where that is built, which may have been on another processor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tidegate.clock import Clock
from tidegate.config import shipped
from tidegate.config.snapshot import Limits
from tidegate.events import Events
from tidegate.pipeline.plugins import Plugins
from tidegate.sandbox.artefacts import Artefact, Artefacts, Seal, seal_path, sha256_of
from tidegate.sandbox.engine import engine_key
from tidegate.sandbox.shipped_code import PROOF

WASM, CODE = b"\0asm\x01\0\0\0", b"came"
DIGEST = sha256_of(WASM)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin that comes, with its code."""
    monkeypatch.setattr(shipped, "DIRECTORY", tmp_path)
    file = tmp_path / "ours.wasm"
    file.write_bytes(WASM)
    code = file.with_suffix(".cwasm")
    code.write_bytes(CODE)
    seal_path(code).write_bytes(Seal(DIGEST, sha256_of(CODE), engine_key(), "", PROOF).text())
    return file


def found(file: Path, state: Path) -> Artefact:
    async def ask() -> Artefact:
        plugins = Plugins(state, (), Limits(), Clock(), Events())
        return await plugins.artefact(file, DIGEST, "mine", "ours", anew=False)

    return asyncio.run(ask())


def test_code_that_came_is_used_where_it_lies(file: Path, tmp_path: Path) -> None:
    assert found(file, tmp_path / "state").path == file.with_suffix(".cwasm")
    assert not (tmp_path / "state").exists()


def test_what_was_compiled_here_goes_before_what_came(file: Path, tmp_path: Path) -> None:
    """Here it was compiled because what came cannot be run; it is not compiled at each start."""
    ours = Artefacts(tmp_path / "state").put(DIGEST, engine_key(), b"made here")
    assert found(file, tmp_path / "state").path == ours.path
