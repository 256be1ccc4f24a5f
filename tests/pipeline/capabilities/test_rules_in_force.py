"""What bounds capabilities from outside: filters, rights, depth, heat, a configuration that changes meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from heard import Json, until, within
from judge import Judge, configured, refuse
from recorded_power import PI, write_sysfs
from served import DATA_CLASS, Stage, capability, reply_with, served_by, stage

from tidegate.config.snapshot import Client as TokenOwner
from tidegate.config.snapshot import Filter, Model, Power
from tidegate.sandbox.guest import FilterGuest

pytestmark = pytest.mark.anyio


def guarded(judges: dict[str, Judge], filters: Sequence[Filter]) -> Json:
    async def load(config: Filter) -> FilterGuest:
        return judges[config.name]

    return {"filters": filters, "load": load}


async def take_up(now: Stage, **changes: Json) -> None:
    daemon = now.house.daemon
    await within(daemon.take_up(replace(daemon.gateway.snapshot, **changes)))


async def test_what_a_filter_refuses_is_asked_of_nobody_else() -> None:
    judge = Judge(lambda seen: refuse("not this"))
    async with stage(**guarded({"guard": judge}, [configured("guard", ("here__read",))])) as now:
        client = await now.house.client("tcp", "modern")
        reply = await now.begin(client).reply()
        assert reply.result["isError"] is True
        assert "not this" in reply.text
        assert [one["tool"] for one in served_by(reply)["attempts"]] == ["here__read"]
        assert now.cloud.said("tools/call") == []
        assert now.here.said("tools/call") == []


async def test_a_filter_of_the_tool_sees_the_call_and_a_slow_one_is_a_tool_that_waits() -> None:
    judge = Judge(lambda seen: None)
    filters = [configured("guard", ("here__read",))]
    async with stage(capability(busy_ms=30), **guarded({"guard": judge}, filters)) as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        seen = await judge.seen.wait(lambda item: True)
        assert seen.arguments == {"text": "x"}
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert served_by(await pending.reply())["why"] == "busy"
        assert seen.cancelled
        assert now.here.said("tools/call") == []


async def test_a_call_that_a_filter_let_pass_and_that_runs_is_not_taken_for_one_that_waits() -> None:
    judge = Judge()
    filters = [configured("guard", ("here__read",))]
    async with stage(capability(busy_ms=30), **guarded({"guard": judge}, filters)) as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        asked = await now.here.next_call("tools/call")
        gateway = now.house.daemon.gateway
        (serving,) = next(iter(gateway.capabilities._open))._servings.values()
        serving._waited(serving._running)
        reply_with(asked, "here")
        assert (await pending.reply()).text == "here"
        assert now.cloud.said("tools/call") == []


@pytest.mark.parametrize("begins", [True, False])
async def test_a_model_that_has_the_call_and_is_not_at_it_is_busy(begins: bool) -> None:
    async with stage(capability(busy_ms=50), fields=({"models": (Model("language", shipped=True),)}, {})) as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        asked = await now.here.next_call("tools/call")
        if begins:
            asked.progress(0)
            gateway = now.house.daemon.gateway
            (serving,) = next(iter(gateway.capabilities._open))._servings.values()
            running = serving._running
            await until(lambda: running.sign)
            serving._waited(running)
            reply_with(asked, "here")
        else:
            reply_with(await now.cloud.next_call("tools/call"), "cloud")
        reply = await pending.reply()
        assert served_by(reply)["why"] == ("preferred" if begins else "busy")
        assert client.notices.items == []


async def test_a_name_that_comes_to_mean_a_tool_of_the_cloud_meanwhile_leads_nowhere() -> None:
    """The server is the same one, and the call waits for its turn there: it must be looked at once more."""
    rules = capability(order=("here__read",), stay=("patient",))
    async with stage(rules, fields=({"max_in_flight": 1}, {})) as now:
        client = await now.house.client("tcp", "modern")
        label = {DATA_CLASS: "patient"}
        first = now.begin(client, label)
        asked = await now.here.next_call("tools/call")
        second = now.begin(client, label, {"text": "SECRET"})
        gateway = now.house.daemon.gateway
        await until(lambda: len(gateway.services[0].queue) == 1)
        here, cloud, rest = gateway.snapshot.backends
        await take_up(
            now,
            backends=(
                replace(here, aliases=(("read", "mine"),)),
                replace(cloud, aliases=(("read", "here__read"),)),
                rest,
            ),
        )
        assert gateway.services[0].queue, "it still waits, at the server where it began to"
        reply_with(asked, "one")
        assert (await first.reply()).text == "one"
        error = (await second.reply()).error
        assert error["data"]["attempts"][0]["outcome"] == "must_stay"
        assert now.leaked("SECRET") == []


async def test_the_right_to_the_capability_is_looked_at_again_when_it_changes_meanwhile() -> None:
    token = "b" * 32
    owner = TokenOwner("reader", sha256(token.encode()).hexdigest(), tools=("ocr",))
    async with stage(capability(order=("here__read",)), owners=(owner,), fields=({"max_in_flight": 1}, {})) as now:
        client = await now.house.client("http", "modern", token=token)
        first = now.begin(client)
        asked = await now.here.next_call("tools/call")
        second = now.begin(client)
        await until(lambda: len(now.house.daemon.gateway.services[0].queue) == 1)
        await take_up(now, clients=(replace(owner, tools=("other",)),))
        reply_with(asked, "one")
        await first.reply()
        assert "error" in (await second.reply()).message
        assert len(now.here.said("tools/call")) == 1


async def test_heat_sends_calls_into_the_cloud_but_not_what_must_stay(tmp_path: Path) -> None:
    hot = {**PI, "class/thermal/thermal_zone0/temp": "91000", "class/hwmon/hwmon0/temp1_input": "91000"}
    async with stage(capability(stay=("patient",))) as now:
        await take_up(now, power=Power(profile="balanced", sysfs=str(write_sysfs(tmp_path, hot))))
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert served_by(await pending.reply())["why"] == "hot"
        pending = now.begin(client, {DATA_CLASS: "patient"})
        reply_with(await now.here.next_call("tools/call"), "here")
        assert served_by(await pending.reply())["where"] == "local"
        assert len(now.cloud.said("tools/call")) == 1


async def test_the_saver_profile_asks_the_cloud_first_and_a_cool_box_does_not(tmp_path: Path) -> None:
    sysfs = str(write_sysfs(tmp_path, PI))
    async with stage(capability(stay=("patient",))) as now:
        await take_up(now, power=Power(profile="saver", sysfs=sysfs))
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert served_by(await pending.reply())["why"] == "power"
        pending = now.begin(client, {DATA_CLASS: "patient"})
        reply_with(await now.here.next_call("tools/call"), "here")
        await pending.reply()
        await take_up(now, power=Power(profile="performance", sysfs=sysfs))
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here")
        assert served_by(await pending.reply())["why"] == "preferred"


async def test_want_of_memory_sends_the_next_calls_into_the_cloud_at_once() -> None:
    async with stage() as now:
        client = await now.house.client("tcp", "modern")
        for number in range(2):
            pending = now.begin(client)
            if number == 0:
                asked = await now.here.next_call("tools/call")
                asked.fail(-32603, "no room", {"reason": "model_out_of_memory"})
            reply_with(await now.cloud.next_call("tools/call"), "cloud")
            served = served_by(await pending.reply())
            assert (served["why"], len(served["attempts"])) == ("memory", 2 - number)


async def test_a_capability_that_a_filter_calls_over_and_over_comes_to_an_end() -> None:
    """A filter of its tool calls the capability again: each call is deeper than the one before."""
    calls: list[int] = []

    def again(seen: Json) -> None:
        calls.append(seen.caller.depth)

        def answered(result: bytes | None, error: object) -> None:
            seen.judge(refuse(str(error) if error is not None else "refused below"))

        seen.caller.call_tool("ocr", b'{"text":"x"}', answered)

    async with stage(**guarded({"guard": Judge(again)}, [configured("guard", ("here__read",))])) as now:
        client = await now.house.client("tcp", "modern")
        reply = await now.begin(client).reply()
        assert reply.result["isError"] is True
        assert 1 < len(calls) <= 4
        assert now.here.said("tools/call") == []
