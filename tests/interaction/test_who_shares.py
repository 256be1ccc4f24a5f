"""Which clients share a connection to a server: the table of docs/transports.md, "Who shares a server", counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256

import pytest
from clients import Pending
from gateway import House, house
from heard import Json
from scripted_server import Received, ScriptedServer

from tidegate.config.snapshot import Client, Limits
from tidegate.pipeline.upstream import lanes

ALL: Json = {"elicitation": {}, "sampling": {}, "roots": {}}
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
NAMES = ("ann", "bob")
OWNERS = [Client(name, sha256(name.encode()).hexdigest()) for name in NAMES]
EVERYBODY = [(era, ways, name) for era in ("session", "modern") for ways in ({}, ALL) for name in NAMES]
"""Two persons, each with a client of every kind."""
SESSION_TRANSPORTS = ["stdio", "http", "sse", "tcp", "unix"]

pytestmark = pytest.mark.anyio


def serving(home: House) -> Counter[str]:
    """How many connections serve whom, as operators are told, and as the server has seen it."""
    (backend,) = home.daemon.statistics()["backends"]  # type: ignore[misc, attr-defined]
    counts = Counter(slot["serves"] for slot in backend["slots"])  # type: ignore[index]
    assert backend["own_connections"] == counts["session"] + counts["lane"]  # type: ignore[index]
    assert all(slot["state"] == "ready" for slot in backend["slots"])  # type: ignore[index]
    return counts


async def let_in_and_call(home: House) -> list[Received]:
    """Each client calls a tool, one after the other; what the server got."""
    calls = []
    for era, ways, name in EVERYBODY:
        client = await home.client("http", era, capabilities=ways, token=name)
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.text("done")
        assert (await pending.reply()).text == "done"
        calls.append(call)
    return calls


@pytest.mark.parametrize("way_out", SESSION_TRANSPORTS)
@pytest.mark.parametrize(
    ("isolation", "expected"),
    [
        ("auto", {"shared": 1, "session": 2, "lane": 2}),
        ("shared", {"shared": 1}),
        ("session", {"session": 4, "lane": 4}),
    ],
)
async def test_clients_share_a_session_server_by_the_rule(
    isolation: str, expected: dict[str, int], way_out: str
) -> None:
    server = ScriptedServer("session")
    async with house(server, transport=way_out, owners=OWNERS, fields=[{"isolation": isolation}]) as home:
        calls = await let_in_and_call(home)
        assert serving(home) == expected
        assert len({id(call.channel) for call in calls}) == sum(expected.values())
        for (_, ways, _), call in zip(EVERYBODY, calls, strict=True):
            # What the server was told that it may ask: never more than this client declared.
            assert set(call.channel.capabilities) == (set() if isolation == "shared" else set(ways))


@pytest.mark.parametrize("way_out", ["stdio", "http", "tcp", "unix"])
@pytest.mark.parametrize("isolation", ["auto", "shared", "session"])
async def test_everybody_shares_a_stateless_server_whatever_is_set(isolation: str, way_out: str) -> None:
    server = ScriptedServer("modern")
    async with house(server, transport=way_out, owners=OWNERS, fields=[{"isolation": isolation}]) as home:
        await let_in_and_call(home)
        assert serving(home) == {"stateless": 1}


@pytest.mark.parametrize("way_out", SESSION_TRANSPORTS)
async def test_calls_that_may_be_asked_overlap_only_where_a_question_tells_whose_it_is(way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client = await home.client("http", "modern", capabilities=ALL)
        pendings = [client.tool("echo", {"n": n}) for n in range(3)]
        calls = [await home.server.next_call() for _ in pendings]
        alone = way_out != "http"
        assert len({id(call.channel) for call in calls}) == (3 if alone else 1)
        assert serving(home) == {"lane": 3 if alone else 1}
        for call in calls:
            call.text(str(call.params["arguments"]["n"]))
        assert [(await pending.reply()).text for pending in pendings] == ["0", "1", "2"]


@pytest.mark.parametrize("way_out", ["stdio", "sse", "tcp"])
async def test_at_the_bound_requests_of_one_client_take_turns(way_out: str) -> None:
    server = ScriptedServer("session")
    async with house(server, transport=way_out, fields=[{"max_connections": 1}]) as home:
        client = await home.client("tcp", "modern", capabilities=ALL)
        pendings: list[Pending] = [client.tool("echo", {"n": n}) for n in range(4)]
        for n, pending in enumerate(pendings):
            call = await server.next_call()
            assert call.params["arguments"] == {"n": n}
            await asyncio.sleep(0.15)  # Longer than a request waits before it wants a connection of its own.
            assert len(server.calls.items) == n + 1
            call.text(str(n))
            assert (await pending.reply()).text == str(n)
        assert serving(home) == {"lane": 1}


async def test_one_client_too_many_hears_which_setting_is_in_the_way() -> None:
    server = ScriptedServer("session")
    fields = [{"max_connections": 1}]
    async with house(server, transport="stdio", owners=OWNERS, fields=fields) as home:
        ann = await home.client("http", "modern", capabilities=ALL, token="ann")
        pending = ann.tool("echo")
        call = await server.next_call()
        bob = await home.client("http", "modern", capabilities=ALL, token="bob")
        error = (await bob.tool("echo").reply()).error
        assert "`max_connections`" in error["message"]
        # Whoever cannot be asked shares, and is served all the same.
        plain = await home.client("http", "modern", token="bob")
        other = plain.tool("echo")
        (await server.next_call()).text("shared")
        assert (await other.reply()).text == "shared"
        call.text("done")
        assert (await pending.reply()).text == "done"
        # Nothing of Ann's runs any more: hers is closed, Bob gets one.
        again = bob.tool("echo")
        (await server.next_call()).text("now")
        assert (await again.reply()).text == "now"
        assert serving(home) == {"shared": 1, "lane": 1}


@pytest.mark.parametrize("way_out", SESSION_TRANSPORTS)
async def test_sessions_that_are_left_hand_on_their_connection_and_get_another(
    monkeypatch: pytest.MonkeyPatch, way_out: str
) -> None:
    monkeypatch.setattr(lanes, "_LEFT_S", 0.0)
    server = ScriptedServer("session")
    async with house(server, transport=way_out, fields=[{"max_connections": 1}]) as home:
        clients = [await home.client("http", "session", capabilities=ALL) for _ in range(2)]
        for client in clients * 2:
            pending = client.tool("echo")
            (await server.next_call()).text("done")
            assert (await pending.reply()).text == "done"
            assert serving(home) == {"session": 1}
        # While one is in the middle of something, the other hears why it is not served.
        pending = clients[1].tool("echo")
        call = await server.next_call()
        assert "`max_connections`" in (await clients[0].tool("echo").reply()).error["message"]
        call.text("done")
        assert (await pending.reply()).text == "done"


async def test_a_client_that_found_no_room_sees_the_server_as_soon_as_there_is_some() -> None:
    """The catalogue without the full server is not kept."""
    full, other = ScriptedServer("session", "full"), ScriptedServer("modern", "other")
    async with house(full, other, transport="stdio", owners=OWNERS, fields=[{"max_connections": 1}]) as home:
        ann = await home.client("http", "modern", capabilities=ALL, token="ann")
        pending = ann.tool("full__echo")
        call = await full.next_call()
        bob = await home.client("http", "modern", capabilities={"sampling": {}}, token="bob")

        async def seen() -> list[str]:
            return [tool["name"] for tool in (await bob.begin("tools/list").reply()).result["tools"]]

        assert await seen() == ["other__echo"]
        call.text("done")
        assert (await pending.reply()).text == "done"
        assert await seen() == ["full__echo", "other__echo"]


async def test_a_client_keeps_its_list_when_another_wants_its_connections() -> None:
    """The main lane idles while a further one waits for answers: it must not be the one that is closed."""
    server = ScriptedServer("session")
    async with house(server, transport="stdio", owners=OWNERS, fields=[{"max_connections": 2}]) as home:
        ann = await home.client("http", "modern", capabilities=ALL, token="ann")
        first, second = ann.tool("echo", {"n": 1}), ann.tool("echo", {"n": 2})
        calls = [await server.next_call(), await server.next_call()]
        calls[1].ask("elicitation/create", FORM)
        waiting = first if calls[1].params["arguments"] == {"n": 1} else second
        assert (await waiting.reply()).result["resultType"] == "input_required"
        calls[0].text("done")
        await (second if waiting is first else first).reply()
        bob = await home.client("http", "modern", capabilities=ALL, token="bob")
        assert "`max_connections`" in (await bob.tool("echo").reply()).error["message"]
        listed = (await ann.begin("tools/list").reply()).result["tools"]
        assert [tool["name"] for tool in listed] == ["echo"]


async def test_a_server_that_takes_one_connection_only_serves_overlapping_calls_in_turn() -> None:
    server = ScriptedServer("session")
    fields = [{"start_timeout_s": 0.5, "probe_timeout_s": 0.5}]
    async with house(server, transport="tcp", fields=fields) as home:
        client = await home.client("http", "modern", capabilities=ALL)
        first = client.tool("echo", {"n": 1})
        call = await server.next_call()
        server.silent.add("initialize")
        second = client.tool("echo", {"n": 2})
        assert (await server.next_call()).method == "initialize"
        await asyncio.sleep(1.2)  # Both times, and a little more.
        call.text("1")
        assert (await first.reply()).text == "1"
        (await server.next_call("tools/call")).text("2")
        assert (await second.reply()).text == "2"
        assert serving(home) == {"lane": 1}


async def test_operators_see_calls_that_wait_for_answers_and_no_session_id() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended=7)
    async with house(ScriptedServer("session"), transport="stdio", limits=limits) as home:
        session = await home.http_client("session", capabilities=ALL)
        client = await home.client("http", "modern", capabilities=ALL)
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.ask("elicitation/create", FORM)
        assert (await pending.reply()).result["resultType"] == "input_required"
        statistics = home.daemon.statistics()
        assert statistics["suspended"] == {"calls": 1, "limit": 7}
        assert session.session
        assert session.session not in str(statistics)
        (lane,) = [slot for slot in statistics["backends"][0]["slots"] if slot["serves"] == "lane"]  # type: ignore[index]
        assert lane["leased"]
        assert lane["client"] == {"principal": "anonymous"}
        assert lane["abilities"] == ["elicitation.form", "sampling", "roots"]
