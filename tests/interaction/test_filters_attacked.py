"""Ways past a filter: what a client, or a server, might try so that something is done or heard that none has seen."""

from __future__ import annotations

import json

import pytest
from clients import Client, Pending
from gateway import House
from heard import Json
from judge import PASS, Inspection, Judge, Opinion, change, configured, guarded, only_results, refuse
from scripted_server import ScriptedServer, tool
from test_filters import masking, take_up

pytestmark = pytest.mark.anyio

EXTENSION = "io.modelcontextprotocol/tasks"
EXTENDED: Json = {"extensions": {EXTENSION: {}}}
TIMES: Json = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:01Z"}

eras = pytest.mark.parametrize(
    ("era", "server_era"), [(a, b) for a in ("modern", "session") for b in ("modern", "session")]
)


def slow(seen: Inspection) -> Opinion:
    return refuse("too fast") if seen.arguments.get("speed", 0) > 5 else PASS


def text(said: str) -> Json:
    return {"content": [{"type": "text", "text": said}]}


def send(client: Client, raw: str) -> Pending:
    """`raw`: with `ID` and, where it is to be a stateless request, `META` in their places."""
    pending = client.pending["x"] = Pending("x")
    meta = json.dumps(client.meta())
    client.send_request(raw.replace("ID", '"x"').replace("META", meta).encode(), pending)
    return pending


@pytest.mark.parametrize("era", ["modern", "session"])
@pytest.mark.parametrize("way_in", ["http", "tcp"])
@pytest.mark.parametrize(
    "params",
    [
        '{"name":"echo","arguments":{"speed":1,"speed":100}}',
        '{"name":"echo","arguments":{"speed":1,"sp\\u0065ed":100}}',
        '{"name":"echo","arguments":{"a":[{"speed":1,"speed":100}]}}',
        '{"name":"echo","arguments":{"speed":1},"arguments":{"speed":100}}',
        '{"name":"echo","arguments":{"speed":1},"argument\\u0073":{"speed":100}}',
        '{"name":"echo","arguments":{"speed":1},"Arguments":{"speed":100}}',
        '{"name":"echo","ARGUMENTS":{"speed":100}}',
        '{"name":"echo","argumentſ":{"speed":100}}',
        '{"name":"echo","arguments":[{"speed":100}]}',
        '{"name":"echo","arguments":"{\\"speed\\":100}"}',
        '{"name":"echo","arguments":null}',
        '{"name":"other","Name":"echo","arguments":{"speed":100}}',
        '{"name":"echo","arguments":{"speed":1},"Task":{}}',
    ],
)
async def test_a_call_that_two_readers_would_read_in_two_ways_is_refused(era: str, way_in: str, params: str) -> None:
    judge = Judge(slow)
    server = ScriptedServer("session", tools=(tool("echo"), tool("other")))
    async with guarded(server, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        meta = ',"_meta":META}' if era == "modern" else "}"
        reply = await send(
            client, '{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":' + params[:-1] + meta + "}"
        ).reply()
        assert reply.error["code"] in (-32600, -32602)
        assert len(judge.seen) == 0
        assert home.server.said("tools/call") == []


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_whole_request_in_other_letters_is_refused(era: str) -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(slow)}) as home:
        client = await home.client("tcp", era)
        params = '{"name":"echo","arguments":{"speed":1}' + (',"_meta":META}' if era == "modern" else "}")
        other = '{"name":"echo","arguments":{"speed":100}}'
        raw = '{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":' + params + ',"Params":' + other + "}"
        assert (await send(client, raw).reply()).error["code"] == -32602
        assert home.server.said("tools/call") == []


@pytest.mark.parametrize("way_out", ["tcp", "http", "stdio"])
async def test_a_call_without_an_id_goes_nowhere(way_out: str) -> None:
    """A session with a connection of its own may send its server notifications."""
    async with guarded(ScriptedServer("session"), transport=way_out, judges={"judge": Judge(slow)}) as home:
        client = await home.client("tcp", "session", capabilities={"sampling": {}})
        pending = client.tool("echo", {"speed": 1})
        (await home.server.next_call("tools/call")).text("done")
        await pending.reply()
        client.notify("tools/call", {"name": "echo", "arguments": {"speed": 100}})
        client.notify("notifications/roots/list_changed")
        await home.server.wait_heard("notifications/roots/list_changed")
        assert len(home.server.said("tools/call")) == 1


