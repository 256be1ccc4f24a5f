"""What filters do to calls and results, on every kind of way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from clients import HttpClient, Pending
from gateway import SOME_ROADS
from heard import Json, until
from judge import PASS, TRAPPED, Inspection, Judge, change, configured, guarded, only_results, refuse
from scripted_server import ScriptedServer, tool

from tidegate.config.snapshot import Limits
from tidegate.errors import PluginRefused, TidegateError
from tidegate.events import Event, ExchangeDone, FilterJudged
from tidegate.pipeline.reload import plan

pytestmark = pytest.mark.anyio

roads = pytest.mark.parametrize(("era", "way_in", "way_out"), SOME_ROADS)
some = pytest.mark.parametrize(
    ("era", "server_era", "way_in", "way_out"),
    [
        ("modern", "modern", "http", "http"),
        ("modern", "session", "tcp", "stdio"),
        ("session", "modern", "http", "stdio"),
        ("session", "session", "tcp", "tcp"),
        ("session", "session", "http", "http"),
    ],
)


def says(text: str) -> Json:
    return {"content": [{"type": "text", "text": text}]}


def masking(seen: Inspection) -> Json:
    text = seen.result["content"][0]["text"]
    return change({**seen.result, "content": [{"type": "text", "text": text.replace("secret", "***")}]})


@roads
async def test_what_passes_a_filter_is_as_it_was_written(era: str, way_in: str, way_out: str) -> None:
    judge = Judge(result=lambda seen: PASS)
    async with guarded(ScriptedServer(era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        for _ in range(2):
            raw = b'{"name":"echo","arguments":{"n": 1.50, "x":"\\u00e9"}}'
            pending = client.begin("tools/call", raw)
            call = await home.server.next_call("tools/call")
            if way_in != "packed":
                assert b'{"n": 1.50, "x":"\\u00e9"}' in call.raw
            assert call.params["arguments"] == {"n": 1.5, "x": "é"}
            call.text("said")
            assert (await pending.reply()).text == "said"
        request, result = judge.of("request")[-1], judge.of("result")[-1]
        assert request.call == {
            "tool": "echo",
            "arguments": {"n": 1.5, "x": "é"},
            "caller": "anonymous",
            "approved": False,
        }
        assert result.call == request.call
        assert result.result["content"] == says("said")["content"]
        assert len(judge.seen) == 4


@some
async def test_a_filter_changes_the_arguments_and_the_result(
    era: str, server_era: str, way_in: str, way_out: str
) -> None:
    judge = Judge(lambda seen: change({**seen.arguments, "speed": 1}), masking)
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        for _ in range(2):
            pending = client.tool("echo", {"speed": 9, "to": "x"})
            call = await home.server.next_call("tools/call")
            assert call.params["arguments"] == {"speed": 1, "to": "x"}
            call.text("the secret is out")
            assert (await pending.reply()).text == "the *** is out"
        assert judge.of("result")[0].arguments == {"speed": 1, "to": "x"}


@some
async def test_a_refused_call_never_reaches_the_server(era: str, server_era: str, way_in: str, way_out: str) -> None:
    judge = Judge(lambda seen: refuse("too fast") if seen.arguments.get("speed", 0) > 5 else PASS)
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        told: list[Event] = []
        home.daemon.events.subscribe(told.append)
        client = await home.client(way_in, era)
        for _ in range(3):
            result = (await client.tool("echo", {"speed": 9}).reply()).result
            assert result["isError"] is True
            assert result["content"] == says("filter `judge` refused this call: too fast")["content"]
            assert result.get("resultType") == ("complete" if era == "modern" else None)
        pending = client.tool("echo", {"speed": 5})
        (await home.server.next_call("tools/call")).text("done")
        assert (await pending.reply()).text == "done"
        assert len(home.server.said("tools/call")) == 1
        done = [event for event in told if isinstance(event, ExchangeDone) and event.method == "tools/call"]
        assert [(event.outcome, event.filter, event.backend) for event in done] == [("refused", "judge", "one")] * 3 + [
            ("ok", "", "one")
        ]
        verdicts = [(event.filter, event.which, event.verdict) for event in told if isinstance(event, FilterJudged)]
        assert verdicts == [("judge", "request", "refuse")] * 3 + [("judge", "request", "pass")]


@some
async def test_a_held_back_result_is_not_heard(era: str, server_era: str, way_in: str, way_out: str) -> None:
    judge = only_results(lambda seen: refuse("not for you"))
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("secret")
        reply = await pending.reply()
        assert reply.result["isError"] is True
        assert reply.text == "the tool ran, and filter `judge` holds its result back: not for you"
        assert b"secret" not in reply.raw


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_requests_pass_in_the_order_of_the_file_and_results_in_reverse(era: str) -> None:
    order: list[str] = []

    def noting(name: str) -> Judge:
        def seen(one: Inspection) -> Json:
            order.append(f"{one.which} {name}")
            if one.which == "request":
                return change({"seen": [*one.arguments.get("seen", []), name]})
            return change(says(one.result["content"][0]["text"] + name))

        return Judge(seen, seen)

    judges: Json = {"a": noting("a"), "b": noting("b"), "c": noting("c")}
    async with guarded(ScriptedServer(era), judges=judges) as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        call = await home.server.next_call("tools/call")
        assert call.params["arguments"] == {"seen": ["a", "b", "c"]}
        call.text(":")
        assert (await pending.reply()).text == ":cba"
        assert order == ["request a", "request b", "request c", "result c", "result b", "result a"]


@some
async def test_a_filter_that_fails_refuses_the_call(era: str, server_era: str, way_in: str, way_out: str) -> None:
    judge = Judge(lambda seen: TRAPPED)
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        error = (await client.tool("echo").reply()).error
        assert error["code"] == -32603
        assert error["data"] == {"reason": "filter_failed", "filter": "judge", "cause": "plugin_trapped"}
        assert "so the call was not made: plugin `judge` failed: it divided by zero" in error["message"]
        judge.on_request = lambda seen: PASS
        judge.on_result = lambda seen: TRAPPED
        judge.manifest.inspects = ("request", "result")
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("secret")
        reply = await pending.reply()
        assert "the tool ran, and its result is held back" in reply.error["message"]
        assert b"secret" not in reply.raw
        assert len(home.server.said("tools/call")) == 1


async def test_what_a_filter_fails_over_goes_on_where_that_is_configured() -> None:
    judge = Judge(lambda seen: TRAPPED, lambda seen: TRAPPED)
    filters = [configured("judge", on_failure="pass")]
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, filters=filters) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo", {"n": 1})
        call = await home.server.next_call("tools/call")
        assert call.params["arguments"] == {"n": 1}
        call.text("done")
        assert (await pending.reply()).text == "done"


async def test_a_filter_that_could_not_be_loaded_refuses_every_call() -> None:
    broken: dict[str, Judge | TidegateError] = {"judge": PluginRefused("its digest is another one")}
    async with guarded(ScriptedServer("modern"), judges=broken) as home:
        client = await home.client("http", "modern")
        for _ in range(2):
            error = (await client.tool("echo").reply()).error
            assert error["data"] == {"reason": "filter_failed", "filter": "judge", "cause": "plugin_refused"}
        (row,) = home.daemon.statistics()["filters"]  # type: ignore[misc]
        assert (row["state"], row["reason"]) == ("failed", "its digest is another one")
        assert home.server.said("tools/call") == []


@pytest.mark.parametrize(
    "text", [b"[]", b'{} , "task":{}', b'{"a":1', b'{"a":1,"a":2}', b"", b"\xff", b"{}}", b"null", b'{"a":01}']
)
async def test_what_a_filter_writes_is_checked(text: bytes) -> None:
    judge = Judge(lambda seen: replace(change({}), text=text))
    async with guarded(ScriptedServer("session"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "session")
        error = (await client.tool("echo").reply()).error
        assert error["data"] == {"reason": "filter_failed", "filter": "judge", "cause": "filter_failed"}
        assert home.server.said("tools/call") == []
        judge.on_request = lambda seen: PASS
        judge.manifest.inspects = ("request", "result")
        judge.on_result = lambda seen: replace(change({}), text=text)
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("secret")
        reply = await pending.reply()
        assert reply.error["data"] == {"reason": "filter_failed", "filter": "judge", "cause": "filter_failed"}
        assert b"secret" not in reply.raw


async def test_a_filter_sees_only_its_tools_by_the_names_that_clients_use() -> None:
    judge = Judge(lambda seen: refuse("no"))
    servers = (ScriptedServer("modern", "arm"), ScriptedServer("session", "box"))
    async with guarded(*servers, judges={"judge": judge}, filters=[configured("judge", ["arm__*"])]) as home:
        client = await home.client("tcp", "modern")
        assert (await client.tool("arm__echo").reply()).result["isError"] is True
        for _ in range(2):
            pending = client.tool("box__echo")
            (await servers[1].next_call("tools/call")).text("done")
            assert (await pending.reply()).text == "done"
        assert [seen.call["tool"] for seen in judge.seen] == ["arm__echo"]


async def test_an_unknown_tool_looks_unknown_and_is_shown_to_nobody() -> None:
    judge = Judge(lambda seen: refuse("no"))
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}) as home:
        client = await home.client("http", "modern")
        error = (await client.tool("missing").reply()).error
        assert error == {"code": -32602, "message": "Unknown tool: `missing`"}
        assert len(judge.seen) == 0


# -- leaving, and what changes meanwhile -------------------------------------------------------------------------


@some
async def test_a_call_that_is_cancelled_while_a_filter_looks_is_not_made(
    era: str, server_era: str, way_in: str, way_out: str
) -> None:
    judge = Judge(lambda seen: None)
    async with guarded(ScriptedServer(server_era), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        seen = await judge.seen.wait(lambda seen: True)
        if way_in == "http" and era == "modern":
            assert pending.http is not None
            pending.http.close()
        else:
            client.cancel(pending)
        await until(lambda: seen.cancelled)
        # Even if its verdict came all the same.
        seen.cancelled = False
        seen.judge(PASS)
        judge.on_request = lambda seen: PASS
        other = client.tool("echo", {"n": 2})
        call = await home.server.next_call("tools/call")
        assert call.params["arguments"] == {"n": 2}
        call.text("done")
        assert (await other.reply()).text == "done"
        assert home.daemon.gateway.admission.in_flight == 0


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_client_that_leaves_while_its_result_is_looked_at_costs_nothing(era: str) -> None:
    judge = only_results(lambda seen: None)
    async with guarded(ScriptedServer(era), judges={"judge": judge}) as home:
        client = await home.client("tcp", era)
        client.tool("echo")
        (await home.server.next_call("tools/call")).text("secret")
        seen = await judge.seen.wait(lambda seen: True)
        client.close()
        await until(lambda: seen.cancelled)
        assert home.daemon.gateway.admission.in_flight == 0


def take_up(home: Json, **changes: Json) -> None:
    gateway = home.daemon.gateway
    old = gateway.snapshot
    new = replace(old, **changes)
    home.daemon.snapshot = new
    gateway.take_up(new, plan(old, new))


@some
async def test_a_call_that_a_filter_looks_at_while_another_comes_into_force_is_seen_by_that(
    era: str, server_era: str, way_in: str, way_out: str
) -> None:
    judges: Json = {"old": Judge(lambda seen: None), "new": Judge(lambda seen: refuse("new rules"))}
    filters = [configured("old")]
    async with guarded(ScriptedServer(server_era), transport=way_out, judges=judges, filters=filters) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        seen = await judges["old"].seen.wait(lambda seen: True)
        take_up(home, filters=(configured("new"),))
        seen.judge(PASS)
        assert (await pending.reply()).text == "filter `new` refused this call: new rules"
        assert home.server.said("tools/call") == []


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(("era", "server_era"), [("modern", "modern"), ("modern", "session"), ("session", "modern")])
async def test_a_call_that_waits_for_its_server_is_seen_by_the_filters_of_then(
    era: str, server_era: str, filtered: bool
) -> None:
    judges: Json = {"old": Judge(), "new": Judge(lambda seen: refuse("new rules"))}
    filters = [configured("old")] if filtered else []
    fields = [{"max_in_flight": 1}]
    async with guarded(ScriptedServer(server_era), judges=judges, filters=filters, fields=fields) as home:
        client = await home.client("tcp", era)
        first = client.tool("echo", {"n": 1})
        call = await home.server.next_call("tools/call")
        second = client.tool("echo", {"n": 2})
        await until(lambda: len(home.daemon.gateway.services[0].queue) == 1)
        take_up(home, filters=(configured("new"),))
        call.text("one")
        assert (await first.reply()).text == "one"
        assert (await second.reply()).text == "filter `new` refused this call: new rules"
        assert len(home.server.said("tools/call")) == 1


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_nothing_is_relayed_once_a_tool_has_a_filter(era: str) -> None:
    judge = Judge(lambda seen: refuse("no"))
    async with guarded(ScriptedServer(era), judges={"judge": judge}, filters=[]) as home:
        client = await home.client("tcp", era)
        for _ in range(3):
            pending = client.tool("echo")
            (await home.server.next_call("tools/call")).text("done")
            assert (await pending.reply()).text == "done"
        take_up(home, filters=(configured("judge"),))
        for _ in range(3):
            assert (await client.tool("echo").reply()).result["isError"] is True
        assert len(home.server.said("tools/call")) == 3
        take_up(home, filters=())
        for _ in range(3):
            pending = client.tool("echo")
            (await home.server.next_call("tools/call")).text("done")
            assert (await pending.reply()).text == "done"
        assert len(judge.seen) == 3


async def test_a_result_is_seen_by_the_filters_of_then() -> None:
    judges: Json = {"old": only_results(lambda seen: PASS), "new": only_results(masking)}
    async with guarded(ScriptedServer("modern"), judges=judges, filters=[configured("old")]) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo")
        call = await home.server.next_call("tools/call")
        take_up(home, filters=(configured("new"),))
        call.text("a secret")
        assert (await pending.reply()).text == "a ***"
        assert len(judges["old"].seen) == 0


async def test_a_call_waits_for_a_filter_that_is_still_being_loaded() -> None:
    loaded = asyncio.Event()
    judge = Judge(lambda seen: refuse("no"))
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, filters=[]) as home:
        client = await home.client("tcp", "modern")

        async def slowly(config: Json) -> Judge:
            await loaded.wait()
            return judge

        home.daemon.gateway.filters.load = slowly
        take_up(home, filters=(configured("judge"),))
        pending: Pending = client.tool("echo")
        await until(lambda: home.daemon.gateway.admission.in_flight == 1)
        loaded.set()
        assert (await pending.reply()).text == "filter `judge` refused this call: no"


async def test_a_revoked_caller_s_call_is_not_made_after_a_filter_let_it_pass() -> None:
    from hashlib import sha256

    from tidegate.config.snapshot import Client

    owner = Client("ada", sha256(b"t").hexdigest())
    judge = Judge(lambda seen: None)
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, owners=[owner]) as home:
        client = await home.client("http", "modern", token="t")
        pending = client.tool("echo")
        seen = await judge.seen.wait(lambda seen: True)
        assert seen.call["caller"] == "ada"
        take_up(home, clients=(Client("bob", sha256(b"u").hexdigest()),))
        seen.judge(PASS)
        assert "token" in (await pending.reply()).error["message"]
        assert home.server.said("tools/call") == []


async def test_limits_hold_for_filtered_calls() -> None:
    judge = Judge(lambda seen: None)
    limits = Limits(rate_per_s=0, drain_s=0.0, in_flight=1)
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, limits=limits) as home:
        client = await home.client("tcp", "modern")
        first = client.tool("echo")
        seen = await judge.seen.wait(lambda seen: True)
        assert (await client.tool("echo").reply()).error["code"] == -31003
        seen.judge(refuse("no"))
        assert (await first.reply()).result["isError"] is True
        assert home.daemon.gateway.admission.in_flight == 0


class _WithRegion(HttpClient):
    region: str

    def headers(self, raw: bytes = b"") -> dict[str, str]:
        return {**super().headers(raw), "mcp-param-region": self.region}


async def test_tools_that_want_parameters_as_headers_get_those_of_the_changed_arguments() -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    listed = tool("echo", inputSchema=schema)
    judge = Judge(lambda seen: change({"region": "eu"}))
    async with guarded(ScriptedServer("modern", tools=(listed,)), transport="http", judges={"judge": judge}) as home:
        client = _WithRegion(home.http, "modern")
        home.clients.append(client)
        client.region = "us"
        pending = client.tool("echo", {"region": "us"})
        call = await home.server.next_call("tools/call")
        assert call.headers["mcp-param-region"] == "eu"
        assert call.params["arguments"] == {"region": "eu"}
        call.text("done")
        assert (await pending.reply()).text == "done"
        client.region = "cn"
        assert (await client.tool("echo", {"region": "us"}).reply()).error["code"] == -32020
        assert len(judge.seen) == 1
