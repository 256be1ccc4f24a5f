"""Calls that are in the relay when a configuration is taken up: which of them stay there, and that each is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clients import Pending
from heard import until
from scripted_server import Received
from test_decisions_made_anew import Row, Scene, Step, adjusted, limited, moved, owner, reloaded, served, staged

from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio


async def another_token(scene: Scene) -> None:
    await scene.reload(clients=(owner("b"),))


async def held(scene: Scene) -> tuple[Pending, Received]:
    """A call in the relay, and what the server has of it."""
    pending = scene.begin()
    call = await scene.server.next_call("tools/call")
    assert scene.home.daemon.gateway.relay.native.in_flight == 1
    return pending, call


STAY: dict[str, Step] = {
    "the tool is removed": adjusted(exclude=("echo",)),
    "the tool has another name": adjusted(prefix="p_"),
    "less may be in flight": limited(in_flight=1),
    "messages may be deeper": limited(depth=100),
    "sessions may idle for shorter": limited(session_idle_s=1.0),
}
LEAVE: dict[str, Step] = {
    "the relay is turned off": reloaded(relay=False),
    "messages may be less deep": limited(depth=3),
}


@pytest.mark.parametrize("road", ["http", "tcp"])
@pytest.mark.parametrize("era", ["session", "modern"])
@pytest.mark.parametrize("what", [*STAY, *LEAVE])
async def test_what_was_let_in_is_answered(what: str, era: str, road: str) -> None:
    async with staged(Row(served, served), road, era) as scene:
        pending, call = await held(scene)
        await (STAY | LEAVE)[what](scene)
        assert scene.home.daemon.gateway.relay.native.in_flight == (what in STAY)
        call.text("let in before")
        assert (await pending.reply()).text == "let in before"
        status = scene.home.daemon.statistics()
        assert status["in_flight"] == (0 if era == "session" else status["listeners"])


async def test_what_stayed_meets_its_deadline_in_the_slow_lane() -> None:
    async with staged(Row(served, served), "tcp", "session") as scene:
        pending, call = await held(scene)
        await scene.adjust(exclude=("echo",))
        scene.home.daemon.gateway.relay.native.promote_before(1e18)
        assert scene.home.daemon.gateway.relay.native.in_flight == 0
        call.text("late")
        assert (await pending.reply()).text == "late"


@pytest.mark.parametrize("road", ["http", "tcp"])
async def test_calls_of_a_session_whose_token_is_revoked_are_told_so(road: str) -> None:
    row = Row(served, served, owners=(owner("a"), owner("b")), token="a")
    async with staged(row, road, "session") as scene:
        pending, _ = await held(scene)
        await another_token(scene)
        assert "token" in (await pending.reply()).error["message"]
        assert scene.home.daemon.gateway.relay.native.in_flight == 0
        cancelled = await scene.server.wait_heard("notifications/cancelled")
        assert cancelled.params["requestId"] == scene.server.said("tools/call")[-1].id


@pytest.mark.parametrize("road", ["http", "tcp"])
@pytest.mark.parametrize("era", ["session", "modern"])
async def test_calls_to_a_backend_that_is_gone_have_the_drain_time(era: str, road: str) -> None:
    async with staged(Row(served, served), road, era) as scene:
        limits = replace(scene.home.daemon.snapshot.limits, drain_s=0.1)
        await scene.reload(limits=limits)
        await scene.flow()
        pending, _ = await held(scene)
        await scene.reload(backends=())
        assert "`drain_s`" in (await pending.reply()).error["message"]


# -- calls that wait for the server ----------------------------------------------------------------------------------


async def waiting(scene: Scene) -> tuple[Received, Pending]:
    """A call that the server has, and one that waits until it is answered."""
    scene.begin()
    call = await scene.server.next_call("tools/call")
    behind = scene.begin()
    await until(lambda: len(scene.home.daemon.gateway.services[0].queue) == 1)
    return call, behind


ONE_AT_A_TIME = Row(served, served, fields={"max_in_flight": 1}, limits=Limits(rate_per_s=0, drain_s=20.0))
ROADS = pytest.mark.parametrize(("road", "era"), [("tcp", "session"), ("http", "modern")])


@ROADS
@pytest.mark.parametrize("change", [adjusted(exclude=("echo",)), adjusted(prefix="p_"), reloaded(backends=())])
async def test_one_that_waits_for_what_is_removed_meanwhile_is_not_let_through(
    road: str, era: str, change: Step
) -> None:
    async with staged(ONE_AT_A_TIME, road, era, flow=False) as scene:
        call, behind = await waiting(scene)
        await change(scene)
        call.text("first")
        assert (await behind.reply()).error["message"] == "Unknown tool: `echo`"
        assert scene.server.said("tools/call")[-1] is call


@ROADS
async def test_one_that_waits_goes_where_the_tool_is_now(road: str, era: str) -> None:
    async with staged(ONE_AT_A_TIME, road, era, flow=False) as scene:
        call, behind = await waiting(scene)
        await moved(scene)
        call.text("first")
        (await scene.home.servers[1].next_call("tools/call")).text("second")
        assert (await behind.reply()).text == "second"
        assert scene.server.said("tools/call")[-1] is call


@ROADS
async def test_one_that_waits_keeps_its_place_where_nothing_changes_for_it(road: str, era: str) -> None:
    async with staged(ONE_AT_A_TIME, road, era, flow=False) as scene:
        call, behind = await waiting(scene)
        await scene.adjust(exclude=("other",))
        late = scene.begin()
        call.text("first")
        for number, pending in enumerate((behind, late)):
            (await scene.server.next_call("tools/call")).text(str(number))
            assert (await pending.reply()).text == str(number)


@ROADS
async def test_one_that_waits_and_whose_token_is_revoked_is_not_let_through(road: str, era: str) -> None:
    row = replace(ONE_AT_A_TIME, owners=(owner("a"), owner("b")), token="a")
    async with staged(row, road, era, flow=False) as scene:
        call, behind = await waiting(scene)
        await another_token(scene)
        call.text("first")
        assert "token" in (await behind.reply()).error["message"]
        assert scene.server.said("tools/call")[-1] is call


async def test_a_session_with_a_call_in_the_relay_is_not_idle() -> None:
    async with staged(Row(served, served), "http", "session") as scene:
        pending, call = await held(scene)
        sessions = scene.home.daemon.gateway.sessions
        scene.home.daemon.gateway.relay.publish()
        session = scene.session
        if session.general is not None:
            session.general = None
        sessions._used_s[session.key] = -1e9
        assert sessions._reap() == 0
        assert scene.home.daemon.gateway.relay.native.in_flight == 1
        call.text("not idle")
        assert (await pending.reply()).text == "not idle"