async def test_a_method_that_nobody_knows_is_not_passed_on() -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(slow)}, filters=[]) as home:
        client = await home.client("tcp", "session")
        pending = client.begin("tools/callMany", {"calls": []})
        (await home.server.next_call("tools/callMany")).reply({})
        assert (await pending.reply()).result == {}
        take_up(home, filters=(configured("judge", ["echo"]),))
        assert (await client.begin("tools/callMany", {"calls": []}).reply()).error["code"] == -32601
        assert len(home.server.said("tools/callMany")) == 1


async def test_each_call_of_a_batch_is_seen() -> None:
    judge = Judge(slow)
    async with guarded(ScriptedServer("session"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "session", revision="2025-03-26")
        calls = [
            {
                "jsonrpc": "2.0",
                "id": f"b{n}",
                "method": "tools/call",
                "params": {"name": "echo", "arguments": {"speed": n}},
            }
            for n in (9, 8)
        ]
        client.send_other(json.dumps(calls).encode())
        await judge.seen.wait(lambda seen: True, skip=1)
        reply = await client.stray.wait(lambda reply: True)
        assert [one["result"]["isError"] for one in reply.message] == [True, True]
        assert home.server.said("tools/call") == []


async def test_an_alias_is_filtered_by_its_own_name() -> None:
    fields = [{"aliases": (("echo", "move"),)}]
    judge = Judge(slow)
    filters = [configured("judge", ["move"])]
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, filters=filters, fields=fields) as home:
        client = await home.client("tcp", "modern")
        assert (await client.tool("move", {"speed": 9}).reply()).result["isError"] is True
        assert (await client.tool("echo", {"speed": 9}).reply()).error["code"] == -32602
        assert home.server.said("tools/call") == []


# -- what servers say -----------------------------------------------------------------------------------------------


@eras
@pytest.mark.parametrize(
    "result",
    [
        b'{"content":[{"type":"text","text":"secret","text":"clean"}]}',
        b'{"content":[],"structuredContent":{"a":{"b":"secret","b":1}}}',
        b'{"content":[{"type":"text","te\\u0078t":"secret","text":"clean"}]}',
    ],
)
async def test_a_result_that_two_readers_would_read_in_two_ways_is_not_heard(
    era: str, server_era: str, result: bytes
) -> None:
    async with guarded(ScriptedServer(server_era), judges={"judge": only_results(lambda seen: PASS)}) as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        raw = result[:-1] + b',"resultType":"complete"}' if server_era == "modern" else result
        (await home.server.next_call("tools/call")).reply(raw)
        reply = await pending.reply()
        assert "twice" in reply.error["message"]
        assert b"secret" not in reply.raw


@eras
async def test_an_error_of_the_server_is_seen_too(era: str, server_era: str) -> None:
    judge = only_results(masking)
    async with guarded(ScriptedServer(server_era), judges={"judge": judge}) as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).fail(-32000, "the secret file", {"secret": 1})
        reply = await pending.reply()
        assert b"secret" not in json.dumps(reply.result["content"]).encode()
        assert reply.text == "the *** file"
        assert reply.result["isError"] is True
        judge.on_result = lambda seen: PASS
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).fail(-32000, "the public file")
        assert (await pending.reply()).error["message"] == "the public file"
        judge.on_result = lambda seen: refuse("no")
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).fail(-32000, "the secret file")
        assert b"secret" not in (await pending.reply()).raw


@eras
@pytest.mark.parametrize("way_out", ["stdio", "http"])
async def test_what_is_said_on_the_way_has_no_words(era: str, server_era: str, way_out: str) -> None:
    judge = only_results(masking)
    capabilities: Json = {"sampling": {}} if era == "session" else {}
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client("tcp", era, capabilities=capabilities)
        meta: Json = {"progressToken": "p"}
        if era == "modern":
            meta["io.modelcontextprotocol/logLevel"] = "debug"
        pending = client.tool("echo", meta=meta)
        call = await home.server.next_call("tools/call")
        call.notify("notifications/message", {"level": "error", "data": "secret"})
        call.notify(
            "notifications/progress", {"progressToken": call.token, "progress": 1, "message": "secret", "total": 2}
        )
        call.notify("notifications/other", {"data": "secret"})
        call.text("done")
        await pending.reply()
        said = [notice for notice in client.notices if notice["method"] != "notifications/tools/list_changed"]
        assert [notice["params"] for notice in said] == [{"progressToken": "p", "progress": 1, "total": 2}]


@pytest.mark.parametrize("capabilities", [{}, {"sampling": {}}])
async def test_what_a_session_server_logs_later_is_not_heard(capabilities: Json) -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": only_results(masking)}) as home:
        client = await home.client("tcp", "session", capabilities=capabilities)
        pending = client.tool("echo")
        call = await home.server.next_call("tools/call")
        call.text("done")
        await pending.reply()
        call.channel.notify("notifications/message", {"level": "error", "data": "secret"})
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("done")
        await pending.reply()
        assert client.notices.items == []


