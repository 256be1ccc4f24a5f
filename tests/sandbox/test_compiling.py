"""Compiling is done by a child that is polite, bounded, and gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import tidegate
from tidegate.sandbox.artefacts import Artefacts, sha256_of
from tidegate.sandbox.compile_child import MAX_CPU_S, MAX_DATA_BYTES, NICENESS
from tidegate.sandbox.compiling import CompilationFailed, compile_in_child
from tidegate.sandbox.engine import NoEngine, engine_key

EMPTY = b"\0asm\x01\0\0\0"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(tidegate.__file__).parents[1])}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "empty.wasm"
    path.write_bytes(EMPTY)
    return path


def test_what_the_child_compiled_is_found_by_whoever_has_its_key(file: Path, tmp_path: Path) -> None:
    place = tmp_path / "plugins"
    found = asyncio.run(compile_in_child(file, sha256_of(EMPTY), place))
    artefact = Artefacts(place).find(sha256_of(EMPTY), engine_key())
    assert artefact is not None
    assert artefact.path.stat().st_size == found.artefact_bytes


def failure(file: Path, digest: str, place: Path, **named: object) -> str:
    with pytest.raises(CompilationFailed) as caught:
        asyncio.run(compile_in_child(file, digest, place, **named))  # type: ignore[arg-type]
    return str(caught.value)


def test_a_file_with_another_digest_is_not_compiled(file: Path, tmp_path: Path) -> None:
    said = failure(file, sha256_of(b"other"), tmp_path / "plugins")
    assert said == f"its digest is {sha256_of(EMPTY)}, expected {sha256_of(b'other')}"
    assert not (tmp_path / "plugins").exists()


def test_why_it_failed_is_told(file: Path, tmp_path: Path) -> None:
    assert "No such file" in failure(tmp_path / "none.wasm", sha256_of(b""), tmp_path / "plugins")
    broken = EMPTY + b"\x01\x7f"
    file.write_bytes(broken)
    assert failure(file, sha256_of(broken), tmp_path / "plugins")
    file.write_bytes(EMPTY)
    (tmp_path / "file").write_text("")
    assert "Not a directory" in failure(file, sha256_of(EMPTY), tmp_path / "file" / "plugins")


@pytest.mark.parametrize("check", ["tool", "filter"])
def test_a_plugin_that_could_not_be_loaded_is_refused_when_that_is_asked(
    file: Path, tmp_path: Path, check: str
) -> None:
    assert "does not export `memory`" in failure(file, sha256_of(EMPTY), tmp_path / "plugins", check=check)


def children_on(file: Path) -> list[str]:
    """Processes that were started for this file."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(file) in (place / "cmdline").read_bytes():
                found.append(place.name)
    return found


def test_one_that_takes_too_long_is_ended_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "endless.wasm"
    os.mkfifo(fifo)  # nobody writes to it
    said = failure(fifo, sha256_of(b""), tmp_path / "plugins", timeout_s=0.2)
    assert said == "compiling it took longer than 0.2 s"
    assert children_on(fifo) == []


def test_whoever_gives_up_waiting_leaves_no_child_behind(tmp_path: Path) -> None:
    fifo = tmp_path / "endless.wasm"
    os.mkfifo(fifo)

    async def give_up() -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(compile_in_child(fifo, sha256_of(b""), tmp_path / "plugins"))
            while not children_on(fifo):  # noqa: ASYNC110  nobody tells when a process is there
                await asyncio.sleep(0.01)
            work.cancel()

    asyncio.run(asyncio.wait_for(give_up(), 30))
    assert children_on(fifo) == []


def test_the_child_limits_its_memory_and_time_and_lets_others_go_first() -> None:
    program = (
        "import json, os, resource\n"
        "from tidegate.sandbox.compile_child import limit_itself\n"
        "limit_itself()\n"
        "print(json.dumps([os.nice(0), resource.getrlimit(resource.RLIMIT_DATA)[0],"
        " resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_CORE)[0]]))\n"
        "bytearray(2 * 1024 ** 3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    nice, data, cpu, core = json.loads(done.stdout)
    assert nice == min(19, os.nice(0) + NICENESS)
    assert data == MAX_DATA_BYTES
    assert cpu == MAX_CPU_S
    assert core == 0
    assert "MemoryError" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] != MAX_DATA_BYTES


def test_an_unknown_target_is_refused_in_words() -> None:
    assert engine_key("aarch64-linux") == engine_key("aarch64-unknown-linux-gnu")
    with pytest.raises(NoEngine, match="cannot compile for `z80`"):
        engine_key("z80")


def test_what_another_engine_left_goes_when_something_is_compiled(file: Path, tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "plugins")
    old = artefacts.put(sha256_of(b"other"), "engine of last year", b"code")
    asyncio.run(compile_in_child(file, sha256_of(EMPTY), artefacts.directory))
    assert not old.path.exists()
    assert artefacts.find(sha256_of(EMPTY), engine_key()) is not None
