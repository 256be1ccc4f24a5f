"""Each row of "What bad input gets", on HTTP and on TCP."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from clients import Client, HttpClient, Reply, StreamClient
from gateway import SOME_ROADS, House, house
from heard import Json, within
from scripted_server import ScriptedServer, StreamChannel, dump, tool

from tidegate.config.snapshot import Backend, Limits
from tidegate.config.snapshot import Client as TokenOwner
from tidegate.pipeline.codec import json_to_msgpack

pytestmark = pytest.mark.anyio

LIMITS = Limits(rate_per_s=0, drain_s=0.0, body_bytes=4000, line_bytes=4000, depth=16)
META = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
)


async def post(home: House, body: bytes, **headers: str) -> Reply:
    """The answer to a raw body; headers named as in Python, `None` never sent."""
    client = HttpClient(home.http, "modern")
    home.clients.append(client)
    sent = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    connection = client.open("POST", {key: value for key, value in sent.items() if value}, body, None)
    await within(connection.ended.wait())
    return Reply(connection.response.body, connection.response.status, connection.response.headers)


async def line(client: StreamClient, raw: bytes) -> Reply:
    """The next answer that has no request of its own."""
    known = len(client.stray)
    client.send_raw(raw + b"\n")
    return await client.stray.wait(lambda item: True, skip=known)


def nested(depth: int) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{"a":'
        + b"[" * depth
        + b"]" * depth
        + b","
        + META.encode()
        + b"}}"
    )


WRONG = {
    "not JSON": (b"{nonsense", -32700, 400, ""),
    "cut off": (b'{"jsonrpc":"2.0","id":5,', -32700, 400, ""),
    "empty object": (b"{}", -32600, 400, ""),
    "not JSON-RPC": (b'{"id":5,"method":"tools/list"}', -32600, 400, ""),
    "a number": (b"17", -32600, 400, ""),
    "fractional id": (b'{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}', -32600, 400, ""),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":5,"method":"\xff"}', -32700, 400, "UTF-8"),
    "duplicate key": (b'{"jsonrpc":"2.0","id":5,"method":"a","method":"b"}', -32600, 400, "twice"),
    "duplicate key in params": (
        b'{"jsonrpc":"2.0","id":5,"method":"a","params":{"x":1,"x":2}}',
        -32600,
        400,
        "`params`",
    ),
    "too deep": (nested(20), -32600, 400, "16"),
    "too large": (b'{"jsonrpc":"2.0","id":5,"method":"' + b"x" * 5000 + b'"}', -32600, 413, "_bytes` (4000 bytes)"),
    "a batch": (b'[{"jsonrpc":"2.0","id":5,"method":"tools/list"}]', -32600, 400, "2025-03-26"),
}
WITH_ID = ("not JSON-RPC", "duplicate key", "duplicate key in params", "too deep")
wrong = pytest.mark.parametrize("what", list(WRONG))


@pytest.mark.requirement("bad.not-json", "bad.not-jsonrpc", "bad.limits", "bad.duplicate-keys", "bad.utf8", "bad.batch")
@wrong
async def test_wrong_bodies_are_refused_over_http_and_nothing_is_forwarded(what: str) -> None:
    body, code, status, named = WRONG[what]
    async with house(ScriptedServer("modern"), limits=LIMITS) as home:
        reply = await post(home, body)
        assert (reply.status, reply.error["code"]) == (status, code), reply.raw
        assert named in reply.error["message"]
        assert reply.message["id"] == (5 if what in WITH_ID else None)
        assert home.server.heard.items == []
        good = await home.http_client("modern")
        assert await good.names() == ["echo"]


@pytest.mark.requirement(
    "bad.not-json",
    "bad.not-jsonrpc",
    "bad.limits",
    "bad.duplicate-keys",
    "bad.utf8",
    "bad.batch",
    "bad.connection-lives",
)
@wrong
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_wrong_lines_are_refused_over_tcp_and_the_connection_lives(what: str, era: str) -> None:
    body, code, _, named = WRONG[what]
    async with house(ScriptedServer(era), limits=LIMITS) as home:
        client = await home.stream_client("tcp", era)
        await client.names()
        heard = len(home.server.heard)
        reply = await line(client, body)
        assert reply.error["code"] == code, reply.raw
        assert named in reply.error["message"]
        assert reply.message["id"] == (5 if what in WITH_ID else None)
        assert await client.names() == ["echo"]
        assert len(home.server.heard) == heard


@pytest.mark.requirement("bad.msgpack")
async def test_broken_messagepack_is_answered_and_the_connection_closed() -> None:
    async with house(ScriptedServer("modern"), limits=LIMITS) as home:
        client = await home.stream_client("packed", "modern")
        assert await client.names() == ["echo"]
        client.send_raw(json_to_msgpack(b'{"jsonrpc":"2.0","id":null}') + b"\xc1\xc1\xc1")
        await within(client.closed.wait())
        assert client.stray.items[-1].error["code"] in (-32700, -32600)
        other = await home.stream_client("packed", "modern")
        assert await other.names() == ["echo"]


BATCH = [
    {"jsonrpc": "2.0", "id": "a", "method": "ping"},
    {"jsonrpc": "2.0", "method": "notifications/x"},
    {"jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": {"name": "echo", "arguments": {}}},
    {"id": 9},
]


@pytest.mark.requirement("batch.2025-03-26")
@pytest.mark.parametrize("way_in", ["tcp", "http"])
async def test_a_batch_within_its_revision_is_answered_by_one(way_in: str) -> None:
    async with house(ScriptedServer("session")) as home:
        client = await home.client(way_in, "session", revision="2025-03-26")
        found: asyncio.Future[list[Json]] = asyncio.get_running_loop().create_future()
        take = client.take

        def taken(raw: bytes, *more: Json) -> None:
            message = json.loads(raw)
            if isinstance(message, list):
                found.set_result(message)
            else:
                take(raw, *more)

        client.take = taken  # type: ignore[method-assign]
        client.send_other(dump(BATCH))
        call = await home.server.next_call()
        call.text("in a batch")
        answers = {answer["id"]: answer for answer in await within(found)}
        assert answers["a"]["result"] == {}
        assert answers["b"]["result"]["content"][0]["text"] == "in a batch"
        assert answers.get(9, answers.get(None))["error"]["code"] == -32600
        assert len(answers) == 3


@pytest.mark.requirement("bad.header-mismatch")
@pytest.mark.parametrize(
    "headers",
    [
        {"mcp_method": "tools/call"},
        {"mcp_method": ""},
        {"mcp_protocol_version": "2025-11-25"},
        {"mcp_protocol_version": ""},
    ],
)
async def test_headers_that_disagree_with_the_body_are_refused(headers: dict[str, str]) -> None:
    body = b'{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{' + META.encode() + b"}}"
    async with house(ScriptedServer("modern")) as home:
        reply = await post(home, body, **headers)
        assert (reply.status, reply.error["code"], reply.message["id"]) == (400, -32020, 5)
        assert home.server.heard.items == []


@pytest.mark.requirement("bad.header-mismatch")
@pytest.mark.parametrize("name", ["", "other", "=?base64?!!?="])
async def test_a_name_header_that_disagrees_is_refused(name: str) -> None:
    body = b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"echo",' + META.encode() + b"}}"
    async with house(ScriptedServer("modern")) as home:
        reply = await post(home, body, mcp_method="tools/call", mcp_name=name)
        assert (reply.status, reply.error["code"]) == (400, -32020)
        assert home.server.calls.items == []


@pytest.mark.requirement("bad.unknown-revision")
async def test_an_unknown_revision_is_refused_with_the_supported_ones() -> None:
    async with house(ScriptedServer("modern")) as home:
        body = (
            b'{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{'
            + META.encode().replace(b"2026", b"2031")
            + b"}}"
        )
        reply = await post(home, body, mcp_protocol_version="2031-07-28")
        assert (reply.status, reply.error["code"]) == (400, -32022)
        assert reply.error["data"] == {"supported": ["2026-07-28"], "requested": "2031-07-28"}
        client = StreamClient(home.tcp, "modern", revision="2031-07-28")
        home.clients.append(client)
        await client.start()
        error = (await client.call("tools/list")).error
        assert error["code"] == -32022
        assert error["data"]["supported"] == ["2026-07-28"]


# -- half a surrogate pair: JSON can escape it, UTF-8 cannot carry it ----------------------------------------------

CALLERS = [(era, way_in) for era in ("modern", "session") for way_in in ("http", "tcp", "packed")]
callers = pytest.mark.parametrize(("era", "way_in"), CALLERS)


@pytest.mark.requirement("bad.lone-surrogate", "bad.connection-lives")
@pytest.mark.parametrize(("era", "way_in"), [caller for caller in CALLERS if caller != ("modern", "http")])
@pytest.mark.parametrize(
    ("method", "params"), [("tools/call", rb'{"name":"echo\ud800"}'), ("resources/read", rb'{"uri":"\udc00"}')]
)
async def test_a_name_that_is_no_text_is_refused_and_the_connection_lives(
    era: str, way_in: str, method: str, params: bytes
) -> None:
    async with house(ScriptedServer(era)) as home:
        client = await home.client(way_in, era)
        pending = client.begin(method, params)
        # Nothing of the request is read, its id neither: on a stream the answer has none.
        reply = await (pending.reply() if way_in == "http" else client.stray.wait(lambda item: True))
        assert (reply.error["code"], reply.message["id"]) == (-32700, None)
        assert home.server.calls.items == []
        await still_fine(client, home.server, "echo")


@pytest.mark.requirement("bad.lone-surrogate", "passthrough.bytes")
@pytest.mark.parametrize(("era", "way_in", "way_out"), SOME_ROADS)
async def test_arguments_results_and_errors_that_are_no_text_pass_as_they_are(
    era: str, way_in: str, way_out: str
) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client, server = await home.client(way_in, era), home.server
        pending = client.begin("tools/call", rb'{"name":"echo","arguments":{"x":"\ud800","\udc00":1}}')
        call = await server.next_call()
        assert rb'{"x":"\ud800","\udc00":1}' in call.raw
        call.say(
            rb'{"jsonrpc":"2.0","id":%b,"error":{"code":-1,"message":"\ud800","data":"\udc00"}}' % dump(call.id),
            last=True,
        )
        assert rb'"message":"\ud800","data":"\udc00"' in (await pending.reply()).raw
        pending = client.tool("echo")
        call = await server.next_call()
        call.reply(rb'{"resultType":"complete","content":[],"\ud800":"\udc00"}')
        assert rb'"\ud800":"\udc00"' in (await pending.reply()).raw
        await still_fine(client, server, "echo")


@pytest.mark.requirement("bad.lone-surrogate", "bad.connection-lives")
@callers
async def test_what_a_server_lists_need_not_be_text(era: str, way_in: str) -> None:
    one, other = ScriptedServer(era, "one"), ScriptedServer(era, "two")
    one.offers["tools"].append(rb'{"name":"odd\ud800","inputSchema":{"type":"object"}}')
    one.offers["resources"].append(rb'{"uri":"odd:\ud800","name":"\udc00"}')
    async with house(one, other, fields=[{"descriptions": (("echo", "odd \ud800"),)}]) as home:
        client = await home.client(way_in, era)
        assert await client.names() == ["one__echo", "one__odd\ud800", "two__echo"]
        assert "odd:\ud800" in await client.names("resources/list", "resources", "uri")
        await still_fine(client, other, "two__echo")


@pytest.mark.requirement("bad.lone-surrogate", "bad.connection-lives")
@callers
async def test_the_gateways_own_errors_may_quote_what_is_no_text(era: str, way_in: str) -> None:
    one, other = ScriptedServer(era, "one"), ScriptedServer(era, "two")
    async with house(one, other) as home:
        client = await home.client(way_in, era)
        asked = rb'{"ref":{"type":"ref/prompt","name":"odd\ud800"},"argument":{"name":"x","value":""}}'
        error = (await client.call("completion/complete", asked)).error
        assert (error["code"], "odd\ud800" in error["message"]) == (-32602, True)
        assert (await client.call("tools/list", rb'{"cursor":"\ud800"}')).error["code"] == -32602
        await still_fine(client, other, "two__echo")


@pytest.mark.requirement("bad.lone-surrogate", "bad.connection-lives", "http.param-headers-added")
@callers
async def test_an_argument_that_no_header_can_carry_is_refused(era: str, way_in: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "x-mcp-header": "X"}}}
    server = ScriptedServer(era, tools=(tool("echo"), dump({"name": "marked", "inputSchema": schema})))
    async with house(server) as home:
        client = await home.client(way_in, era)
        error = (await client.call("tools/call", rb'{"name":"marked","arguments":{"x":"\ud800"}}')).error
        assert error["code"] == (-32020 if (era, way_in) == ("modern", "http") else -32602)
        assert server.calls.items == []
        await still_fine(client, server, "echo")


@pytest.mark.requirement("bad.lone-surrogate", "access.token-on-streams")
async def test_a_token_that_is_no_text_is_a_wrong_token() -> None:
    owner = TokenOwner("one", hashlib.sha256(b"one").hexdigest())
    async with house(ScriptedServer("modern"), owners=[owner]) as home:
        client = await home.stream_client("tcp", "modern")
        raw = client.compose("odd", "tools/list", None, {"dev.tidegate/token": "odd"})
        client.send_other(raw.replace(b'"dev.tidegate/token":"odd"', rb'"dev.tidegate/token":"\ud800"'))
        assert "token" in (await client.stray.wait(lambda item: True)).error["message"]
        client.token = "one"
        assert await client.names() == ["echo"]


@pytest.mark.requirement("bad.lone-surrogate", "bad.connection-lives", "bad.unknown-revision")
@pytest.mark.parametrize("way_in", ["tcp", "packed"])
async def test_a_revision_that_is_no_text_is_refused_like_an_unknown_one(way_in: str) -> None:
    async with house(ScriptedServer("modern")) as home:
        client = await home.client(way_in, "modern")
        body = client.compose("odd", "tools/list").replace(b"2026-07-28", rb"2026-\ud800")
        client.send_other(body)
        error = (await client.stray.wait(lambda item: True)).error
        assert (error["code"], error["data"]["requested"]) == (-32022, "2026-\ud800")
        await still_fine(client, home.server, "echo")


# -- backends ---------------------------------------------------------------------------------------------------

ROADS = [
    (era, way_in, way_out)
    for era in ("modern", "session")
    for way_in in ("http", "tcp")
    for way_out in ("stdio", "http", "tcp")
]
roads = pytest.mark.parametrize(("era", "way_in", "way_out"), ROADS)


async def still_fine(client: Client, server: ScriptedServer, name: str) -> None:
    pending = client.tool(name)
    (await server.next_call()).text("fine")
    assert (await pending.reply()).text == "fine"


@pytest.mark.requirement("backend.dies", "backend.comes-back")
@roads
async def test_a_backend_that_dies_fails_its_calls_by_name_and_comes_back(era: str, way_in: str, way_out: str) -> None:
    bad, good = ScriptedServer(era, "bad"), ScriptedServer(era, "good")
    async with house(bad, good, transport=way_out) as home:
        client = await home.client(way_in, era)
        pending = client.tool("bad__echo")
        call = await bad.next_call()
        if way_out == "http":
            # Although the connection was kept from before, the call is not sent again: it may have had its effect.
            call.http.transport.abort()  # type: ignore[attr-defined]
        else:
            call.channel.hang_up()
        error = (await pending.reply()).error
        assert "`bad`" in error["message"]
        assert error["code"] == -32603
        if way_out == "stdio":
            assert "exited with status 3" in error["message"] or "closed its output" in error["message"]
        await still_fine(client, good, "good__echo")
        await still_fine(client, bad, "bad__echo")


@pytest.mark.requirement("backend.hangs")
@roads
async def test_a_backend_that_hangs_is_given_up_by_name(era: str, way_in: str, way_out: str) -> None:
    bad, good = ScriptedServer(era, "bad"), ScriptedServer(era, "good")
    async with house(bad, good, transport=way_out, fields=[{"call_timeout_s": 0.15}]) as home:
        client = await home.client(way_in, era)
        pending = client.tool("bad__echo")
        await bad.next_call()
        error = (await pending.reply()).error
        assert "`bad`" in error["message"]
        assert "0.15 s" in error["message"]
        await still_fine(client, good, "good__echo")


@pytest.mark.requirement("backend.garbage", "backend.non-json-stdout", "backend.unknown-id", "backend.answers-twice")
@pytest.mark.parametrize(("era", "way_in", "way_out"), [road for road in ROADS if road[2] != "http"])
async def test_garbage_between_answers_harms_nobody(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client, server = await home.client(way_in, era), home.server
        pending, other = client.tool("echo"), client.tool("echo")
        call, second = await server.next_call(), await server.next_call()
        channel = call.channel
        for garbage in (
            b"Listening on port 8080 \xff\xfe",
            b"{half",
            b"[]",
            b'{"jsonrpc":"2.0","id":987654,"result":{}}',
            b'{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}',
            b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}',
            b'{"jsonrpc":"2.0","method":"notifications/unheard-of"}',
        ):
            channel.send(garbage)
        call.text("first")
        call.text("second")
        call.fail(-1, "third")
        second.text("other")
        replies = {(await each.reply()).text for each in (pending, other)}
        assert replies == {"first", "other"}
        await still_fine(client, server, "echo")
        assert len(client.stray) == 0


@pytest.mark.requirement("backend.garbage", "backend.closes-half-way")
@pytest.mark.parametrize(
    ("era", "way_in"), [("modern", "http"), ("modern", "tcp"), ("session", "http"), ("session", "tcp")]
)
@pytest.mark.parametrize("how", ["no JSON", "500", "half a body", "half an event", "an event that is no message"])
async def test_a_broken_http_answer_becomes_one_error_that_names_the_backend(era: str, way_in: str, how: str) -> None:
    bad, good = ScriptedServer(era, "bad"), ScriptedServer(era, "good")
    async with house(bad, good, transport="http") as home:
        client = await home.client(way_in, era)
        pending = client.tool("bad__echo")
        call = await bad.next_call()
        http: Json = call.http
        if how == "no JSON":
            http.respond(200, b"<html>it works</html>")
        elif how == "500":
            http.respond(500, b"oops")
        elif how == "half a body":
            http.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
            http.transport.close()
        elif how == "half an event":
            call.notify("notifications/message", {"level": "error", "data": 1})
            http.transport.write(b"5\r\ndata:\r\n")
            http.transport.close()
        else:
            http.event(b"{no message")
        error = (await pending.reply()).error
        assert "`bad`" in error["message"]
        await still_fine(client, good, "good__echo")
        await still_fine(client, bad, "bad__echo")


@pytest.mark.requirement("backend.closes-half-way")
@pytest.mark.parametrize("era", ["modern", "session"])
@pytest.mark.parametrize("way_out", ["stdio", "tcp"])
async def test_a_line_that_is_cut_off_is_no_answer(era: str, way_out: str) -> None:
    async with house(ScriptedServer(era, "bad"), transport=way_out) as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        call = await home.server.next_call()
        channel = call.channel
        assert isinstance(channel, StreamChannel)
        assert channel.transport is not None
        channel.transport.write(b'{"jsonrpc":"2.0","id":%d,"result":{"con' % call.id)
        channel.hang_up()
        assert "`bad`" in (await pending.reply()).error["message"]
        await still_fine(client, home.server, "echo")


@pytest.mark.requirement("backend.too-large")
@pytest.mark.parametrize("way_out", ["stdio", "http", "tcp"])
async def test_an_answer_over_the_limit_becomes_an_error_that_names_backend_and_limit(way_out: str) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, result_bytes=20_000)
    async with house(
        ScriptedServer("modern", "bad"), transport=way_out, limits=limits, fields=[{"call_timeout_s": 1.0}]
    ) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo")
        (await home.server.next_call()).text("x" * 30_000)
        error = (await pending.reply()).error
        assert "`bad`" in error["message"]
        if way_out == "http":
            assert "20000" in error["message"]
        await still_fine(client, home.server, "echo")


@pytest.mark.requirement("backend.cannot-start")
@pytest.mark.parametrize(
    ("era", "way_in"), [("modern", "http"), ("modern", "tcp"), ("session", "http"), ("session", "tcp")]
)
@pytest.mark.parametrize(
    ("backend", "cause"),
    [
        (Backend("bad", "stdio", command=("/no/such/program",)), "/no/such/program"),
        (Backend("bad", "stdio", command=("sh", "-c", "echo no luck >&2; exit 7")), "no luck"),
        (Backend("bad", "tcp", address="127.0.0.1:1"), "cannot be reached"),
        (Backend("bad", "http", url="http://127.0.0.1:1/mcp"), "`bad`"),
    ],
)
async def test_an_only_backend_that_cannot_start_is_named_with_its_cause(
    era: str, way_in: str, backend: Backend, cause: str
) -> None:
    async with house(backends=(backend,)) as home:
        transport = await unopened(home, way_in, era)
        if era == "modern":
            error = (await transport.tool("echo").reply()).error
        else:
            params = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "raw", "version": "1"},
            }
            error = (await transport.call("initialize", params)).error
        assert "`bad`" in error["message"]
        assert cause in error["message"]


async def unopened(home: House, way_in: str, era: str) -> Client:
    client: Client = HttpClient(home.http, era) if way_in == "http" else StreamClient(home.tcp, era)
    home.clients.append(client)
    await client.connect()
    return client


@pytest.mark.requirement("backend.dies-while-listed", "process.no-leak-on-failed-opening")
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_backend_that_dies_while_it_is_asked_what_it_offers_is_named(era: str) -> None:
    server = ScriptedServer(era, "bad")
    server.silent.add("tools/list")
    async with house(server, transport="stdio") as home:
        client = await unopened(home, "tcp", "modern")
        pending = client.tool("echo")
        call = await server.next_call("tools/list")
        call.channel.hang_up()
        message = (await pending.reply()).error["message"]
        assert "`bad`" in message
        assert "TaskGroup" not in message


@pytest.mark.requirement("backend.hangs-while-listed", "process.no-leak-on-failed-opening")
@pytest.mark.parametrize("way_out", ["stdio", "tcp"])
async def test_a_backend_that_never_says_what_it_offers_is_given_up_and_let_go(way_out: str) -> None:
    server = ScriptedServer("modern", "bad")
    server.silent.add("tools/list")
    async with house(server, transport=way_out, fields=[{"start_timeout_s": 0.2}]) as home:
        client = await unopened(home, "tcp", "modern")
        pending = client.tool("echo")
        call = await server.next_call("tools/list")
        assert "`bad`" in (await pending.reply()).error["message"]
        await within(call.channel.closed.wait())