@pytest.mark.parametrize(
    "opinion",
    [change({"resultType": "input_required", "inputRequests": {}}), change({"resultType": "task", "taskId": "x"})],
)
async def test_a_filter_makes_no_question_or_task_of_a_result(opinion: Opinion) -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": only_results(lambda seen: opinion)}) as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("done")
        assert "no result" in (await pending.reply()).error["message"]


async def test_a_question_carries_no_result_past_a_filter() -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": only_results(masking)}) as home:
        client = await home.client("tcp", "modern", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).reply(
            {"resultType": "input_required", "inputRequests": {}, "requestState": "s", **text("secret")}
        )
        assert (await pending.reply()).result == {
            "resultType": "input_required",
            "inputRequests": {},
            "requestState": "s",
        }


# -- tasks ----------------------------------------------------------------------------------------------------------


def stateless_server() -> ScriptedServer:
    server = ScriptedServer("modern")
    server.capabilities["extensions"] = {EXTENSION: {}}
    return server


def session_server(support: str = "optional") -> ScriptedServer:
    server = ScriptedServer("session", tools=(tool("echo", execution={"taskSupport": support}),))
    server.capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    return server


def flat(status: str, **more: Json) -> Json:
    return {
        "resultType": "complete",
        "taskId": "t",
        "status": status,
        **TIMES,
        "ttlMs": 60000,
        "pollIntervalMs": 5,
        **more,
    }


def state(status: str, **more: Json) -> Json:
    return {"taskId": "t", "status": status, **TIMES, "ttl": 60000, "pollInterval": 5, **more}


async def stateless_task(home: House, client: Client) -> None:
    pending = client.tool("echo", {"n": 1})
    call = await home.server.next_call("tools/call")
    call.reply({**flat("working", statusMessage="secret"), "resultType": "task", **text("secret")})
    made = await pending.reply()
    assert made.result["taskId"] == "t"
    assert b"secret" not in made.raw


