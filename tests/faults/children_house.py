"""A daemon whose backends are the programs in `children/`, and what /proc tells of their processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from clients import Reply
from two_backends import Json, TwoBackends, two_backends

CHILDREN = Path(__file__).parent / "children"
HOSTILE = {
    "hangs": "hangs",
    "stops": "stops",
    "floods-endless": "floods_stdout endless",
    "floods-garbage": "floods_stdout garbage",
    "floods-blank": "floods_stdout blank",
    "floods-notices": "floods_stdout notices",
    "floods-answers": "floods_stdout answers",
    "noisy": "floods_stderr lines",
    "noisy-endless": "floods_stderr endless",
    "stubborn": "ignores_sigterm",
    "forks": "forks",
    "forks-dies": "forks dies",
    "forks-on": "forks_on",
    "exits": "exits_at_once",
    "exits-50": "exits_after_50",
    "half-line": "dies_in_a_line",
    "closes-stdout": "closes 1",
    "closes-stdin": "closes 0",
    "heir": "leaves_a_heir",
    "shows": "shows_descriptors",
    "grows": "grows",
    "burns": "burns",
}
"""Backend → program and its words."""


def command(name: str) -> str:
    program, *words = HOSTILE[name].split()
    return json.dumps([sys.executable, "-S", "-E", str(CHILDREN / f"{program}.py"), *words])


@asynccontextmanager
async def hostile(*names: str, timeout_s: float = 1, more: str = "") -> AsyncIterator[TwoBackends]:
    """One daemon for them all. `more`: further lines of each table."""
    more = f"call_timeout_s = {timeout_s}\n{more}"
    tables = "".join(f"[backends.{name}]\ncommand = {command(name)}\n{more}" for name in names)
    unused = f"command = {command('stubborn')}\nenabled = false\n"
    async with two_backends(unused, limits=tables) as home:
        await home.start_clients()
        yield home


async def misbehave(home: TwoBackends, name: str) -> Reply:
    return await home.listener.tool(f"{name}__misbehave").reply()


async def until_answers(home: TwoBackends, name: str) -> None:
    """Calls it until it does what it should, as a person would."""
    async with asyncio.timeout(15):
        while True:
            reply = await home.listener.tool(f"{name}__echo").reply()
            if "result" in reply.message and reply.text == "did echo":
                return
            await asyncio.sleep(0.05)


async def slots_of(home: TwoBackends, name: str) -> list[Json]:
    rows = (await home.status())["backends"]
    slots: list[Json] = next(row for row in rows if row["backend"] == name)["slots"]
    return slots


async def link_of(home: TwoBackends, name: str) -> Json:
    """What is said of its one running child."""
    return next(slot["link"] for slot in await slots_of(home, name) if slot["link"])


def mark_of(pid: int) -> bytes:
    """The value of the mark in its environment; empty for none or for a process that is gone."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return b""
    return next((variable[15:] for variable in variables if variable.startswith(b"TIDEGATE_CHILD=")), b"")


def carriers(mark: bytes) -> list[int]:
    """Every living process that carries it."""
    return [pid for pid in everybody() if mark in mark_of(pid).split()]


def everybody() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]


def of_daemon(daemon: int) -> list[int]:
    """All that descends from any child of that daemon."""
    return [pid for pid in everybody() if b".%d." % daemon in mark_of(pid)]


async def until(holds: Callable[[], bool], what: str, bound_s: float = 12.0) -> None:
    """Polls what no descriptor tells. Raises: AssertionError."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(bound_s):
            while not holds():  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(0.01)
    assert holds(), f"not within {bound_s} s: {what}"


async def until_gone(mark: bytes) -> None:
    assert mark
    await until(lambda: not carriers(mark), "nothing that descends from the child is left")


def keepers(daemon: int) -> list[int]:
    """The keeper processes of a daemon, by their arguments."""
    found = []
    for pid in everybody():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"tidegate-keeper" in words and any(b".%d." % daemon in word for word in words):
                found.append(pid)
    return found


def descriptors(pid: int) -> dict[str, str]:
    """Number → what it is."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[link.name] = str(link.readlink())
    return found


def cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
