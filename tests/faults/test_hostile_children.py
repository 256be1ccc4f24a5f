"""Child processes that go wrong in every way: others notice nothing, callers hear why at once, nothing is left."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from children_house import (
    HOSTILE,
    carriers,
    descriptors,
    hostile,
    keepers,
    link_of,
    mark_of,
    misbehave,
    of_daemon,
    slots_of,
    until,
    until_answers,
    until_gone,
)
from two_backends import TwoBackends

pytestmark = pytest.mark.anyio

ENDS = {
    "forks-dies": r"exited with status 3",
    "half-line": r"exited with status 9 in the middle of a message; it last said: last wor$",
    "closes-stdout": r"closed its output",
    "heir": r"exited with status 5",
}
"""What the caller is told whose call was in flight."""


@pytest.fixture(scope="module")
async def home() -> AsyncIterator[TwoBackends]:
    async with hostile(*(name for name in HOSTILE if name not in ("grows", "burns"))) as home:
        yield home


async def started(home: TwoBackends, name: str) -> tuple[int, bytes]:
    """The child's pid and mark, once it has answered."""
    await until_answers(home, name)
    pid = (await link_of(home, name))["pid"]
    return pid, mark_of(pid)


@pytest.mark.parametrize("name", ENDS)
async def test_a_call_in_flight_fails_at_once_with_the_cause_and_the_child_comes_back(
    home: TwoBackends, name: str
) -> None:
    pid, mark = await started(home, name)
    async with home.others_answered():
        reply = await misbehave(home, name)
        if "result" in reply.message:  # It answered before it went.
            assert reply.text == "200"
        else:
            error = str(reply.error["message"])
            assert f"backend `{name}` " in error
            assert re.search(ENDS[name], error), error
        await until_gone(mark)
        again, other_mark = await started(home, name)
    assert again != pid
    assert other_mark != mark


async def test_a_child_that_exits_after_fifty_calls_is_there_for_the_next_ones(home: TwoBackends) -> None:
    _, mark = await started(home, "exits-50")
    async with home.others_answered():
        replies = [await home.listener.tool("exits-50__echo").reply() for _ in range(120)]
    failed = [str(reply.error["message"]) for reply in replies if "error" in reply.message]
    assert len(failed) == 2
    assert all("exited with status 7" in error for error in failed)
    await until_gone(mark)


async def test_a_child_that_exits_at_once_costs_its_callers_an_error_that_has_its_last_words(home: TwoBackends) -> None:
    async with home.others_answered():
        reply = await home.listener.tool("exits__echo").reply()
        assert "error" in reply.message


@pytest.mark.parametrize("name", ["hangs", "stops"])
async def test_a_child_that_hangs_costs_its_callers_their_deadline_and_leaves_nothing(
    home: TwoBackends, name: str
) -> None:
    pid, mark = await started(home, name)
    async with home.others_answered():
        reply = await misbehave(home, name)
        assert "did not answer" in reply.error["message"]
        os.kill(pid, signal.SIGKILL)
        await until_gone(mark)
        await until_answers(home, name)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("floods")])
async def test_a_flood_on_stdout_slows_down_nobody_but_the_child(home: TwoBackends, name: str) -> None:
    pid, mark = await started(home, name)
    async with home.others_answered():
        reply = await misbehave(home, name)
        assert re.search("did not answer|a message over [0-9]+ bytes", reply.error["message"])
        while not (await link_of(home, name))["slowed_down"]:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        await until_gone(mark)
        await until_answers(home, name)


@pytest.mark.parametrize("name", ["noisy", "noisy-endless"])
async def test_a_flood_on_stderr_slows_down_nobody_but_the_child(home: TwoBackends, name: str) -> None:
    pid, mark = await started(home, name)
    async with home.others_answered():
        assert (await misbehave(home, name)).text == "flooding"
        await until_answers(home, name)
        while not (lines := (await link_of(home, name))["stderr"]):  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.05)
        assert all("all is well".startswith(line) or set(line) == {"x"} for line in lines), lines
        assert all(len(line) <= 500 for line in lines)
        os.kill(pid, signal.SIGKILL)
        await until_gone(mark)


async def test_nothing_is_left_of_a_child_that_multiplied_in_every_way(home: TwoBackends) -> None:
    pid, mark = await started(home, "forks")
    async with home.others_answered():
        assert (await misbehave(home, "forks")).text == "200"
        await until(lambda: len(carriers(mark)) == 201, "they have multiplied")
        os.kill(pid, signal.SIGKILL)
        await until_gone(mark)
        await until_answers(home, "forks")


