"""Which plugins a gateway does not load, and what its operator is told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Filter, Limits
from tidegate.config.snapshot import Plugin as Configured
from tidegate.errors import PluginRefused
from tidegate.events import Events
from tidegate.pipeline.plugins import Plugins
from tidegate.sandbox.artefacts import sha256_of
from tidegate.sandbox.compiling import Compiled, compile_in_child
from tidegate.sandbox.manifest import embed
from tidegate.sandbox.sections import with_custom_section

EMPTY = b"\0asm\x01\0\0\0"
TOOL = b'name = "a"\nversion = "1"\nworld = "tool"\ntools = [{ name = "t", input_schema = {} }]\n'
FILTER = b'name = "a"\nversion = "1"\nworld = "filter"\ninspects = ["request"]\n'
GOOD = embed(EMPTY, TOOL)

WAIT_S = 60.0
"""Bound of each; never reached when all is well."""


def refusal(state: Path, configured: Configured, *, as_filter: bool = False) -> str:
    async def load() -> None:
        plugins = Plugins(state, (), Limits(), Clock(), Events())
        try:
            async with asyncio.timeout(WAIT_S):
                if as_filter:
                    await plugins.load_filter(Filter("mine", configured))
                else:
                    await plugins.load_backend(Backend("mine", "wasm", plugin=configured))
        finally:
            await plugins.aclose()

    with pytest.raises(PluginRefused) as caught:
        asyncio.run(load())
    return str(caught.value)


def written(folder: Path, wasm: bytes) -> Configured:
    file = folder / "a.wasm"
    file.write_bytes(wasm)
    return Configured(str(file), digest=sha256_of(wasm))


@pytest.mark.parametrize(
    ("wasm", "as_filter", "message"),
    [
        (b"#!/bin/sh\n", False, "its file is not a WASM binary"),
        (EMPTY, False, "is refused: there is no manifest in it"),
        (with_custom_section(EMPTY, "tidegate:manifest", b"name = 1"), False, "is refused: `world`: expected"),
        (GOOD, True, "is a tool, and cannot be used as a filter; a tool stands under `backends`"),
        (embed(EMPTY, FILTER), False, "is a filter, and cannot be used as a tool; a filter stands under `filters`"),
        (GOOD + b"\x01\x01", False, "ends in the middle of a section"),
        (embed(EMPTY + b"\x01\x01\x09", TOOL), False, "is refused: "),
        (GOOD, False, "it does not export `memory`"),
    ],
    ids=("script", "no-manifest", "broken-manifest", "tool", "filter", "cut", "no-code", "no-plugin"),
)
def test_what_is_no_such_plugin_is_refused_with_the_reason(
    tmp_path: Path, wasm: bytes, as_filter: bool, message: str
) -> None:
    said = refusal(tmp_path / "state", written(tmp_path, wasm), as_filter=as_filter)
    assert said.startswith("plugin `mine` ")
    assert message in said


def test_what_is_refused_each_time_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    async def counted(file: Path, digest: str, directory: Path) -> Compiled:
        compiled.append(digest)
        return await compile_in_child(file, digest, directory)

    monkeypatch.setattr("tidegate.sandbox.compiling.compile_in_child", counted)
    configured = written(tmp_path, GOOD)

    async def load() -> None:
        plugins = Plugins(tmp_path / "state", (), Limits(), Clock(), Events())
        try:
            async with asyncio.timeout(WAIT_S):
                for names in ("a", "b"), ("c",):
                    calls = [plugins.load_backend(Backend(name, "wasm", plugin=configured)) for name in names]
                    ended = await asyncio.gather(*calls, return_exceptions=True)
                    assert [type(one) for one in ended] == [PluginRefused] * len(names)
        finally:
            await plugins.aclose()

    asyncio.run(load())
    assert compiled == [configured.digest]


def test_a_file_that_was_changed_since_it_was_added_is_refused(tmp_path: Path) -> None:
    configured = written(tmp_path, GOOD)
    other = embed(EMPTY, TOOL.replace(b'"1"', b'"2"'))
    Path(configured.file).write_bytes(other)
    said = refusal(tmp_path / "state", configured)
    assert "is not the file that was added" in said
    assert sha256_of(other) in said
    assert configured.digest in said


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    said = refusal(tmp_path / "state", Configured(str(tmp_path / "gone.wasm"), digest=sha256_of(b"")))
    assert said == f"plugin `mine` cannot be read: No such file or directory: {tmp_path / 'gone.wasm'}"


def test_a_name_that_no_shipped_plugin_has_is_said_so(tmp_path: Path) -> None:
    said = refusal(tmp_path / "state", Configured("no-such", shipped=True))
    assert said == "plugin `mine` is refused: no plugin `no-such` comes with tidegate"


def test_a_state_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    assert "is not a directory that only this user can write to" in refusal(state, written(tmp_path, GOOD))


def test_a_build_without_the_sandbox_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tidegate.sandbox.running", None)
    assert refusal(tmp_path / "state", written(tmp_path, GOOD)).startswith("plugins cannot be run: ")
