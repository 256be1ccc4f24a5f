"""Tasks of 2025-11-25 and of the extension of 2026-07-28, each towards a client of the other era, by scripts."""

from __future__ import annotations

import pytest
from clients import Pending
from gateway import House, house
from heard import Json
from scripted_server import Received, ScriptedServer, tool

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
DECLARED = "io.modelcontextprotocol/clientCapabilities"
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
SAMPLE: Json = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
SAMPLED: Json = {"role": "assistant", "content": {"type": "text", "text": "!"}, "model": "m"}
ALL: Json = {"elicitation": {}, "sampling": {}}
ACCEPT: Json = {"action": "accept", "content": {"name": "Ada"}}
TIMES: Json = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:01Z"}
CONTENT: Json = {"content": [{"type": "text", "text": "done"}]}

pytestmark = pytest.mark.anyio

roads = pytest.mark.parametrize(
    ("way_in", "way_out"), [("tcp", "stdio"), ("http", "http"), ("http", "stdio"), ("tcp", "http")]
)


def stateless_server(name: str = "one") -> ScriptedServer:
    server = ScriptedServer("modern", name)
    server.capabilities["extensions"] = {EXTENSION: {}}
    return server


def session_server(name: str = "one", support: str = "required") -> ScriptedServer:
    listed = (tool("echo", execution={"taskSupport": support}), tool("plain"))
    server = ScriptedServer("session", name, tools=listed)
    server.capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    return server


def flat(status: str, **more: Json) -> Json:
    """A task of the extension."""
    return {"taskId": "t-1", "status": status, **TIMES, "ttlMs": 60000, "pollIntervalMs": 50, **more}


def state(status: str, **more: Json) -> Json:
    """A task of 2025-11-25."""
    return {"taskId": "t-1", "status": status, **TIMES, "ttl": 60000, "pollInterval": 50, **more}


def about(client: Json, method: str, task_id: str = "t-1", **more: Json) -> Pending:
    return client.begin(f"tasks/{method}", {"taskId": task_id, **more})


def declares(call: Received) -> bool:
    return EXTENSION in call.params["_meta"][DECLARED].get("extensions", {})


# -- a session's client, a stateless server --------------------------------------------------------------------


async def made(home: House, client: Json, **more: Json) -> Json:
    """A session's client calls a tool as a task, and a stateless server makes one."""
    pending = client.begin("tools/call", {"name": "echo", "arguments": {"n": 1}, "task": {"ttl": 1000}})
    call = await home.server.next_call("tools/call")
    assert declares(call)
    assert "task" not in call.params
    assert call.params["arguments"] == {"n": 1}
    call.reply({"resultType": "task", **flat("working", **more)})
    return (await pending.reply()).result


@roads
async def test_a_session_client_follows_a_task_of_a_stateless_server(way_in: str, way_out: str) -> None:
    async with house(stateless_server(), transport=way_out) as home:
        client = await home.client(way_in, "session")
        able = client.initialized["capabilities"]
        assert able["tasks"] == {"cancel": {}, "requests": {"tools": {"call": {}}}}
        assert "extensions" not in able
        (listed,) = (await client.call("tools/list")).result["tools"]
        assert listed["execution"] == {"taskSupport": "optional"}
        assert await made(home, client) == {"task": state("working")}

        pending = about(client, "get")
        call = await home.server.next_call("tasks/get")
        assert declares(call)
        assert call.params["taskId"] == "t-1"
        if way_out == "http":
            assert call.headers["mcp-name"] == "t-1"
        call.reply({"resultType": "complete", **flat("working", statusMessage="half")})
        assert (await pending.reply()).result == state("working", statusMessage="half")

        pending = about(client, "result")
        (await home.server.next_call("tasks/get")).reply({"resultType": "complete", **flat("working")})
        ended = {"resultType": "complete", **flat("completed", result={"resultType": "complete", **CONTENT})}
        (await home.server.next_call("tasks/get")).reply(ended)
        assert (await pending.reply()).result == {**CONTENT, "_meta": {RELATED: {"taskId": "t-1"}}}

        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(ended)
        assert (await pending.reply()).result == state("completed")


# -- a stateless client, a session server ----------------------------------------------------------------------


async def begun(home: House, client: Json) -> Received:
    """A stateless client calls a tool that its session server runs as a task only."""
    pending = client.tool("echo", {"n": 1})
    call = await home.server.next_call("tools/call")
    assert call.params["task"] == {}
    call.reply({"task": state("working")})
    result = (await pending.reply()).result
    assert result == {"resultType": "task", **flat("working")}
    return call


@roads
async def test_a_stateless_client_follows_a_task_of_a_session_server(way_in: str, way_out: str) -> None:
    async with house(session_server(), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities={"extensions": {EXTENSION: {}}})
        able = (await client.call("server/discover")).result["capabilities"]
        assert able["extensions"] == {EXTENSION: {}}
        assert "tasks" not in able
        assert "execution" not in (await client.call("tools/list")).result["tools"][0]
        await begun(home, client)

        pending = about(client, "get")
        call = await home.server.next_call("tasks/get")
        assert "_meta" not in call.params or DECLARED not in call.params["_meta"]
        call.reply(state("working", statusMessage="half"))
        assert (await pending.reply()).result == {"resultType": "complete", **flat("working", statusMessage="half")}

        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("completed"))
        call = await home.server.next_call("tasks/result")
        call.reply({**CONTENT, "_meta": {RELATED: {"taskId": "t-1"}}})
        result = (await pending.reply()).result
        assert result == {
            "resultType": "complete",
            **flat("completed", result={**CONTENT, "resultType": "complete"}),
        }
