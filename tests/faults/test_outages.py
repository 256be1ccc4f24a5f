"""A whole HTTP backend goes away and comes back: its tools go and return by themselves, and clients hear of both."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from faulty_http import Asked, FaultyHttp
from http_faults import EVERY
from two_backends import TwoBackends, two_backends

pytestmark = pytest.mark.anyio

House = tuple[FaultyHttp, TwoBackends]
Street = tuple[dict[str, FaultyHttp], TwoBackends]


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
    Outage("500 to everything", _status("500 Internal Server Error"), "HTTP status 500"),
    Outage("503 to everything", _status("503 Service Unavailable"), "HTTP status 503"),
    Outage("401 to everything", _status("401 Unauthorized"), "HTTP status 401.*`headers`"),
    Outage("404 to everything", _status("404 Not Found"), "HTTP status 404|ended the session", ("session", "sse")),
    Outage("no HTTP", lambda asked: (asked.say(b"220 mail ESMTP\r\n\r\n"), asked.close())[1], "not in HTTP", ("sse",)),
]


HANGS, REFUSES, RESTARTS = "hangs", "refuses", "restarts"


@pytest.fixture(scope="module", params=EVERY)
async def street(request: pytest.FixtureRequest) -> AsyncIterator[tuple[dict[str, FaultyHttp], TwoBackends]]:
    """A daemon and one server a test: after an outage the next attempt comes later and later."""
    era = request.param
    names = [outage.name for outage in OUTAGES] + [HANGS, REFUSES, RESTARTS]
    servers = {name: FaultyHttp(era) for name in names}
    more = 'transport = "sse"\n' if era == "sse" else ""
    for server in servers.values():
        await server.start()
    tables = {_table(name): f'url = "{server.url}"\n{more}' for name, server in servers.items()}
    async with two_backends(tables) as home:
        await home.start_clients()
        yield servers, home
    for server in servers.values():
        server.stop()


def _table(name: str) -> str:
    return name.lower().replace(" ", "-")


@asynccontextmanager
async def _at(street: Street, name: str) -> AsyncIterator[House]:
    servers, home = street
    home.bad = _table(name)
    await home.until_listed()
    await home.until_works()
    try:
        async with home.others_answered():
            yield servers[name], home
    finally:
        servers[name].heal()


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
async def test_a_backend_that_is_down_takes_its_tools_away_and_brings_them_back(street: Street, outage: Outage) -> None:
    async with _at(street, outage.name) as (server, home):
        if outage.act is None:
            server.stop()
        else:
            server.break_down(outage.act)
            server.cut()
        await home.settle()
        errors = [str((await home.call_bad()).error["message"]) for _ in range(4)]
        assert all(f"`{home.bad}`" in error or "Unknown tool" in error for error in errors), errors
        # A server whose stream has gone is known to be down before anybody calls it.
        assert re.search(outage.says, errors[0]) or "Unknown tool" in errors[0], errors
        await home.until_listed(False)
        slots = (await home.bad_status())["slots"]
        assert any(re.search(outage.says, slot["error"] or "") for slot in slots), slots
        server.heal()
        if outage.act is None:
            await server.start()
        await home.until_listed()
        await home.until_works()


async def test_a_backend_that_hangs_costs_its_callers_their_deadline_and_works_when_it_goes_on(street: Street) -> None:
    async with _at(street, HANGS) as (server, home):
        server.break_down(lambda asked: None)
        calls = [home.listener.tool(f"{home.bad}__echo") for _ in range(20)]
        for call in calls:
            assert "did not answer `tools/call` within 0.4 s" in (await call.reply()).error["message"]
        server.heal()
        await home.until_works()
        await home.until_listed()


async def test_a_token_that_is_refused_is_not_tried_with_every_call(street: Street) -> None:
    async with _at(street, REFUSES) as (server, home):
        server.break_down(_status("401 Unauthorized"))
        before = sum(server.asked.values())
        for _ in range(100):
            assert "error" in (await home.call_bad()).message
        assert sum(server.asked.values()) - before < 20
        slots = (await home.bad_status())["slots"]
        assert any("wants a token" in (slot["error"] or "") for slot in slots)
        server.heal()
        await home.until_listed()


async def test_a_server_that_restarts_between_calls_costs_no_call(street: Street) -> None:
    async with _at(street, RESTARTS) as (server, home):
        before = server.ran["echo"]
        server.cut()
        await home.settle()
        # What was lost with its stream is read again, and not before that is there anything to call.
        await home.until_listed()
        for _ in range(5):
            assert (await home.call_bad()).text == "did echo"
        assert server.ran["echo"] - before == 5
