"""A whole HTTP backend goes away and comes back: its tools go and return by themselves, and clients are told of both."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from faulty_http import Asked, FaultyHttp
from http_faults import EVERY, STREAMABLE
from two_backends import TwoBackends, two_backends

pytestmark = pytest.mark.anyio

House = tuple[FaultyHttp, TwoBackends]


@dataclass(frozen=True)
class Outage:
    name: str
    act: Callable[[Asked], None] | None
    """What becomes of every request; None: nothing listens any more."""
    says: str
    eras: tuple[str, ...] = EVERY


def _status(line: str, body: bytes = b"no", kind: str = "text/plain") -> Callable[[Asked], None]:
    return lambda asked: asked.respond(line, body, kind=kind)


OUTAGES = [
    Outage("nothing listens", None, "cannot be connected to"),
    Outage("everything is reset", lambda asked: asked.reset(), "the connection|the stream"),
    Outage("500 to everything", _status("500 Internal Server Error"), "HTTP status 500", ("session", "sse")),
    Outage("503 to everything", _status("503 Service Unavailable"), "HTTP status 503"),
    Outage("401 to everything", _status("401 Unauthorized"), "HTTP status 401.*`headers`"),
    Outage("404 to everything", _status("404 Not Found"), "HTTP status 404|ended the session", ("session", "sse")),
    Outage("no HTTP", lambda asked: (asked.say(b"220 mail ESMTP\r\n\r\n"), asked.close())[1], "not in HTTP", ("sse",)),
]
ROWS = [(era, outage) for era in EVERY for outage in OUTAGES if era in outage.eras]


@pytest.fixture(scope="module", params=EVERY)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    server = FaultyHttp(request.param)
    await server.start()
    transport = 'transport = "sse"\n' if request.param == "sse" else ""
    async with two_backends(f'url = "{server.url}"\n{transport}') as home:
        await home.start_clients()
        await home.until_listed()
        yield server, home
    server.stop()


@pytest.mark.parametrize(
    ("house", "outage"), ROWS, indirect=["house"], ids=[f"{era}-{outage.name}" for era, outage in ROWS]
)
async def test_a_backend_that_is_down_takes_its_tools_away_and_brings_them_back(house: House, outage: Outage) -> None:
    server, home = house
    async with home.others_answered():
        if outage.act is None:
            server.stop()
        else:
            server.break_down(outage.act)
            server.cut()
        await home.settle()
        try:
            errors = [str((await home.call_bad()).error["message"]) for _ in range(4)]
            assert all("`bad`" in error or "Unknown tool" in error for error in errors), errors
            # A server whose stream has gone is known to be down before anybody calls it.
            assert re.search(outage.says, errors[0]) or "Unknown tool" in errors[0], errors
            await home.until_listed(False)
            slots = (await home.bad_status())["slots"]
            assert any(re.search(outage.says, slot["error"] or "") for slot in slots), slots
        finally:
            server.heal()
            if outage.act is None:
                await server.start()
        await home.until_listed()
        await home.until_works()


@pytest.mark.parametrize("house", EVERY, indirect=True)
async def test_a_backend_that_hangs_costs_its_callers_their_deadline_and_works_when_it_goes_on(house: House) -> None:
    server, home = house
    await home.until_works()
    async with home.others_answered():
        server.break_down(lambda asked: None)
        try:
            calls = [home.listener.tool("bad__echo") for _ in range(20)]
            for call in calls:
                assert "did not answer `tools/call` within 0.4 s" in (await call.reply()).error["message"]
        finally:
            server.heal()
        await home.until_works()
        await home.until_listed()


@pytest.mark.parametrize("house", EVERY, indirect=True)
async def test_a_token_that_is_refused_is_not_tried_with_every_call(house: House) -> None:
    server, home = house
    await home.until_works()
    server.break_down(_status("401 Unauthorized"))
    try:
        async with home.others_answered():
            before = sum(server.asked.values())
            for _ in range(100):
                assert "error" in (await home.call_bad()).message
            assert sum(server.asked.values()) - before < 20
        slots = (await home.bad_status())["slots"]
        assert any("wants a token" in (slot["error"] or "") for slot in slots)
    finally:
        server.heal()
    await home.until_listed()


@pytest.mark.parametrize("house", STREAMABLE, indirect=True)
async def test_a_server_that_restarts_between_calls_costs_no_call(house: House) -> None:
    server, home = house
    await home.until_works()
    before = server.ran["echo"]
    async with home.others_answered():
        server.cut()
        await home.settle()
        for _ in range(5):
            assert (await home.call_bad()).text == "did echo"
    assert server.ran["echo"] - before == 5
