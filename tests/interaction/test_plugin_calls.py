"""Tools that plugins call, and those that they have called when they are not heard of."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from hashlib import sha256

import pytest
from gateway import House
from heard import Heard, Json, until, within
from judge import PASS, Inspection, Judge, Opinion, configured, guarded, refuse
from scripted_server import ScriptedServer, tool
from test_filters import take_up

from tidegate.config.snapshot import Client as TokenOwner
from tidegate.config.snapshot import Limits
from tidegate.errors import NotArmed, TidegateError
from tidegate.events import Event, ExchangeDone
from tidegate.pipeline.armed_calls import MOST_ARMED

pytestmark = pytest.mark.anyio

servers = pytest.mark.parametrize("server_era", ["modern", "session"])
TWO = (tool("move"), tool("stop"), tool("look"))
LONG_MS = 3_600_000


class Calling:
    """A filter of `move` that first calls another tool."""

    def __init__(self, name: str, arguments: bytes = b'{"n":1}') -> None:
        self.name = name
        self.arguments = arguments
        self.answers: Heard[tuple[Json, TidegateError | None]] = Heard()
        self.judge = Judge(self._ask)
        self.jobs: list[Json] = []

    def _ask(self, seen: Inspection) -> Opinion:
        def answered(result: bytes | None, error: TidegateError | None) -> None:
            value = json.loads(result) if result is not None else None
            self.answers.add((value, error))
            if value is not None and value.get("isError"):
                seen.judge(refuse(value["content"][0]["text"]))
            else:
                seen.judge(PASS if error is None else refuse(str(error)))

        self.jobs.append(seen.caller.call_tool(self.name, self.arguments, answered))
        return None


def on_move(judge: Judge) -> Json:
    return {"judges": {"judge": judge}, "filters": [configured("judge", ["move"])]}


@servers
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_plugin_calls_a_tool_in_its_caller_s_name(server_era: str, era: str) -> None:
    calling = Calling("look")
    async with guarded(ScriptedServer(server_era, tools=TWO), **on_move(calling.judge)) as home:
        told: list[Event] = []
        home.daemon.events.subscribe(told.append)
        client = await home.client("tcp", era)
        for _ in range(2):
            pending = client.tool("move")
            call = await home.server.next_call("tools/call")
            assert (call.params["name"], call.params["arguments"]) == ("look", {"n": 1})
            call.progress(1)
            call.text("clear")
            call = await home.server.next_call("tools/call")
            assert call.params["name"] == "move"
            call.text("moved")
            assert (await pending.reply()).text == "moved"
        result, error = calling.answers.items[0]
        assert (result["content"][0]["text"], error) == ("clear", None)
        done = [(event.name, event.transport, event.principal) for event in told if isinstance(event, ExchangeDone)]
        assert ("look", "plugin", "anonymous") in done
        assert home.daemon.gateway.admission.in_flight == 0


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("missing", b"{}", "Unknown tool: `missing`"),
        ("look", b"[]", "not one JSON object"),
        ("look", b'{}, "x": 1', "not one JSON object"),
        ("look", b'{},"_meta":{}', "not"),
        ("look", b'{"a":', "not JSON"),
        ("look", b"\xff", "not JSON"),
    ],
)
async def test_a_plugin_is_told_why_it_cannot_call(name: str, arguments: bytes, why: str) -> None:
    calling = Calling(name, arguments)
    async with guarded(ScriptedServer("modern", tools=TWO), **on_move(calling.judge)) as home:
        client = await home.client("tcp", "modern")
        assert why in (await client.tool("move").reply()).text
        assert home.server.said("tools/call") == []


@servers
async def test_a_plugin_hears_of_a_server_that_refuses_or_asks(server_era: str) -> None:
    calling = Calling("look")
    async with guarded(ScriptedServer(server_era, tools=TWO), **on_move(calling.judge)) as home:
        client = await home.client("tcp", "modern", capabilities={"elicitation": {}})
        pending = client.tool("move")
        (await home.server.next_call("tools/call")).fail(-32000, "broken lens")
        assert "broken lens" in (await pending.reply()).text
        pending = client.tool("move")
        call = await home.server.next_call("tools/call")
        if server_era == "modern":
            form = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {}}}
            call.reply({"resultType": "input_required", "inputRequests": {"a": form}, "requestState": "s"})
            assert "for which nobody is there" in (await pending.reply()).text
        else:
            refused = await within(call.ask("elicitation/create", {"message": "?", "requestedSchema": {}}))
            assert "error" in refused
            call.text("clear")
            (await home.server.next_call("tools/call")).text("moved")
            assert (await pending.reply()).text == "moved"


async def test_a_plugin_may_do_no_more_than_its_caller() -> None:
    calling = Calling("look")
    owners = [TokenOwner("ada", sha256(b"t").hexdigest(), tools=("move",))]
    async with guarded(ScriptedServer("modern", tools=TWO), owners=owners, **on_move(calling.judge)) as home:
        client = await home.client("http", "modern", token="t")
        assert "Unknown tool: `look`" in (await client.tool("move").reply()).text
        assert home.server.said("tools/call") == []


async def test_a_plugin_s_calls_are_filtered_and_end_at_a_depth() -> None:
    calling = Calling("move")
    async with guarded(ScriptedServer("modern", tools=TWO), **on_move(calling.judge)) as home:
        client = await home.client("tcp", "modern")
        text = (await client.tool("move").reply()).text
        assert "4 plugins have called each other already" in text
        assert [seen.caller.depth for seen in calling.judge.seen] == [0, 1, 2, 3, 4]
        assert home.server.said("tools/call") == []
        assert home.daemon.gateway.admission.in_flight == 0


async def test_a_plugin_s_calls_count_as_its_caller_s() -> None:
    calling = Calling("look")
    limits = Limits(rate_per_s=0, drain_s=0.0, in_flight=1)
    async with guarded(ScriptedServer("modern", tools=TWO), limits=limits, **on_move(calling.judge)) as home:
        client = await home.client("tcp", "modern")
        assert "1 requests in flight" in (await client.tool("move").reply()).text
        assert home.server.said("tools/call") == []


async def test_a_call_that_its_plugin_does_not_wait_for_is_cancelled() -> None:
    calling = Calling("look")
    async with guarded(ScriptedServer("session", tools=TWO), **on_move(calling.judge)) as home:
        client = await home.client("tcp", "session")
        client.tool("move")
        await home.server.next_call("tools/call")
        calling.jobs[0].cancel()
        await home.server.wait_heard("notifications/cancelled")
        assert len(calling.answers) == 0


# -- a dead man's switch --------------------------------------------------------------------------------------------


class Guarding:
    """A filter of `move` that arms a stop."""

    def __init__(self, after_ms: int = LONG_MS, tool: str = "stop", key: str = "arm") -> None:
        self.after_ms = after_ms
        self.tool = tool
        self.key = key
        self.callers: list[Json] = []
        self.judge = Judge(self._arm)

    def _arm(self, seen: Inspection) -> Opinion:
        self.callers.append(seen.caller)
        try:
            seen.caller.arm(self.key, self.after_ms, self.tool, b'{"now":true}')
        except TidegateError as error:
            return refuse(str(error))
        return PASS


async def moved(home: House, client: Json) -> None:
    pending = client.tool("move")
    (await home.server.next_call("tools/call")).text("moved")
    assert (await pending.reply()).text == "moved"


@servers
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_what_is_armed_is_done_when_nobody_is_heard_of(
    server_era: str, era: str, caplog: pytest.LogCaptureFixture
) -> None:
    guarding = Guarding(20)
    async with guarded(ScriptedServer(server_era, tools=TWO), **on_move(guarding.judge)) as home:
        client = await home.client("tcp", era)
        await moved(home, client)
        client.close()
        call = await home.server.next_call("tools/call")
        assert (call.params["name"], call.params["arguments"]) == ("stop", {"now": True})
        call.text("stopped")
        await until(lambda: home.daemon.gateway.admission.in_flight == 0)
        assert home.daemon.gateway.statistics()["armed"] == {"armed": 0, "made_total": 1}
        (line,) = [record for record in caplog.records if "armed_call_made" in record.getMessage()]
        assert line.levelno == logging.WARNING
        assert "plugin=filter judge key='arm' tool='stop' caller=anonymous after_ms=20" in line.getMessage()


async def test_arming_again_puts_it_off_and_disarming_ends_it() -> None:
    guarding = Guarding()
    async with guarded(ScriptedServer("modern", tools=TWO), **on_move(guarding.judge)) as home:
        client = await home.client("tcp", "modern")
        await moved(home, client)
        await moved(home, client)
        armed = home.daemon.gateway.armed
        assert len(armed) == 1
        guarding.callers[0].disarm("other")
        assert len(armed) == 1
        guarding.callers[0].disarm("arm")
        assert len(armed) == 0
        # The first of these is put off for long before its time comes.
        guarding.callers[0].arm("a", 30, "stop", b"{}")
        guarding.callers[0].arm("a", LONG_MS, "stop", b"{}")
        guarding.callers[0].arm("b", 60, "look", b"{}")
        call = await home.server.next_call("tools/call")
        assert call.params["name"] == "look"
        call.text("clear")
        guarding.callers[0].disarm("a")
        assert [call.params["name"] for call in home.server.said("tools/call")] == ["move", "move", "look"]


async def test_what_cannot_be_armed_is_said_at_once() -> None:
    owners = [TokenOwner("ada", sha256(b"t").hexdigest(), tools=("move", "stop"))]
    guarding = Guarding()
    async with guarded(ScriptedServer("modern", tools=TWO), owners=owners, **on_move(guarding.judge)) as home:
        client = await home.client("http", "modern", token="t")
        await moved(home, client)
        (caller,) = guarding.callers
        for key, after_ms, name, arguments in (
            ("x", 0, "stop", b"{}"),
            ("x", 25 * 3_600_000, "stop", b"{}"),
            ("x" * 600, 1000, "stop", b"{}"),
            ("x", 1000, "look", b"{}"),
            ("x", 1000, "stop", b"[]"),
            ("x", 1000, "stop", b'{"a":"' + b"x" * 70_000 + b'"}'),
        ):
            with pytest.raises(TidegateError):
                caller.arm(key, after_ms, name, arguments)
        for number in range(MOST_ARMED - 1):
            caller.arm(f"key {number}", LONG_MS, "stop", b"{}")
        with pytest.raises(NotArmed, match="64"):
            caller.arm("one more", LONG_MS, "stop", b"{}")
        caller.arm("arm", LONG_MS, "stop", b"{}")
        assert len(home.daemon.gateway.armed) == MOST_ARMED
        home.daemon.gateway.armed.close()


async def test_a_stop_is_made_for_a_caller_who_is_no_more() -> None:
    owners = [TokenOwner("ada", sha256(b"t").hexdigest())]
    guarding = Guarding(50)
    async with guarded(ScriptedServer("modern", tools=TWO), owners=owners, **on_move(guarding.judge)) as home:
        client = await home.client("http", "modern", token="t")
        await moved(home, client)
        take_up(home, clients=(TokenOwner("bob", sha256(b"u").hexdigest()),))
        call = await home.server.next_call("tools/call")
        assert call.params["name"] == "stop"
        call.text("stopped")


async def test_a_stop_passes_the_bounds_of_clients() -> None:
    guarding = Guarding(50)
    limits = Limits(rate_per_s=0, drain_s=0.0, in_flight=1)
    async with guarded(ScriptedServer("modern", tools=TWO), limits=limits, **on_move(guarding.judge)) as home:
        client = await home.client("tcp", "modern")
        await moved(home, client)
        pending = client.tool("look")
        look = await home.server.next_call("tools/call")
        stop = await home.server.next_call("tools/call")
        assert stop.params["name"] == "stop"
        stop.text("stopped")
        look.text("clear")
        assert (await pending.reply()).text == "clear"


async def test_a_stop_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.pipeline.armed_calls._PAUSES_S", (0.01, 0.01))
    guarding = Guarding(20)
    async with guarded(ScriptedServer("modern", tools=TWO), **on_move(guarding.judge)) as home:
        client = await home.client("tcp", "modern")
        await moved(home, client)
        for _ in range(3):
            (await home.server.next_call("tools/call")).fail(-32000, "jammed")
        await until(lambda: home.daemon.gateway.admission.in_flight == 0)
        assert len(home.server.said("tools/call")) == 4
        assert home.daemon.gateway.armed.statistics()["made_total"] == 1


async def test_a_configuration_without_the_plugin_ends_what_it_armed(caplog: pytest.LogCaptureFixture) -> None:
    guarding = Guarding()
    async with guarded(ScriptedServer("modern", tools=TWO), **on_move(guarding.judge)) as home:
        client = await home.client("tcp", "modern")
        await moved(home, client)
        armed = home.daemon.gateway.armed
        take_up(home, limits=replace(home.daemon.gateway.limits, in_flight=7))
        assert len(armed) == 1
        take_up(home, filters=())
        assert len(armed) == 0
        assert any("armed_call_dropped" in record.getMessage() for record in caplog.records)


@servers
async def test_what_is_armed_is_done_when_the_gateway_stops(server_era: str) -> None:
    guarding = Guarding()
    async with guarded(ScriptedServer(server_era, tools=TWO), **on_move(guarding.judge)) as home:
        client = await home.client("tcp", "modern")
        await moved(home, client)

        async def stopped() -> None:
            call = await home.server.next_call("tools/call")
            assert call.params["name"] == "stop"
            call.text("stopped")

        done = asyncio.ensure_future(stopped())
        await within(home.daemon.aclose())
        assert done.done()
        await done
        with pytest.raises(NotArmed):
            guarding.callers[0].arm("late", 1000, "stop", b"{}")


async def test_a_stop_that_nobody_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.pipeline.serve._LAST_CALLS_S", 0.05)
    guarding = Guarding()
    async with guarded(ScriptedServer("modern", tools=TWO), **on_move(guarding.judge)) as home:
        client = await home.client("tcp", "modern")
        await moved(home, client)
        await within(home.daemon.aclose())
        assert [call.params["name"] for call in home.server.said("tools/call")] == ["move", "stop"]
