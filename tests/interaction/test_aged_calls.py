"""Calls that had to wait after their filters let them pass, where what a filter says depends on the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from gateway import House
from heard import Json, until
from judge import PASS, Inspection, Judge, Opinion, configured, guarded, refuse
from scripted_server import ScriptedServer, tool

pytestmark = pytest.mark.anyio

FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}
YES: Json = {"action": "accept", "content": {}}
TWO = (tool("move"), tool("stop"))


@pytest.fixture(autouse=True)
def soon_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.pipeline.filtering.screened._FRESH_S", 0.02)


async def a_while() -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + 0.05
    await until(lambda: loop.time() > end_s)


def stopped_after(calls: int) -> Callable[[Inspection], Opinion]:
    left = iter(range(calls))
    return lambda seen: PASS if next(left, None) is not None else refuse("stopped")


async def waiting(home: House, client: Json) -> tuple[Json, Json, Json]:
    """One call that the server works on, and one that waits for it."""
    first = client.tool("move", {"n": 1})
    call = await home.server.next_call("tools/call")
    second = client.tool("move", {"n": 2})
    await until(lambda: len(home.daemon.gateway.services[0].queue) == 1)
    await a_while()
    return first, call, second


@pytest.mark.parametrize(("era", "server_era"), [(a, b) for a in ("modern", "session") for b in ("modern", "session")])
async def test_a_call_that_waited_for_its_turn_is_looked_at_again(era: str, server_era: str) -> None:
    judge = Judge(stopped_after(2))
    server, filters = ScriptedServer(server_era, tools=TWO), [configured("judge", time=True)]
    async with guarded(server, judges={"judge": judge}, filters=filters, fields=[{"max_in_flight": 1}]) as home:
        client = await home.client("tcp", era)
        first, call, second = await waiting(home, client)
        call.text("moved")
        assert (await first.reply()).text == "moved"
        assert (await second.reply()).text == "filter `judge` refused this call: stopped"
        assert len(home.server.said("tools/call")) == 1


async def test_one_that_still_passes_is_made_once() -> None:
    judge = Judge()
    server, filters = ScriptedServer("modern", tools=TWO), [configured("judge", time=True)]
    async with guarded(server, judges={"judge": judge}, filters=filters, fields=[{"max_in_flight": 1}]) as home:
        client = await home.client("tcp", "modern")
        first, call, second = await waiting(home, client)
        call.text("moved")
        await first.reply()
        (await home.server.next_call("tools/call")).text("moved, too")
        assert (await second.reply()).text == "moved, too"
        assert [seen.arguments["n"] for seen in judge.seen] == [1, 2, 2]
        assert len(home.server.said("tools/call")) == 2


async def test_what_a_filter_says_that_knows_no_time_does_not_age() -> None:
    judge = Judge(stopped_after(2))
    server = ScriptedServer("modern", tools=TWO)
    async with guarded(server, judges={"judge": judge}, fields=[{"max_in_flight": 1}]) as home:
        client = await home.client("tcp", "modern")
        first, call, second = await waiting(home, client)
        call.text("moved")
        await first.reply()
        (await home.server.next_call("tools/call")).text("moved, too")
        assert (await second.reply()).text == "moved, too"


async def test_old_commands_do_not_pile_up_before_a_busy_server() -> None:
    judge = Judge()
    server, filters = ScriptedServer("modern", tools=TWO), [configured("judge", time=True)]
    async with guarded(server, judges={"judge": judge}, filters=filters, fields=[{"max_in_flight": 1}]) as home:
        client = await home.client("tcp", "modern")
        running = client.tool("move", {"n": 0})
        queued = [client.tool("move", {"n": number}) for number in range(1, 9)]
        for _ in range(6):
            call = await home.server.next_call("tools/call")
            await until(lambda: len(home.daemon.gateway.services[0].queue) > 0)
            await a_while()
            call.text("moved")
        assert (await running.reply()).text == "moved"
        error = (await queued[-1].reply()).error
        assert error["code"] == -31003
        assert "each time it passed its filters, this call had to wait" in error["message"]


async def test_a_round_is_looked_at_again_when_the_client_took_its_time() -> None:
    for opinions, made in ((stopped_after(1), 1), (stopped_after(2), 2)):
        judge = Judge(opinions)
        server, filters = ScriptedServer("modern", tools=TWO), [configured("judge", time=True)]
        async with guarded(server, judges={"judge": judge}, filters=filters) as home:
            client = await home.client("tcp", "session", capabilities={"elicitation": {}})
            pending = client.tool("move")
            call = await home.server.next_call("tools/call")
            wanted = {"name": {"method": "elicitation/create", "params": FORM}}
            call.reply({"resultType": "input_required", "inputRequests": wanted, "requestState": "s-1"})
            question = await client.questions.wait(lambda item: True)
            await a_while()
            client.answer(question, YES)
            if made == 1:
                assert (await pending.reply()).text == "filter `judge` refused this call: stopped"
            else:
                call = await home.server.next_call("tools/call")
                assert call.params["inputResponses"] == {"name": YES}
                call.text("moved")
                assert (await pending.reply()).text == "moved"
            assert len(home.server.said("tools/call")) == made


async def test_a_client_that_leaves_while_its_round_is_looked_at_costs_nothing() -> None:
    judge = Judge()
    server, filters = ScriptedServer("modern", tools=TWO), [configured("judge", time=True)]
    async with guarded(server, judges={"judge": judge}, filters=filters) as home:
        client = await home.client("tcp", "session", capabilities={"elicitation": {}})
        client.tool("move")
        call = await home.server.next_call("tools/call")
        wanted = {"name": {"method": "elicitation/create", "params": FORM}}
        call.reply({"resultType": "input_required", "inputRequests": wanted, "requestState": "s-1"})
        question = await client.questions.wait(lambda item: True)
        await a_while()
        judge.on_request = lambda seen: None
        client.answer(question, YES)
        seen = await judge.seen.wait(lambda seen: True, skip=1)
        client.close()
        await until(lambda: seen.cancelled)
        assert home.daemon.gateway.admission.in_flight == 0
        assert len(home.server.said("tools/call")) == 1


async def test_an_armed_stop_waits_for_no_turn() -> None:
    def arming(seen: Inspection) -> Opinion:
        seen.caller.arm("arm", 30, "stop", b"{}")
        return PASS

    server, filters = ScriptedServer("session", tools=TWO), [configured("judge", ["move"])]
    async with guarded(server, judges={"judge": Judge(arming)}, filters=filters, fields=[{"max_in_flight": 1}]) as home:
        client = await home.client("tcp", "session")
        client.tool("move")
        first = await home.server.next_call("tools/call")
        client.tool("move")
        stop = await home.server.next_call("tools/call")
        assert (first.params["name"], stop.params["name"]) == ("move", "stop")
        stop.text("stopped")