async def test_nothing_is_left_of_processes_that_replace_themselves_in_new_sessions(home: TwoBackends) -> None:
    pid, mark = await started(home, "forks-on")
    async with home.others_answered():
        assert (await misbehave(home, "forks-on")).text == "running"
        os.kill(pid, signal.SIGKILL)
        await until_gone(mark)


async def test_a_child_that_reads_no_more_is_started_again(home: TwoBackends) -> None:
    _, mark = await started(home, "closes-stdin")
    assert (await misbehave(home, "closes-stdin")).text == "closing"
    async with home.others_answered():
        reply = await home.listener.tool("closes-stdin__echo").reply()
        if "error" in reply.message:
            assert "closed its input" in reply.error["message"]
        await until_gone(mark)
        await until_answers(home, "closes-stdin")


async def test_a_child_has_its_three_descriptors_and_no_other(home: TwoBackends) -> None:
    await until_answers(home, "shows")
    assert (await misbehave(home, "shows")).text == "0 1 2"


async def test_the_keeper_has_its_pipe_and_no_other_descriptor(home: TwoBackends) -> None:
    pid, _ = await started(home, "shows")
    (keeper,) = keepers(home.process.pid)
    held = descriptors(keeper)
    pipe = held["0"]
    assert held == {"0": pipe, "1": "/dev/null", "2": "/dev/null"}
    # Whoever held the daemon's end would keep the keeper from hearing of the daemon's death.
    assert pipe not in descriptors(pid).values()
    assert pipe in descriptors(home.process.pid).values()


async def test_a_keeper_that_is_killed_is_replaced(home: TwoBackends) -> None:
    await started(home, "shows")
    (keeper,) = keepers(home.process.pid)
    os.kill(keeper, signal.SIGKILL)
    await until(lambda: keepers(home.process.pid) not in ([], [keeper]), "there is a new keeper")


async def test_no_descriptor_is_lost_over_children_that_come_and_go(home: TwoBackends) -> None:
    def open_files() -> int:
        return len(descriptors(home.process.pid))

    await started(home, "half-line")
    before = open_files()
    for _ in range(4):
        _, mark = await started(home, "half-line")
        await misbehave(home, "half-line")
        await until_gone(mark)
        await until_answers(home, "half-line")
    await until(lambda: open_files() <= before, "as many descriptors as before")


async def test_sigterm_of_the_daemon_ends_every_kind_of_child_and_the_keeper() -> None:
    names = ("stubborn", "forks", "stops", "hangs", "floods-notices", "noisy")
    async with hostile(*names) as home:
        for name in names:
            await until_answers(home, name)
        for name in names[1:]:
            home.listener.tool(f"{name}__misbehave")
        daemon = home.process.pid
        await until(lambda: len(of_daemon(daemon)) >= 200, "they have multiplied")
        home.process.terminate()
        await asyncio.wait_for(home.process.wait(), 25)
        assert of_daemon(daemon) == []
        assert keepers(daemon) == []


async def test_sigkill_of_the_daemon_under_load_leaves_no_process_and_a_restart_works() -> None:
    names = ("stubborn", "forks", "forks-on", "forks-dies", "floods-notices", "heir", "shows")
    async with hostile(*names) as home:
        for name in names:
            await until_answers(home, name)
        for name in names:
            home.listener.tool(f"{name}__misbehave")
        daemon = home.process.pid
        await until(lambda: len(of_daemon(daemon)) >= 200, "they have multiplied")
        home.process.kill()
        await home.process.wait()
        await until(lambda: not of_daemon(daemon), "no process of its children is left")
        await until(lambda: not keepers(daemon), "the keeper is gone, too")
    async with hostile("shows") as home:
        await until_answers(home, "shows")


async def test_sigkill_of_the_daemon_leaves_no_process_where_the_kernel_does_not_end_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # There is no `setpriv` to be found.
    async with hostile("stubborn", "forks") as home:
        await until_answers(home, "stubborn")
        assert (await misbehave(home, "forks")).text == "200"
        home.process.kill()
        await home.process.wait()
        await until(lambda: not of_daemon(home.process.pid), "no process of its children is left")
        await until(lambda: not keepers(home.process.pid), "the keeper is gone, too")


async def test_the_last_words_are_in_the_status_after_a_child_is_gone(home: TwoBackends) -> None:
    await home.listener.tool("exits__echo").reply()
    slots = await slots_of(home, "exits")
    assert any("no token is set" in str(slot["error"]) for slot in slots)
