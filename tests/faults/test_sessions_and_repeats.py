"""What is sent again, and what never is: sessions that a server forgets, connections that close under a call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from clients import HttpClient
from faulty_http import Asked, FaultyHttp, dump
from http_faults import EVERY, STREAMABLE
from two_backends import TwoBackends, two_backends, until

pytestmark = pytest.mark.anyio

House = tuple[FaultyHttp, TwoBackends]
RESULT = {"content": [{"type": "text", "text": "resumed"}]}


@asynccontextmanager
async def _house(era: str) -> AsyncIterator[House]:
    server = FaultyHttp(era)
    await server.start()
    transport = 'transport = "sse"\n' if era == "sse" else ""
    async with two_backends(f'url = "{server.url}"\n{transport}', timeout_s=5.0) as home:
        await home.start_clients()
        await home.until_listed()
        yield server, home
    server.stop()


@pytest.fixture(scope="module", params=EVERY)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with _house(request.param) as built:
        yield built


@pytest.fixture
async def session_house() -> AsyncIterator[House]:
    """A new one for each test: sessions that are lost in quick succession are a fault of another kind."""
    async with _house("session") as built:
        yield built


def _unknown(status: str, said: str) -> Callable[[Asked], None]:
    error = {"code": -32000, "message": said}
    return lambda asked: asked.respond(status, dump({"jsonrpc": "2.0", "id": None, "error": error}))


FORGETTING = {
    "404": _unknown("404 Not Found", "Session not found"),
    "404 without a body": lambda asked: asked.respond("404 Not Found"),
    "400 that says so": _unknown("400 Bad Request", "Bad Request: No valid session ID provided"),
    "400 of one that was restarted": _unknown("400 Bad Request", "Bad Request: Server not initialized"),
}


@pytest.mark.parametrize(("how", "calls"), [(how, 20 if how == "404" else 1) for how in FORGETTING])
async def test_a_forgotten_session_is_opened_again_and_no_call_is_lost(
    session_house: House, how: str, calls: int
) -> None:
    server, home = session_house
    await home.until_works()
    server.sessions.clear()
    server.refuse_session = FORGETTING[how]  # type: ignore[method-assign]
    greeted, ran = server.asked["initialize"], server.ran["echo"]
    async with home.others_answered():
        pending = [home.listener.tool("bad__echo") for _ in range(calls)]
        assert [(await one.reply()).text for one in pending] == ["did echo"] * calls
    assert server.asked["initialize"] - greeted == 1
    assert server.ran["echo"] - ran == calls
    await home.until_listed()


async def test_what_runs_in_a_forgotten_session_may_still_be_answered(session_house: House) -> None:
    server, home = session_house
    await home.until_works()
    held: list[Asked] = []
    server.break_down(held.append, only=("tools/call",))
    slow = home.listener.tool("bad__echo")
    await until(lambda: bool(held))
    server.heal()
    server.sessions.clear()
    assert (await home.call_bad()).text == "did echo"
    held[0].respond("200 OK", held[0].answer())
    assert (await slow.reply()).text == "did echo"
    assert server.asked["DELETE"] == 0


async def test_a_server_that_forgets_every_session_at_once_is_asked_twice_and_not_for_ever(
    session_house: House,
) -> None:
    server, home = session_house
    await home.until_works()
    server.break_down(FORGETTING["404"], only=("tools/call",))
    before = server.asked["tools/call"]
    try:
        assert "ended the session" in (await home.call_bad()).error["message"]
        assert server.asked["tools/call"] - before == 2
    finally:
        server.heal()
    await home.until_works()


async def test_a_client_that_cancels_a_call_on_its_second_way_is_heard(session_house: House) -> None:
    server, home = session_house
    await home.until_works()
    held: list[Asked] = []
    server.sessions.clear()
    refuse, server.refuse_session = server.refuse_session, FORGETTING["404"]  # type: ignore[method-assign]

    def hold_second(asked: Asked) -> None:
        if asked.headers.get("mcp-session-id") in server.sessions:
            held.append(asked)
        else:
            FORGETTING["404"](asked)

    server.break_down(hold_second, only=("tools/call",))
    client = await home.join(HttpClient(home.http, "session"))
    call = client.tool("bad__echo")
    await until(lambda: bool(held))
    told = server.asked["POST"]
    client.cancel(call)
    await until(lambda: server.asked["POST"] > told)
    server.heal()
    server.refuse_session = refuse  # type: ignore[method-assign]


# -- closed under a call --------------------------------------------------------------------------------------------


def _close_when_reused(server: FaultyHttp) -> Callable[[Asked], None]:
    """A kept connection ends with its second request; on a fresh one all is well."""

    def act(asked: Asked) -> None:
        if asked.road in seen:
            asked.close()
        else:
            seen.add(asked.road)
            server.serve(asked)

    seen = set(server.roads)
    return act


@pytest.mark.parametrize(("tool", "again"), [("look", True), ("put", True), ("echo", False)])
async def test_a_kept_connection_that_closes_under_a_call_repeats_what_may_be_repeated(
    house: House, tool: str, again: bool
) -> None:
    server, home = house
    await home.until_works()
    server.break_down(_close_when_reused(server), only=("tools/call",))
    ran, asked = server.ran[tool], server.asked["tools/call"]
    try:
        async with home.others_answered():
            reply = await home.call_bad(tool)
    finally:
        server.heal()
    if again:
        assert reply.text == f"did {tool}"
        assert (server.ran[tool] - ran, server.asked["tools/call"] - asked) == (1, 2)
    else:
        assert "closed the connection without an answer" in reply.error["message"]
        assert (server.ran[tool] - ran, server.asked["tools/call"] - asked) == (0, 1)
    await home.until_listed()


# -- streams that break off -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ending:
    name: str
    cut: bool
    eras: tuple[str, ...] = STREAMABLE


ENDINGS = [Ending("ends", False), Ending("is cut", True)]


def _breaks_off_with_ids(server: FaultyHttp, cut: bool) -> Callable[[Asked], None]:
    """The stream of a call ends after an event with an id; whoever resumes after that id gets the rest."""
    calls: list[Asked] = []

    def act(asked: Asked) -> None:
        if asked.rpc == "tools/call":
            calls.append(asked)
            server.ran["echo"] += 1
            asked.stream()
            asked.event(b"", own_id="e1")
            asked.chunk(b"retry: 20\n\n")
            asked.later(0.01, asked.reset if cut else asked.end_stream)
        elif asked.headers.get("last-event-id") == "e1":
            asked.stream()
            asked.event(dump({"jsonrpc": "2.0", "id": calls[-1].message["id"], "result": RESULT}), own_id="e2")
            asked.end_stream()
        else:
            server.serve(asked)

    return act


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
async def test_a_stream_that_breaks_off_is_resumed_where_the_era_has_that(house: House, ending: Ending) -> None:
    server, home = house
    await home.until_works()
    server.break_down(_breaks_off_with_ids(server, ending.cut))
    ran = server.ran["echo"]
    try:
        async with home.others_answered():
            reply = await home.call_bad()
    finally:
        server.heal()
    if server.era == "session":
        assert reply.text == "resumed"
    else:
        assert "before it answered" in reply.error["message"]
    assert server.ran["echo"] - ran == 1
    await home.until_works()


async def test_a_stream_that_is_not_resumed_is_an_error_that_says_so(session_house: House) -> None:
    server, home = session_house
    await home.until_works()

    def act(asked: Asked) -> None:
        if asked.rpc == "tools/call":
            asked.stream()
            asked.event(b"", own_id="e1")
            asked.end_stream()
        elif "last-event-id" in asked.headers:
            asked.respond("400 Bad Request", b"no events kept", kind="text/plain")
        else:
            server.serve(asked)

    server.break_down(act)
    try:
        assert "does not resume it (HTTP status 400)" in (await home.call_bad()).error["message"]
    finally:
        server.heal()
    await home.until_works()
