"""Lists that change and resources that are followed, in both eras."""

from __future__ import annotations

import asyncio

import pytest
from clients import Client, Pending, StreamClient
from gateway import SOME_ROADS, house
from heard import Json
from scripted_server import SESSION, ScriptedServer, dump, tool

pytestmark = pytest.mark.anyio
some_roads = pytest.mark.parametrize(("era", "way_in", "way_out"), SOME_ROADS)

URI = "test://one/a"
UPDATED = "notifications/resources/updated"


async def listen(client: Client, wanted: Json) -> Pending:
    """An open `subscriptions/listen`, acknowledged."""
    pending = client.begin("subscriptions/listen", {"notifications": wanted})
    await client.notices.wait(
        lambda item: (
            item["method"] == "notifications/subscriptions/acknowledged"
            and item["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == pending.id
        )
    )
    return pending


@pytest.mark.requirement("list-changed.refreshed", "list-changed.told")
@some_roads
@pytest.mark.parametrize(
    ("kind", "entry", "key"),
    [
        ("tools", tool("new"), "name"),
        ("prompts", dump({"name": "new"}), "name"),
        ("resources", dump({"uri": "new:", "name": "n"}), "uri"),
    ],
)
async def test_a_changed_list_is_told_and_served_anew(
    era: str, way_in: str, way_out: str, kind: str, entry: bytes, key: str
) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client, server = await home.client(way_in, era), home.server
        before = await client.names(f"{kind}/list", kind, key)
        if era == "modern":
            await server.wait_heard("subscriptions/listen")
            await listen(client, {f"{kind}ListChanged": True})
        server.offers[kind].append(entry)
        server.announce(f"notifications/{kind}/list_changed")
        await client.notices.wait(lambda item: item["method"] == f"notifications/{kind}/list_changed")
        after = await client.names(f"{kind}/list", kind, key)
        assert len(after) == len(before) + 1
        assert "new" in after[-1]


@pytest.mark.requirement("list-changed.refreshed")
@pytest.mark.parametrize("way_out", ["http", "stdio", "tcp"])
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_list_that_changes_while_it_is_read_first_is_read_again(era: str, way_out: str) -> None:
    server = ScriptedServer(era)
    server.silent.add("prompts/list")
    async with house(server, transport=way_out) as home:
        client = await home.client("tcp", "modern")
        client.begin("tools/list", {})
        held = await server.next_call("prompts/list")
        await server.wait_heard("tools/list")
        read = len(server.said("tools/list"))
        server.offers["tools"].append(tool("new"))
        server.announce("notifications/tools/list_changed")
        held.reply(server.complete({"prompts": []}))
        await server.wait_heard("tools/list", skip=_after(server, "tools/list", read))
        await _named(client, "new")


@pytest.mark.requirement("list-changed.refreshed")
@pytest.mark.parametrize("way_out", ["http", "tcp"])
async def test_a_change_before_the_server_was_heard_is_not_missed(way_out: str) -> None:
    server = ScriptedServer("modern")
    server.silent.add("subscriptions/listen")
    async with house(server, transport=way_out) as home:
        client = await home.client("tcp", "modern")
        assert await client.names() == ["echo"]
        server.offers["tools"].append(tool("new"))
        server.silent.clear()
        server.serve(await server.next_call("subscriptions/listen"))
        await _named(client, "new")


def _after(server: ScriptedServer, method: str, number: int) -> int:
    """How many messages to skip to be past the first `number` of this method."""
    places = [place for place, item in enumerate(server.heard) if item.method == method]
    return places[number - 1] + 1


async def _named(client: Client, name: str) -> None:
    for _ in range(1000):
        if name in await client.names():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} was never listed")


@pytest.mark.requirement("list-changed.told", "subscriptions.session")
async def test_what_changed_before_the_stream_of_a_session_was_open_is_told_when_it_is() -> None:
    async with house(ScriptedServer("session"), transport="tcp") as home:
        client, server = await home.http_client("session", listens_at_once=False), home.server
        await client.call("resources/subscribe", {"uri": URI})
        server.announce("notifications/tools/list_changed")
        for number in range(3):
            server.announce(UPDATED, {"uri": URI, "_meta": {"n": number}})
        server.announce("notifications/prompts/list_changed")
        # The last of them has been dealt with when what comes after it has.
        await server.wait_heard("prompts/list", skip=len(server.heard))
        pending = client.tool("echo")
        (await server.next_call()).text("did")
        await pending.reply()
        assert list(client.notices) == []
        await client.listen()
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
        said = sorted(item["method"] for item in client.notices)
        assert said == ["notifications/prompts/list_changed", UPDATED, "notifications/tools/list_changed"]
        assert [item["params"]["_meta"] for item in client.notices if item["method"] == UPDATED] == [{"n": 2}]


