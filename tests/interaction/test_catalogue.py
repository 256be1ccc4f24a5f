"""One catalogue from several servers: prefixes, aliases, choices, descriptions, collisions, what is merged."""

from __future__ import annotations

import logging

import pytest
from gateway import house
from heard import Json
from scripted_server import ScriptedServer, dump, tool

pytestmark = pytest.mark.anyio
sides = pytest.mark.parametrize(
    ("era", "way_in"), [("session", "http"), ("session", "tcp"), ("modern", "http"), ("modern", "packed")]
)


def two(era: str) -> tuple[ScriptedServer, ScriptedServer]:
    return ScriptedServer(era, "one", tools=(tool("b"), tool("a"))), ScriptedServer(era, "two", tools=(tool("a"),))


@pytest.mark.requirement("catalogue.prefix", "catalogue.order", "tools.call.routes-by-prefix")
@sides
async def test_names_are_prefixed_in_a_fixed_order_and_lead_back(era: str, way_in: str) -> None:
    one, other = two(era)
    async with house(one, other, transport=("stdio", "http")) as home:
        client = await home.client(way_in, era)
        assert await client.names() == ["one__b", "one__a", "two__a"]
        assert await client.names("prompts/list", "prompts") == ["one__greet", "two__greet"]
        assert await client.names("resources/list", "resources", "uri") == ["test://one/a", "test://two/a"]
        for server, name in ((one, "one__a"), (other, "two__a")):
            pending = client.begin("tools/call", b'{"arguments":{"k":1.0},"x":[1.0],"name":"%b"}' % name.encode())
            call = await server.next_call()
            assert b'{"arguments":{"k":1.0},"x":[1.0],"name":"a"' in call.raw
            call.text(name)
            assert (await pending.reply()).text == name
        pending = client.begin("prompts/get", {"name": "two__greet"})
        call = await other.next_call("prompts/get")
        assert call.params["name"] == "greet"
        call.reply(other.complete({"messages": []}))
        await pending.reply()
        pending = client.begin("resources/read", {"uri": "test://two/item/9"})
        (await other.next_call("resources/read")).reply(other.complete({"contents": []}))
        await pending.reply()
        asked = {"ref": {"type": "ref/prompt", "name": "one__greet"}, "argument": {"name": "x", "value": ""}}
        pending = client.begin("completion/complete", asked)
        call = await one.next_call("completion/complete")
        assert call.params["ref"]["name"] == "greet"
        call.reply(one.complete({"completion": {"values": []}}))
        await pending.reply()
        assert one.calls.items[-1] is call


@pytest.mark.requirement("catalogue.transparent")
@sides
async def test_an_only_server_is_shown_as_it_is(era: str, way_in: str) -> None:
    async with house(ScriptedServer(era, tools=(tool("x.y-z"),))) as home:
        client = await home.client(way_in, era)
        assert await client.names() == ["x.y-z"]
        if era == "session":
            assert client.initialized["serverInfo"] == {"name": "one", "version": "1", "x-unknown": [1.0]}
            assert client.initialized["instructions"] == "how to use one"
            assert client.initialized["capabilities"] == home.server.capabilities


FIELDS: list[Json] = [
    {"prefix": "", "aliases": (("b", "better"),), "descriptions": (("a", 'the "real" one, é'),)},
    {"prefix": "p.", "include": ("a*", "keep"), "exclude": ("ab",)},
]


@pytest.mark.requirement(
    "catalogue.aliases", "catalogue.include-exclude", "catalogue.descriptions", "catalogue.custom-prefix"
)
@sides
async def test_aliases_choices_and_descriptions_are_as_configured(era: str, way_in: str) -> None:
    one = ScriptedServer(era, "one", tools=(tool("b"), tool("a", description="old", **{"x-odd": 1.5})))
    other = ScriptedServer(era, "two", tools=tuple(tool(name) for name in ("a", "ab", "abc", "keep", "no")))
    async with house(one, other, fields=FIELDS) as home:
        client = await home.client(way_in, era)
        listed = (await client.call("tools/list")).result["tools"]
        assert [entry["name"] for entry in listed] == ["better", "a", "p.a", "p.abc", "p.keep"]
        assert listed[1] == {
            "name": "a",
            "inputSchema": {"type": "object"},
            "description": 'the "real" one, é',
            "x-odd": 1.5,
        }
        pending = client.tool("better")
        call = await one.next_call()
        assert call.params["name"] == "b"
        call.text("x")
        await pending.reply()
        for hidden in ("b", "p.ab", "p.no", "no", "one__a"):
            assert (await client.tool(hidden).reply()).error["code"] == -32602


