"""What is particular to Streamable HTTP: sessions, resumption, mirrored headers."""

from __future__ import annotations

import pytest
from clients import HttpClient, Pending, Reply
from gateway import house
from heard import Json, within
from scripted_server import ScriptedServer, tool

pytestmark = pytest.mark.anyio


@pytest.mark.requirement("http.session-delete")
async def test_a_deleted_session_is_gone_and_its_calls_are_cancelled() -> None:
    async with house(ScriptedServer("session")) as home:
        client = await home.http_client("session")
        client.tool("echo")
        call = await home.server.next_call()
        deleted = client.open("DELETE", client.headers(), b"", None)
        await within(deleted.ended.wait())
        assert deleted.response.status in (200, 204)
        assert (await home.server.wait_heard("notifications/cancelled")).params["requestId"] == call.id
        reply = await client.call("tools/list")
        assert reply.status == 404


@pytest.mark.requirement("http.session-unknown")
async def test_an_unknown_session_is_not_found() -> None:
    async with house(ScriptedServer("session")) as home:
        client = HttpClient(home.http, "session")
        home.clients.append(client)
        client.session = "made-up"
        assert (await client.call("tools/list")).status == 404
        client.session = ""
        reply = await client.call("tools/list")
        assert (reply.status, reply.error["code"]) == (400, -32600)


@pytest.mark.requirement("http.resumption")
async def test_a_lost_stream_is_resumed_after_the_last_event() -> None:
    async with house(ScriptedServer("session")) as home:
        client = await home.http_client("session")
        pending = client.tool("echo", meta={"progressToken": "t"})
        call = await home.server.next_call()
        call.progress(1)
        await pending.notices.wait(lambda item: item["params"]["progress"] == 1)
        assert pending.http is not None
        seen = pending.http.event_ids[-1]
        pending.http.close()
        call.progress(2)
        call.text("after all")
        await client.call("ping")
        resumed = client.open(
            "GET", {**client.headers(), "accept": "text/event-stream", "last-event-id": seen}, b"", pending
        )
        assert (await pending.reply()).text == "after all"
        assert [item["params"]["progress"] for item in pending.notices] == [1, 2]
        await within(resumed.ended.wait())
        assert home.server.said("notifications/cancelled") == []


@pytest.mark.requirement("http.resumption-general")
async def test_the_standing_stream_is_resumed_after_the_last_event() -> None:
    async with house(ScriptedServer("session")) as home:
        client, server = await home.http_client("session"), home.server
        changed = "notifications/tools/list_changed"
        server.announce(changed)
        await client.notices.wait(lambda item: item["method"] == changed)
        assert client.general is not None
        seen = client.general.event_ids[-1]
        heard = len(client.notices)
        client.general.close()
        await client.call("ping")
        client.general = client.open(
            "GET", {**client.headers(), "accept": "text/event-stream", "last-event-id": seen}, b"", None
        )
        await within(client.general.started.wait())
        server.announce("notifications/prompts/list_changed")
        await client.notices.wait(lambda item: item["method"] == "notifications/prompts/list_changed")
        assert [item["method"] for item in list(client.notices)[heard:]] == ["notifications/prompts/list_changed"]


@pytest.mark.requirement("http.two-eras-at-once")
async def test_both_eras_share_the_endpoint() -> None:
    modern, session = ScriptedServer("modern", "m"), ScriptedServer("session", "s")
    async with house(modern) as home:
        client = await home.http_client("modern")
        assert await client.names() == ["echo"]
    async with house(session) as home:
        one, other = await home.http_client("session"), await home.http_client("session", revision="2025-03-26")
        assert one.initialized["protocolVersion"] == "2025-11-25"
        assert other.initialized["protocolVersion"] == "2025-03-26"
        assert await one.names() == await other.names() == ["echo"]


MARKED = tool(
    "deploy",
    inputSchema={
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "count": {"type": "integer", "x-mcp-header": "Count"},
            "free": {"type": "string"},
        },
    },
)


class _WithHeaders(HttpClient):
    more: dict[str, str]

    def headers(self, raw: bytes = b"") -> dict[str, str]:
        return {**super().headers(raw), **self.more}


@pytest.mark.requirement("http.param-headers-checked")
@pytest.mark.parametrize(
    ("arguments", "headers", "right"),
    [
        ({"region": "eu", "count": 3}, {"mcp-param-region": "eu", "mcp-param-count": "3"}, True),
        ({"region": "é", "count": 3}, {"mcp-param-region": "=?base64?w6k=?=", "mcp-param-count": "3"}, True),
        ({"region": "eu"}, {"mcp-param-region": "us"}, False),
        ({"region": "eu"}, {}, False),
        ({}, {"mcp-param-region": "eu"}, False),
        ({"count": 3}, {"mcp-param-count": "4"}, False),
        ({"free": "x"}, {}, True),
    ],
)
async def test_marked_arguments_must_be_mirrored_into_headers(
    arguments: Json, headers: dict[str, str], right: bool
) -> None:
    async with house(ScriptedServer("modern", tools=(MARKED,)), transport="http") as home:
        client = _WithHeaders(home.http, "modern")
        client.more = headers
        home.clients.append(client)
        pending: Pending = client.tool("deploy", arguments)
        if not right:
            reply: Reply = await pending.reply()
            assert (reply.status, reply.error["code"]) == (400, -32020)
            assert home.server.calls.items == []
            return
        call = await home.server.next_call()
        for name, value in headers.items():
            assert call.headers[name] == value
        call.text("x")
        assert (await pending.reply()).text == "x"


@pytest.mark.requirement("http.param-headers-added")
async def test_marked_arguments_of_a_stream_client_become_headers() -> None:
    async with house(ScriptedServer("modern", tools=(MARKED,)), transport="http") as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("deploy", {"region": "é", "count": 3})
        call = await home.server.next_call()
        assert call.headers["mcp-param-count"] == "3"
        assert call.headers["mcp-param-region"] == "=?base64?w6k=?="
        assert call.headers["mcp-method"] == "tools/call"
        assert call.headers["mcp-name"] == "deploy"
        call.text("x")
        await pending.reply()


@pytest.mark.requirement("http.json-or-stream")
async def test_an_answer_is_json_until_something_comes_before_it() -> None:
    async with house(ScriptedServer("modern")) as home:
        client = await home.http_client("modern")
        plain, streamed = client.tool("echo"), client.tool("echo", meta={"progressToken": 1})
        calls = [await home.server.next_call() for _ in range(2)]
        for call in calls:
            if call.token is not None:
                call.progress(1)
            call.text("x")
        assert (await plain.reply()).headers["content-type"] == "application/json"
        assert (await streamed.reply()).headers["content-type"] == "text/event-stream"