@pytest.mark.requirement("list-changed.told")
async def test_what_changed_before_a_client_is_initialized_is_told_when_it_is() -> None:
    async with house(ScriptedServer("session"), transport="tcp") as home:
        server = home.server
        client = StreamClient(home.tcp, "session")
        home.clients.append(client)
        await client.connect()
        greeting = {"protocolVersion": SESSION, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        await client.call("initialize", greeting)
        asked = len(server.heard)
        server.announce("notifications/tools/list_changed")
        await server.wait_heard("tools/list", skip=asked)
        await client.settle()
        assert list(client.notices) == []
        client.notify("notifications/initialized")
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")


@pytest.mark.requirement("listen.filters")
@pytest.mark.parametrize(("way_in", "way_out"), [("http", "http"), ("tcp", "stdio"), ("packed", "tcp")])
async def test_a_listener_hears_only_what_it_asked_for(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("modern"), transport=way_out) as home:
        client, server = await home.client(way_in, "modern"), home.server
        await client.names()
        await server.wait_heard("subscriptions/listen")
        await listen(client, {"promptsListChanged": True})
        server.announce("notifications/tools/list_changed")
        server.announce("notifications/prompts/list_changed")
        await client.notices.wait(lambda item: item["method"] == "notifications/prompts/list_changed")
        assert [item["method"] for item in client.notices if "tools" in item["method"]] == []


@pytest.mark.requirement("listen.closed-is-cancelled")
@pytest.mark.parametrize("way_in", ["http", "tcp"])
async def test_a_listener_that_is_cancelled_hears_no_more(way_in: str) -> None:
    async with house(ScriptedServer("modern")) as home:
        client, server = await home.client(way_in, "modern"), home.server
        first = await listen(client, {"toolsListChanged": True})
        await listen(client, {"toolsListChanged": True})
        client.cancel(first)
        if way_in == "http":
            await client.call("tools/list")
        server.announce("notifications/tools/list_changed")
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
        ids = [
            item["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
            for item in client.notices
            if item["method"] == "notifications/tools/list_changed"
        ]
        assert first.id not in ids


@pytest.mark.requirement("subscriptions.session", "subscriptions.shared-upstream")
@pytest.mark.parametrize(("era", "way_in", "way_out"), [road for road in SOME_ROADS if road[0] == "session"])
async def test_a_followed_resource_is_told_to_its_followers_only(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        server = home.server
        one, two = await home.client(way_in, era), await home.client(way_in, era)
        assert (await one.call("resources/subscribe", {"uri": URI})).result == {}
        assert (await server.wait_heard("resources/subscribe")).params["uri"] == URI
        server.announce(UPDATED, {"uri": URI, "x-odd": 1.0})
        notice = await one.notices.wait(lambda item: item["method"] == UPDATED)
        assert notice["params"]["uri"] == URI
        await two.call("ping")
        assert [item for item in two.notices if item["method"] == UPDATED] == []
        await two.call("resources/subscribe", {"uri": URI})
        assert (await one.call("resources/unsubscribe", {"uri": URI})).result == {}
        server.announce(UPDATED, {"uri": URI})
        await two.notices.wait(lambda item: item["method"] == UPDATED)
        await one.call("ping")
        assert len([item for item in one.notices if item["method"] == UPDATED]) == 1
        assert server.said("resources/unsubscribe") == []
        two.close()
        if way_in != "http":  # An HTTP session outlives its connections.
            assert (await server.wait_heard("resources/unsubscribe")).params["uri"] == URI


@pytest.mark.requirement("subscriptions.listen")
@pytest.mark.parametrize(("era", "way_in", "way_out"), [road for road in SOME_ROADS if road[0] == "modern"])
async def test_a_listener_follows_resources_by_their_uri(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        server = home.server
        one, two = await home.client(way_in, era), await home.client(way_in, era)
        listening = await listen(one, {"resourceSubscriptions": [URI]})
        await listen(two, {"resourceSubscriptions": ["test://one/other"], "toolsListChanged": True})
        await server.heard.wait(
            lambda item: (
                item.method == "subscriptions/listen"
                and URI in item.params["notifications"].get("resourceSubscriptions", [])
            )
        )
        server.announce(UPDATED, {"uri": URI})
        notice = await one.notices.wait(lambda item: item["method"] == UPDATED)
        assert notice["params"]["uri"] == URI
        assert notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == listening.id
        server.announce("notifications/tools/list_changed")
        await two.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
        assert [item for item in two.notices if item["method"] == UPDATED] == []
