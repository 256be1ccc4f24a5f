"""Servers on TCP and unix sockets that break off, hang or talk nonsense."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from faulty_stream import FaultyStream, Line
from two_backends import TwoBackends, two_backends

pytestmark = pytest.mark.anyio

Json = Any
House = tuple[FaultyStream, TwoBackends]
LATE = r"did not answer `tools/call` within 0\.4 s"
LOST = "closed the connection"


@dataclass(frozen=True)
class StreamFault:
    name: str
    act: Callable[[Line, Json], None]
    says: str


def _then_close(data: bytes) -> Callable[[Line, Json], None]:
    def act(line: Line, message: Json) -> None:
        line.say(data)
        line.close()

    return act


NOTICE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n'
FAULTS = [
    StreamFault("resets", lambda line, _: line.reset(), LOST),
    StreamFault("closes", lambda line, _: line.close(), LOST),
    StreamFault("closes in the middle", _then_close(b'{"jsonrpc":"2.0","id":'), LOST),
    StreamFault("says nothing", lambda line, _: None, LATE),
    StreamFault("hangs in the middle", lambda line, _: line.say(b'{"jsonrpc":"2.0","id":'), LATE),
    StreamFault("garbage", lambda line, _: line.say(b"\x00\xff{]\n" * 50), LATE),
    StreamFault(
        "answers to something else", lambda line, _: line.say(b'{"jsonrpc":"2.0","id":"x","result":{}}\n'), LATE
    ),
    StreamFault("a line without end", lambda line, _: line.pour(b"x" * 65536), f"over 2000000 bytes|{LATE}"),
    StreamFault("notices without end", lambda line, _: line.pour(NOTICE * 500), LATE),
    StreamFault("blank lines without end", lambda line, _: line.pour(b"\n" * 65536), LATE),
]


@pytest.fixture(scope="module", params=["tcp", "unix"])
async def street(request: pytest.FixtureRequest) -> AsyncIterator[tuple[dict[str, FaultyStream], TwoBackends]]:
    """One server a fault: some of them do not come to rest."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        places = {fault.name: f"{folder}/{at}" if request.param == "unix" else "" for at, fault in enumerate(FAULTS)}
        servers = {name: FaultyStream(place) for name, place in places.items()}
        for server in servers.values():
            await server.start()
        tables = {name.replace(" ", "-"): server.table for name, server in servers.items()}
        async with two_backends(tables, limits="result_bytes = 2_000_000") as home:
            await home.start_clients()
            yield servers, home
        for server in servers.values():
            server.stop()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_bad_stream_is_told_to_its_callers_alone_and_comes_back(
    street: tuple[dict[str, FaultyStream], TwoBackends], fault: StreamFault
) -> None:
    servers, home = street
    server = servers[fault.name]
    home.bad = fault.name.replace(" ", "-")
    await home.until_listed()
    await home.until_works()
    async with home.others_answered():
        server.fault = fault.act
        error = str((await home.call_bad()).error["message"])
        assert f"`{home.bad}`" in error
        assert re.search(fault.says, error), error
        server.fault = None
        if fault.says == LATE or "end" in fault.name:
            # Still connected to a server that is of no use: a person, or its own supervisor, starts it again.
            server.stop()
            if server.place:
                await home.settle()
            await server.start()
        await home.until_works()
        await home.until_listed()