@pytest.mark.requirement("catalogue.collisions")
async def test_a_collision_is_reported_and_the_first_server_keeps_the_name(caplog: pytest.LogCaptureFixture) -> None:
    one, other = (
        ScriptedServer("session", "one", tools=(tool("a"),)),
        ScriptedServer("session", "two", tools=(tool("a"),)),
    )
    with caplog.at_level(logging.WARNING, "tidegate"):
        async with house(one, other, fields=[{"prefix": ""}, {"prefix": ""}]) as home:
            client = await home.client("tcp", "session")
            assert await client.names() == ["a"]
            pending = client.tool("a")
            (await one.next_call()).text("one")
            assert (await pending.reply()).text == "one"
    assert any("`a` of backend `two` is hidden by backend `one`" in record.getMessage() for record in caplog.records)


@pytest.mark.requirement("catalogue.collisions")
async def test_a_collision_is_reported_once_although_the_catalogue_is_made_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = (ScriptedServer("session", name, tools=(tool("a"),)) for name in ("one", "two"))
    with caplog.at_level(logging.WARNING, "tidegate"):
        async with house(one, other, fields=[{"prefix": ""}, {"prefix": ""}]) as home:
            client = await home.client("tcp", "session")
            for name in ("b", "c"):
                one.offers["tools"].append(tool(name))
                other.offers["tools"].append(tool(name))
                one.announce("notifications/tools/list_changed")
                other.announce("notifications/tools/list_changed")
                for _ in range(2):
                    await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
                    client.notices.items.pop(0)
                assert name in await client.names()
    told = [record.getMessage() for record in caplog.records if "tools" in record.getMessage()]
    assert [text.split("`")[1] for text in told] == ["a", "b", "c"]


@pytest.mark.requirement("discover.from-catalogue", "discover.merged")
@sides
async def test_opening_facts_are_merged_and_come_from_the_catalogue(era: str, way_in: str) -> None:
    one, other = two(era)
    one.capabilities = {"tools": {}}
    other.capabilities = {"tools": {"listChanged": True}, "prompts": {}}
    async with house(one, other) as home:
        client = await home.client(way_in, era)
        facts = client.initialized if era == "session" else (await client.call("server/discover")).result
        # Servers come and go, so that their lists change even if they themselves never change one.
        assert facts["capabilities"] == {"tools": {"listChanged": True}, "prompts": {"listChanged": True}}
        assert facts["instructions"] == "one: how to use one\n\ntwo: how to use two"
        heard = len(one.heard) + len(other.heard)
        again = await home.client(way_in, era)
        if era == "modern":
            await again.call("server/discover")
        await again.names()
        assert len(one.heard) + len(other.heard) == heard


@pytest.mark.requirement("lists.ttl-and-scope")
async def test_the_shortest_life_and_the_narrowest_scope_win() -> None:
    one, other = two("modern")
    other.silent.add("tools/list")
    async with house(one, other) as home:
        client = await home.client("tcp", "modern")
        pending = client.begin("tools/list")
        entry = tool("a").decode()
        call = await other.next_call("tools/list")
        call.reply(f'{{"tools":[{entry}],"resultType":"complete","ttlMs":70,"cacheScope":"private"}}'.encode())
        result = (await pending.reply()).result
        assert (result["ttlMs"], result["cacheScope"]) == (70, "private")
        result = (await client.call("prompts/list")).result
        assert (result["ttlMs"], result["cacheScope"]) == (5000, "public")


@pytest.mark.requirement("catalogue.one-bad-backend")
@sides
async def test_a_server_that_is_down_takes_only_its_own_entries_away(era: str, way_in: str) -> None:
    one, other = two(era)
    async with house(one, other) as home:
        client = await home.client(way_in, era)
        assert len(await client.names()) == 3
        other.close()
        await other.channels[0].closed.wait()
        pending = client.tool("one__a")
        (await one.next_call()).text("still here")
        assert (await pending.reply()).text == "still here"


@pytest.mark.requirement("tasks.owner-only")
async def test_a_task_is_reached_by_its_owner_alone() -> None:
    async with house(ScriptedServer("session")) as home:
        server = home.server
        server.capabilities["tasks"] = {"requests": {"tools": {"call": {}}}}
        one = await home.client("tcp", "session", capabilities={"tasks": {}})
        other = await home.client("tcp", "session", capabilities={"tasks": {}})
        pending = one.begin("tools/call", {"name": "echo", "arguments": {}, "task": {"ttl": 60000}})
        call = await server.next_call()
        assert call.params["task"] == {"ttl": 60000}
        call.reply(
            {"task": {"taskId": "t-1", "status": "working", "ttl": 60000, "createdAt": "x", "lastUpdatedAt": "x"}}
        )
        assert (await pending.reply()).result["task"]["taskId"] == "t-1"
        pending = one.begin("tasks/get", {"taskId": "t-1"})
        call = await server.next_call("tasks/get")
        call.reply(dump({"taskId": "t-1", "status": "completed"}))
        assert (await pending.reply()).result["status"] == "completed"
        refused = other.begin("tasks/get", {"taskId": "t-1"})
        assert (await refused.reply()).error["code"] == -32602
