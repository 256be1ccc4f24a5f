"""A machine with the gateway before it, for all tests of a run: what they share, and what they see of it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, NamedTuple

import anyio
import pytest
from clients import StreamClient
from driven import Said
from envelope import Way, guarded, machine_table
from gateway_process import Gateway
from machine_log import Approvals, Command, MachineLog

LIMIT_S = 40.0
BOTH: tuple[Way, ...] = ("stdio", "http")
_joints = itertools.count(1)


class Cell(NamedTuple):
    """A gateway and the machine behind it."""

    gateway: Gateway
    log: MachineLog
    approvals: Approvals
    """Of all tests that shared it."""

    def agrees(self, question: str) -> Said:
        self.approvals.note(question)
        return "accept"


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Way], Cell]]:
    """Made when first wanted. Over stdio with the relay, over HTTP without."""
    with ExitStack() as open_ones:

        @functools.cache
        def made(way: Way) -> Cell:
            log = MachineLog(tmp_path_factory.mktemp("machine") / "log")
            table = open_ones.enter_context(machine_table(way, log.path))
            return Cell(open_ones.enter_context(guarded(table, relay=way == "stdio")), log, Approvals())

        yield made


@pytest.fixture(params=BOTH)
def cell(request: pytest.FixtureRequest, cells: Callable[[Way], Cell]) -> Cell:
    """Each test has joints of its own."""
    return cells(request.param)


@pytest.fixture
def joint() -> str:
    """One that no test had before."""
    return f"j{next(_joints)}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def declines(question: str) -> Said:
    return "decline"


def cancels(question: str) -> Said:
    return "cancel"


@asynccontextmanager
async def raw(gateway: Gateway, era: str, **more: Any) -> AsyncIterator[StreamClient]:
    """A client over TCP that sends what it is given. Bounded."""
    client = StreamClient(f"{gateway.tcp[0]}:{gateway.tcp[1]}", era, **more)
    await client.start()
    try:
        with anyio.fail_after(LIMIT_S):
            yield client
    finally:
        client.close()


async def arrived(log: MachineLog, tool: str, times: int) -> list[Command]:
    """The commands of this tool once there are so many."""
    with anyio.fail_after(LIMIT_S):
        while len(found := [one for one in log.commands() if one.tool == tool]) < times:  # noqa: ASYNC110
            await anyio.sleep(0.02)  # The file is another process's.
    return found
