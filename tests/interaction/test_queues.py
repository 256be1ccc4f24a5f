"""Requests that wait for a place at a busy server, end to end."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from clients import HttpClient
from gateway import House, house
from heard import Json
from scripted_server import ScriptedServer

from tidegate.config.snapshot import Backend
from tidegate.config.snapshot import Client as TokenOwner

pytestmark = pytest.mark.anyio

ERAS = [(client, server) for client in ("session", "modern") for server in ("session", "modern")]
OVERLOADED = -31003


def queued(home: House) -> int:
    return len(home.daemon.gateway.services[0].queue)


async def wait_queued(home: House, number: int) -> None:
    """Requests are taken in as they come; an answered one behind them shows that they were."""
    client = await home.client("tcp", "modern")
    while queued(home) != number:
        await client.call("tools/list")


def narrow(**more: Json) -> Json:
    return {"max_in_flight": 1, **more}


@pytest.mark.parametrize(("era", "server_era"), ERAS)
@pytest.mark.parametrize("way_in", ["http", "tcp"])
async def test_calls_over_the_limit_wait_and_reach_the_server_one_by_one(
    era: str, server_era: str, way_in: str
) -> None:
    async with house(ScriptedServer(server_era), fields=[narrow()]) as home:
        server = home.server
        client = await home.client(way_in, era)
        await client.names()
        pending = []
        for number in range(4):
            pending.append(client.tool("echo", {"n": number}))
            await server.wait_heard("tools/call")
            await wait_queued(home, number)
        for number in range(4):
            call = await server.next_call("tools/call")
            assert call.params["arguments"] == {"n": number}
            assert len(server.said("tools/call")) == number + 1, "one at a time"
            call.text(f"it was {number}")
        assert [(await one.reply()).text for one in pending] == [f"it was {number}" for number in range(4)]
        row = home.daemon.statistics()["backends"][0]  # type: ignore[index]
        assert (row["queued"], row["queue"]["served"]) == (0, 3)


async def test_lists_and_subscriptions_do_not_wait_for_calls() -> None:
    async with house(ScriptedServer("session"), fields=[narrow(max_queued=1)]) as home:
        server = home.server
        client = await home.client("tcp", "modern")
        await client.names()
        client.tool("echo")
        client.tool("echo")
        await wait_queued(home, 1)
        server.offers["tools"].append(b'{"name":"new","inputSchema":{"type":"object"}}')
        client.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await client.notices.wait(lambda item: item["method"] == "notifications/subscriptions/acknowledged")
        server.announce("notifications/tools/list_changed")
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
        assert "new" in await client.names()


@pytest.mark.parametrize(("way_in", "era"), [("http", "modern"), ("http", "session"), ("tcp", "session")])
async def test_a_call_whose_client_leaves_or_cancels_never_reaches_the_server(way_in: str, era: str) -> None:
    async with house(ScriptedServer("session"), fields=[narrow()]) as home:
        server = home.server
        holder = await home.client("tcp", "session")
        held = holder.tool("echo", {"n": "held"})
        first = await server.next_call("tools/call")
        leaver = await home.client(way_in, era)
        given_up = leaver.tool("echo", {"n": "ghost"})
        await wait_queued(home, 1)
        if isinstance(leaver, HttpClient) and era == "modern":
            assert given_up.http is not None
            given_up.http.close()
        elif way_in == "tcp":
            leaver.close()
        else:
            leaver.cancel(given_up)
        await wait_queued(home, 0)
        after = holder.tool("echo", {"n": "after"})
        await wait_queued(home, 1)
        first.text("done")
        assert (await held.reply()).text == "done"
        call = await server.next_call("tools/call")
        assert call.params["arguments"] == {"n": "after"}
        call.text("done too")
        assert (await after.reply()).text == "done too"
        assert home.daemon.gateway.admission.in_flight == 0


async def test_a_full_queue_is_a_503_with_retry_after_for_a_stateless_client() -> None:
    async with house(ScriptedServer("session"), fields=[narrow(max_queued=1)]) as home:
        client = await home.http_client("modern")
        await client.names()
        client.tool("echo")
        client.tool("echo")
        await wait_queued(home, 1)
        refused = await client.tool("echo").reply()
        assert refused.error["code"] == OVERLOADED
        assert "1 requests in flight (`max_in_flight`) and 1 more wait" in refused.error["message"]
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1


async def test_a_full_queue_is_an_ordinary_error_within_a_session() -> None:
    async with house(ScriptedServer("session"), fields=[narrow(max_queued=0)]) as home:
        client = await home.http_client("session")
        client.tool("echo")
        await home.server.next_call("tools/call")
        refused = await client.tool("echo").reply()
        assert (refused.error["code"], refused.status) == (OVERLOADED, 200)


async def test_a_hung_server_costs_those_who_wait_their_patience_and_no_more() -> None:
    async with house(ScriptedServer("session"), fields=[narrow(queue_timeout_s=0.2)]) as home:
        client = await home.client("tcp", "session")
        hung = client.tool("echo")
        call = await home.server.next_call("tools/call")
        told = await client.tool("echo").reply()
        assert told.error["code"] == OVERLOADED
        assert "within 0.2 s" in told.error["message"]
        call.text("at last")
        assert (await hung.reply()).text == "at last"


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_those_who_wait_are_served_by_the_server_that_came_back(era: str) -> None:
    async with house(ScriptedServer(era), fields=[narrow()]) as home:
        server = home.server
        client = await home.client("tcp", era)
        lost = client.tool("echo", {"n": 1})
        await server.next_call("tools/call")
        waits = [client.tool("echo", {"n": number}) for number in (2, 3)]
        await wait_queued(home, 2)
        server.channels[0].hang_up()
        assert "closed" in (await lost.reply()).error["message"]
        for number, pending in zip((2, 3), waits, strict=True):
            call = await server.next_call("tools/call")
            assert call.params["arguments"] == {"n": number}
            call.text("from the new one")
            assert (await pending.reply()).text == "from the new one"


async def test_a_server_for_one_call_at_a_time_serves_while_it_is_listened_to() -> None:
    async with house(ScriptedServer("modern"), fields=[narrow()]) as home:
        client = await home.client("tcp", "modern")
        await client.names()
        await home.server.wait_heard("subscriptions/listen")
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("served")
        assert (await pending.reply()).text == "served"


async def test_a_call_that_may_be_asked_waits_behind_the_gateway_s_own_request() -> None:
    async with house(ScriptedServer("session"), fields=[narrow()]) as home:
        server = home.server
        client = await home.client("tcp", "modern", capabilities={"elicitation": {"form": {}}})
        await client.names()
        server.silent.add("tools/list")
        server.announce("notifications/tools/list_changed")
        own = await server.next_call("tools/list")
        pending = client.tool("echo")
        while queued(home) != 1:
            await client.call("prompts/list")
        own.reply({"tools": []})
        (await server.next_call("tools/call")).text("its turn came")
        assert (await pending.reply()).text == "its turn came"


async def test_a_call_that_leaves_the_queue_gives_its_connection_back() -> None:
    async with house(ScriptedServer("session"), fields=[narrow(max_connections=1)]) as home:
        server = home.server
        client = await home.client("tcp", "modern", capabilities={"elicitation": {"form": {}}})
        await client.names()
        server.silent.add("tools/list")
        server.announce("notifications/tools/list_changed")
        own = await server.next_call("tools/list")
        ghost = client.tool("echo", {"n": "ghost"})
        while queued(home) != 1:
            await client.call("prompts/list")
        client.cancel(ghost)
        while queued(home) != 0:
            await client.call("prompts/list")
        own.reply({"tools": []})
        pending = client.tool("echo", {"n": "next"})
        call = await server.next_call("tools/call")
        assert call.params["arguments"] == {"n": "next"}
        call.text("served")
        assert (await pending.reply()).text == "served"


async def test_one_client_that_floods_does_not_keep_another_from_the_server() -> None:
    owners = [TokenOwner(name, sha256(f"token-{name}".encode()).hexdigest()) for name in ("eve", "ann")]
    async with house(ScriptedServer("session"), owners=owners, fields=[narrow(max_queued=20)]) as home:
        server = home.server
        eve = await home.client("tcp", "session", token="token-eve")
        ann = await home.client("http", "modern", token="token-ann")
        flood = [eve.tool("echo", {"who": "eve"}) for _ in range(30)]
        first = await server.next_call("tools/call")
        refused = [await one.reply() for one in flood[21:]]
        assert all(reply.error["code"] == OVERLOADED for reply in refused)
        mine = ann.tool("echo", {"who": "ann"})
        assert (await flood[20].reply()).error["code"] == OVERLOADED, "the last of the flood gave way"
        first.text("")
        (await server.next_call("tools/call")).text("")
        call = await server.next_call("tools/call")
        assert call.params["arguments"] == {"who": "ann"}
        call.text("hers")
        assert (await mine.reply()).text == "hers"


def test_by_default_a_burst_waits_and_a_hang_does_not_hold_everybody() -> None:
    backend = Backend("x", "stdio")
    assert (backend.max_in_flight, backend.max_queued, backend.queue_timeout_s) == (64, 256, 30.0)


@pytest.mark.parametrize(("era", "server_era"), ERAS)
async def test_a_call_whose_token_was_removed_while_it_waited_never_reaches_the_server(
    era: str, server_era: str
) -> None:
    ann, bob = (TokenOwner(name, sha256(name.encode()).hexdigest()) for name in ("ann", "bob"))
    async with house(ScriptedServer(server_era), owners=[ann, bob], fields=[narrow()]) as home:
        leaver = await home.client("tcp", era, token="ann")
        stays = await home.client("tcp", "session", token="bob")
        held = stays.tool("echo")
        first = await home.server.next_call()
        ghost = leaver.tool("echo", {"n": "ghost"})
        while queued(home) != 1:
            await stays.call("tools/list")
        await home.daemon.take_up(replace(home.daemon.snapshot, clients=(bob,)))
        first.text("done")
        await held.reply()
        assert "token" in (await ghost.reply()).error["message"]
        stays.tool("echo", {"n": "last"})
        assert (await home.server.next_call()).params["arguments"] == {"n": "last"}


@pytest.mark.parametrize("server_era", ["session", "modern"])
async def test_whoever_is_cut_off_by_the_end_of_the_gateway_hears_that_it_was_the_gateway(server_era: str) -> None:
    async with house(ScriptedServer(server_era), fields=[narrow()]) as home:
        client = await home.client("tcp", "session")
        runs = client.tool("echo")
        await home.server.next_call()
        waits = client.tool("echo")
        await wait_queued(home, 1)
        await home.daemon.aclose()
        for pending in (runs, waits):
            assert "the gateway is shutting down" in (await pending.reply()).error["message"]