async def test_the_result_of_a_stateless_task_is_seen_when_it_is_fetched() -> None:
    judge = only_results(masking)
    async with guarded(stateless_server(), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        await stateless_task(home, client)
        pending = client.begin("tasks/get", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).reply(flat("working", statusMessage="a secret"))
        assert (await pending.reply()).result == flat("working")
        assert len(judge.seen) == 0
        for _ in range(2):
            pending = client.begin("tasks/get", {"taskId": "t"})
            (await home.server.next_call("tasks/get")).reply(flat("completed", result=text("a secret"), extra="secret"))
            reply = await pending.reply()
            assert reply.result == flat("completed", result=text("a ***"))
        seen = judge.seen.items[-1]
        assert seen.call == {"tool": "echo", "arguments": {"n": 1}, "caller": "anonymous", "approved": False}
        pending = client.begin("tasks/get", {"taskId": "t"})
        error = {"code": -32000, "message": "the secret", "data": "secret"}
        (await home.server.next_call("tasks/get")).reply(flat("failed", error=error))
        reply = await pending.reply()
        assert reply.result["result"]["content"] == text("the ***")["content"]
        judge.on_result = lambda seen: refuse("no")
        pending = client.begin("tasks/get", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).reply(flat("completed", result=text("a secret")))
        reply = await pending.reply()
        assert reply.result["status"] == "completed"
        assert b"secret" not in reply.raw
        pending = client.begin("tasks/get", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).fail(-32602, "no such secret")
        reply = await pending.reply()
        assert reply.error["code"] == -32602
        assert b"secret" not in reply.raw


async def test_the_result_of_a_session_s_task_is_seen_when_it_is_fetched() -> None:
    judge = only_results(masking)
    async with guarded(session_server(), judges={"judge": judge}) as home:
        client = await home.client("tcp", "session", capabilities={"tasks": {}})
        pending = client.begin("tools/call", {"name": "echo", "arguments": {"n": 1}, "task": {"ttl": 60000}})
        call = await home.server.next_call("tools/call")
        call.reply({"task": state("working", statusMessage="secret"), **text("secret"), "_meta": {"said": "secret"}})
        assert (await pending.reply()).result == {"task": state("working")}
        call.channel.notify("notifications/tasks/status", state("working", statusMessage="secret"))
        assert (await client.notices.wait(lambda notice: True))["params"] == state("working")
        pending = client.begin("tasks/get", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).reply(state("completed", statusMessage="secret"))
        assert (await pending.reply()).result == state("completed")
        pending = client.begin("tasks/list")
        (await home.server.next_call("tasks/list")).reply({"tasks": [state("completed", statusMessage="secret")]})
        assert (await pending.reply()).result == {"tasks": [state("completed")]}
        pending = client.begin("tasks/result", {"taskId": "t"})
        (await home.server.next_call("tasks/result")).reply(text("a secret"))
        assert (await pending.reply()).text == "a ***"
        pending = client.begin("tasks/result", {"taskId": "t"})
        (await home.server.next_call("tasks/result")).fail(-32000, "a secret")
        assert (await pending.reply()).text == "a ***"


async def test_the_result_of_a_task_of_the_other_era_is_seen() -> None:
    judge = only_results(masking)
    async with guarded(stateless_server(), judges={"judge": judge}) as home:
        client = await home.client("tcp", "session")
        pending = client.begin("tools/call", {"name": "echo", "arguments": {"n": 1}, "task": {"ttl": 60000}})
        call = await home.server.next_call("tools/call")
        call.reply({**flat("working", statusMessage="secret"), "resultType": "task"})
        assert b"secret" not in (await pending.reply()).raw
        pending = client.begin("tasks/result", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).reply(flat("completed", result=text("a secret")))
        assert (await pending.reply()).text == "a ***"
        # One that was done at once, and that the gateway keeps.
        pending = client.begin("tools/call", {"name": "echo", "arguments": {"n": 2}, "task": {"ttl": 60000}})
        (await home.server.next_call("tools/call")).text("a secret")
        made = (await pending.reply()).result["task"]["taskId"]
        assert (await client.begin("tasks/result", {"taskId": made}).reply()).text == "a ***"
        assert judge.seen.items[-1].arguments == {"n": 2}

    async with guarded(session_server("required"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        pending = client.tool("echo", {"n": 3})
        call = await home.server.next_call("tools/call")
        call.reply({"task": state("working", statusMessage="secret")})
        reply = await pending.reply()
        assert reply.result["resultType"] == "task"
        assert b"secret" not in reply.raw
        pending = client.begin("tasks/get", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).reply(state("completed", statusMessage="secret"))
        (await home.server.next_call("tasks/result")).reply(text("a secret"))
        reply = await pending.reply()
        assert reply.result["result"]["content"] == text("a ***")["content"]
        assert b"secret" not in reply.raw


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_tool_that_runs_as_a_task_behind_a_plain_call_is_seen(era: str) -> None:
    async with guarded(session_server("required"), judges={"judge": only_results(masking)}) as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo", {"n": 3})
        (await home.server.next_call("tools/call")).reply({"task": state("working")})
        (await home.server.next_call("tasks/result")).reply(text("a secret"))
        assert (await pending.reply()).text == "a ***"


async def test_a_task_from_before_the_filter_is_seen() -> None:
    judge = only_results(masking)
    async with guarded(stateless_server(), judges={"judge": judge}, filters=[]) as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        pending = client.tool("echo", {"n": 1})
        (await home.server.next_call("tools/call")).reply({**flat("working"), "resultType": "task"})
        await pending.reply()
        take_up(home, filters=(configured("judge"),))
        pending = client.begin("tasks/get", {"taskId": "t"})
        (await home.server.next_call("tasks/get")).reply(flat("completed", result=text("a secret")))
        assert (await pending.reply()).result["result"] == text("a ***")


async def test_a_task_that_nobody_knows_is_not_asked_for() -> None:
    async with guarded(stateless_server(), judges={"judge": only_results(masking)}) as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        assert (await client.begin("tasks/get", {"taskId": "from before"}).reply()).error["code"] == -32602
        assert home.server.said("tasks/get") == []


async def test_arguments_that_cannot_be_kept_for_a_task_are_refused_first() -> None:
    async with guarded(session_server(), judges={"judge": only_results(masking)}) as home:
        client = await home.client("tcp", "session")
        long = {"name": "echo", "arguments": {"n": "x" * 5000}, "task": {"ttl": 60000}}
        assert "4096 bytes" in (await client.begin("tools/call", long).reply()).error["message"]
        assert home.server.said("tools/call") == []


async def test_a_task_s_request_is_seen_before_it_is_made() -> None:
    async with guarded(session_server(), judges={"judge": Judge(slow)}) as home:
        client = await home.client("tcp", "session")
        fast = {"name": "echo", "arguments": {"speed": 9}, "task": {"ttl": 60000}}
        assert (await client.begin("tools/call", fast).reply()).result["isError"] is True
        assert home.server.said("tools/call") == []
