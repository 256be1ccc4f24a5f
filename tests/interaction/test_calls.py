"""Lists, calls, prompts, resources, templates and completions, over every road there is."""

from __future__ import annotations

import pytest
from gateway import EVERY_ROAD, SOME_ROADS, house
from scripted_server import ScriptedServer, dump, tool

pytestmark = pytest.mark.anyio

every_road = pytest.mark.parametrize(("era", "way_in", "way_out"), EVERY_ROAD)
some_roads = pytest.mark.parametrize(("era", "way_in", "way_out"), SOME_ROADS)


@pytest.mark.requirement("tools.list.served", "tools.call.answered", "transports.era-by-transport")
@every_road
async def test_a_tool_is_listed_called_and_answered(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client = await home.client(way_in, era)
        assert await client.names() == ["echo"]
        pending = client.tool("echo", {"text": "hello"})
        call = await home.server.next_call("tools/call")
        assert call.params["name"] == "echo"
        assert call.params["arguments"] == {"text": "hello"}
        call.text("hello back")
        assert (await pending.reply()).text == "hello back"


@pytest.mark.requirement(
    "prompts.get.answered", "resources.read.answered", "resources.read.template", "completion.forwarded"
)
@some_roads
async def test_prompts_resources_templates_and_completions_reach_the_server(
    era: str, way_in: str, way_out: str
) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client, server = await home.client(way_in, era), home.server
        assert await client.names("prompts/list", "prompts") == ["greet"]
        assert await client.names("resources/list", "resources", "uri") == ["test://one/a"]
        found = await client.names("resources/templates/list", "resourceTemplates", "uriTemplate")
        assert found == ["test://one/item/{id}"]

        pending = client.begin("prompts/get", {"name": "greet", "arguments": {"who": "you"}})
        call = await server.next_call("prompts/get")
        assert call.params["arguments"] == {"who": "you"}
        call.reply(server.complete({"messages": []}))
        assert (await pending.reply()).result["messages"] == []

        for uri in ("test://one/a", "test://one/item/7"):
            pending = client.begin("resources/read", {"uri": uri})
            call = await server.next_call("resources/read")
            assert call.params["uri"] == uri
            call.reply(server.complete({"contents": [{"uri": uri, "text": "there"}]}))
            assert (await pending.reply()).result["contents"] == [{"uri": uri, "text": "there"}]

        for reference in (
            {"type": "ref/prompt", "name": "greet"},
            {"type": "ref/resource", "uri": "test://one/item/{id}"},
        ):
            asked = {"ref": reference, "argument": {"name": "id", "value": "x"}}
            pending = client.begin("completion/complete", asked)
            call = await server.next_call("completion/complete")
            assert call.params["ref"] == reference
            call.reply(server.complete({"completion": {"values": ["xy"]}}))
            assert (await pending.reply()).result["completion"] == {"values": ["xy"]}


ODD_ARGUMENTS = (
    b'{"z":1.0,"a":9007199254740993,"big":-9223372036854775808,"e":1E+2, "u":"\\u00e9\\/","n":{"b":null,"a":[ ]}}'
)
ODD_RESULT = (
    b'"structuredContent":{"z":1.0,"a":9007199254740993,"t":1.10,"k":"\\u00e9\\/"},"x-unknown":[1.0,{"b":1,"a":2}],'
    b'"content":[{"type":"text","text":"x","_meta":{"vendor/key":1.0}}],"_meta":{"other/key":18446744073709551615}'
)


@pytest.mark.requirement("passthrough.bytes", "passthrough.unknown-fields")
@every_road
async def test_what_is_not_understood_arrives_byte_for_byte(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client = await home.client(way_in, era)
        pending = client.begin("tools/call", b'{"x-odd":[1.0],"name":"echo","arguments":' + ODD_ARGUMENTS + b"}")
        call = await home.server.next_call()
        # MessagePack keeps values and number spellings, not the spelling of blanks and escapes.
        if way_in == "packed":
            assert call.raw.replace(b" ", b"").count(b'"z":1.0,"a":9007199254740993,"big":-9223372036854775808') == 1
        else:
            assert ODD_ARGUMENTS in call.raw
        assert b'"x-odd":[1.0]' in call.raw
        kind = b'"resultType":"complete",' if era == "modern" else b""
        call.reply(b"{" + kind + ODD_RESULT + b"}")
        raw = (await pending.reply()).raw
        if way_in == "packed":
            assert b'{"z":1.0,"a":9007199254740993,"t":1.10,' in raw
            assert b'"x-unknown":[1.0,{"b":1,"a":2}]' in raw
            assert b'{"other/key":18446744073709551615}' in raw
        elif way_in == "sse":
            # 2024-11-05 has neither structured content nor `_meta` in blocks; all else is the server's.
            assert (
                b'"x-unknown":[1.0,{"b":1,"a":2}],"content":[{"type":"text","text":"x"}],"_meta":{"other/key":' in raw
            )
        else:
            assert ODD_RESULT in raw


@pytest.mark.requirement("passthrough.schemas", "passthrough.apps-metadata")
@some_roads
async def test_a_listed_entry_is_the_servers_own_bytes(era: str, way_in: str, way_out: str) -> None:
    raw = (
        b'{"description":"x","name":"echo","inputSchema":{"type":"object","properties":{"b":{"default":1.0,"maximum":'
        b'9007199254740993},"a":{"$ref":"#/x"}},"$schema":"s"},"_meta":{"ui/resourceUri":"ui://a"},"x-new":[1.50]}'
    )
    async with house(ScriptedServer(era, tools=(raw,)), transport=way_out) as home:
        client = await home.client(way_in, era)
        # 2024-11-05 has no `_meta` in entries.
        known = raw.replace(b',"_meta":{"ui/resourceUri":"ui://a"}', b"") if way_in == "sse" else raw
        assert known in (await client.call("tools/list")).raw


@pytest.mark.requirement("mrtr.passthrough")
@pytest.mark.parametrize(("era", "way_in", "way_out"), [road for road in EVERY_ROAD if road[0] == "modern"])
async def test_a_request_for_input_and_its_state_pass_untouched(era: str, way_in: str, way_out: str) -> None:
    state = b'"state \\u00e9 +/=="' if way_in != "packed" else '"state é +/=="'.encode()
    wanted = b'"inputRequests":{"q1":{"method":"elicitation/create","params":{"mode":"form","message":"?","x":1.0}}}'
    async with house(ScriptedServer(era), transport=way_out) as home:
        client = await home.client(way_in, era, capabilities={"elicitation": {"form": {}}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert call.params["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {"form": {}}}
        call.reply(b'{"resultType":"input_required",' + wanted + b',"requestState":' + state + b"}")
        raw = (await pending.reply()).raw
        assert b'"resultType":"input_required",' + wanted + b',"requestState":' + state in raw
        answer = b'"inputResponses":{"q1":{"action":"accept","content":{"n":2.0}}},"requestState":' + state
        pending = client.begin("tools/call", b'{"name":"echo","arguments":{},' + answer + b"}")
        call = await home.server.next_call()
        assert answer in call.raw
        call.text("done")
        assert (await pending.reply()).text == "done"


@pytest.mark.requirement("pagination.upstream-walked")
@some_roads
async def test_every_page_of_a_server_is_walked(era: str, way_in: str, way_out: str) -> None:
    server = ScriptedServer(era, tools=tuple(tool(f"t{number}") for number in range(7)))
    server.page_entries = 3
    async with house(server, transport=way_out) as home:
        client = await home.client(way_in, era)
        assert await client.names() == [f"t{number}" for number in range(7)]
        cursors = [item.params.get("cursor") for item in server.said("tools/list")]
        assert cursors[:3] == [None, "p3", "p6"]
        heard = len(server.said("tools/list"))
        await client.names()
        assert len(server.said("tools/list")) == heard


@pytest.mark.requirement("pagination.own-cursors", "pagination.bad-cursor")
@pytest.mark.parametrize(("era", "way_in"), [("session", "tcp"), ("modern", "http")])
async def test_more_than_a_thousand_tools_come_in_pages_of_our_own(era: str, way_in: str) -> None:
    server = ScriptedServer(era, tools=tuple(tool(f"t{number}") for number in range(2500)))
    async with house(server) as home:
        client = await home.client(way_in, era)
        first = (await client.call("tools/list")).result
        assert len(first["tools"]) == 1000
        assert await client.names() == [f"t{number}" for number in range(2500)]
        assert (await client.call("tools/list", {"cursor": "nonsense"})).error["code"] == -32602


UNKNOWN = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@pytest.mark.requirement("unknown.tool", "unknown.prompt", "unknown.resource")
@pytest.mark.parametrize(
    ("era", "way_in"), [("session", "http"), ("session", "tcp"), ("modern", "http"), ("modern", "tcp")]
)
async def test_unknown_things_are_refused_as_the_revision_says(era: str, way_in: str) -> None:
    async with house(ScriptedServer(era), ScriptedServer(era, "two")) as home:
        client = await home.client(way_in, era)
        for method, member in UNKNOWN.items():
            error = (await client.call(method, {member: "test://none/such"})).error
            legacy_resource = era == "session" and method == "resources/read"
            assert error["code"] == (-32002 if legacy_resource else -32602)
            assert "test://none/such" in dump(error).decode()
        assert home.server.calls.items == []


@pytest.mark.requirement("unknown.method")
@pytest.mark.parametrize(
    ("era", "way_in"), [("session", "http"), ("session", "tcp"), ("modern", "http"), ("modern", "tcp")]
)
async def test_unknown_methods_reach_an_only_server_and_no_other(era: str, way_in: str) -> None:
    async with house(ScriptedServer(era)) as home:
        client = await home.client(way_in, era)
        pending = client.begin("vendor/do", {"x": 1.0})
        call = await home.server.next_call("vendor/do")
        call.reply({"resultType": "complete", "y": 2})
        assert (await pending.reply()).result["y"] == 2
    async with house(ScriptedServer(era), ScriptedServer(era, "two")) as home:
        client = await home.client(way_in, era)
        assert (await client.call("vendor/do")).error["code"] == -32601


@pytest.mark.requirement("errors.forwarded")
@some_roads
async def test_a_servers_error_arrives_with_its_code_and_data(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        (await home.server.next_call()).fail(-32050, "no luck", {"why": [1]})
        assert (await pending.reply()).error == {"code": -32050, "message": "no luck", "data": {"why": [1]}}
