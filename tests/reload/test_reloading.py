"""The loop of the configuration: one reload at a time, and what becomes of files that cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from heard import within

from tidegate.clock import Clock
from tidegate.config.problems import Problem, config_error
from tidegate.config.read import Reading
from tidegate.config.snapshot import Limits, Snapshot
from tidegate.control.reloading import Outcome, Reloading

pytestmark = pytest.mark.anyio
BAD = Problem("tidegate.toml", 3, "limits.depth", "expected a number")


class Bench:
    """A daemon whose files say what the test wants."""

    def __init__(self) -> None:
        self.reading = Reading(Snapshot())
        self.in_force = Snapshot()
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.managed: list[str] = []
        self.refuses: Exception | None = None
        self.running: list[asyncio.Task[None]] = []
        self.loop = Reloading(["tidegate.toml"], self.read, self, Clock(), self.spawn, self)

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        async def run() -> None:
            await step(*args)

        self.running.append(asyncio.get_running_loop().create_task(run(), name=name))

    async def read(self) -> Reading:
        self.reads += 1
        await self.gate.wait()
        return self.reading

    async def take_up(self, snapshot: Snapshot) -> Mapping[str, object] | None:
        if self.refuses is not None:
            raise self.refuses
        if snapshot == self.in_force:
            return None
        self.in_force = snapshot
        return {"limits": {}}

    def reloading(self) -> None:
        self.managed.append("reloading")

    def reloaded(self, refused: str) -> None:
        self.managed.append(f"reloaded {refused}".strip())

    async def reload(self, cause: str = "SIGHUP") -> Outcome:
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.loop.request(cause, told.set_result)
        return await within(told)


async def test_what_was_read_is_in_force_when_it_is_told() -> None:
    bench = Bench()
    bench.reading = Reading(Snapshot(limits=Limits(depth=9)))
    outcome = await bench.reload()
    assert (outcome.result, outcome.generation, outcome.cause, outcome.error) == ("applied", 2, "SIGHUP", None)
    assert bench.in_force.limits.depth == 9
    assert bench.managed == ["reloading", "reloaded"]
    assert (await bench.reload()).result == "unchanged"
    assert bench.loop.generation == 2


async def test_files_that_cannot_be_used_change_nothing_and_say_where(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.reading = Reading(None, (BAD,))
    outcome = await bench.reload()
    assert (outcome.result, outcome.generation) == ("refused", 1)
    assert outcome.fields()["problems"] == [
        {"file": "tidegate.toml", "line": 3, "key": "limits.depth", "message": "expected a number"}
    ]
    where = "tidegate.toml:3: limits.depth: expected a number"
    assert outcome.error == where
    assert bench.managed == ["reloading", f"reloaded {where}"]
    assert where in caplog.text
    last = bench.loop.statistics()["last_reload"]
    assert isinstance(last, dict)
    assert last["error"] == where
    bench.reading = Reading(Snapshot(limits=Limits(depth=9)))
    assert (await bench.reload()).result == "applied"
    assert bench.managed[-1] == "reloaded"


async def test_what_the_daemon_refuses_and_what_goes_wrong_in_it_are_told_too() -> None:
    bench = Bench()
    bench.reading = Reading(Snapshot(limits=Limits(depth=9)))
    bench.refuses = config_error([BAD])
    assert (await bench.reload()).problems == (BAD,)
    bench.refuses = RuntimeError("oh")
    outcome = await bench.reload()
    assert outcome.result == "refused"
    assert "RuntimeError: oh" in str(outcome.error)
    bench.refuses = None
    assert (await bench.reload()).result == "applied"


async def test_all_that_is_asked_for_during_a_reload_is_one_more() -> None:
    bench = Bench()
    bench.gate.clear()
    outcomes: list[Outcome] = []
    bench.loop.request("first", outcomes.append)
    await within(until(lambda: bench.reads == 1))
    for _ in range(50):
        bench.loop.request("SIGHUP", outcomes.append)
    bench.loop.request("a changed file", outcomes.append)
    # What is read from now on must count: the files may have changed since the first reading began.
    bench.reading = Reading(Snapshot(limits=Limits(depth=9)))
    bench.gate.set()
    await within(until(lambda: len(outcomes) == 52))
    assert bench.reads == 2
    assert [outcome.cause for outcome in outcomes[:2]] == ["first", "SIGHUP, a changed file"]


async def test_one_who_cannot_be_told_costs_the_others_nothing() -> None:
    bench = Bench()

    def fail(outcome: Outcome) -> None:
        raise RuntimeError("gone")

    bench.loop.request("first", fail)
    assert (await bench.reload()).result == "unchanged"


async def test_a_closed_loop_begins_nothing() -> None:
    bench = Bench()
    bench.loop.close()
    bench.loop.request("SIGHUP")
    assert bench.running == []


async def test_a_changed_file_reloads_by_itself_a_bad_one_once(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    bench = Bench()
    bench.loop.files = (str(path),)
    bench.loop.watch((), {})
    try:
        bench.reading = Reading(None, (BAD,))
        path.write_text("two", encoding="utf-8")
        await within(until(lambda: bench.loop.last is not None))
        assert bench.loop.last is not None
        assert bench.loop.last.cause == "a changed file"
        bench.reading = Reading(Snapshot(limits=Limits(depth=9)))
        path.write_text("three", encoding="utf-8")
        await within(until(lambda: bench.loop.generation == 2))
        assert bench.reads == 2
    finally:
        bench.loop.close()


async def test_a_secret_that_was_missing_is_watched_for(tmp_path: Path) -> None:
    path, secret = tmp_path / "tidegate.toml", tmp_path / "token"
    path.write_text("one", encoding="utf-8")
    bench = Bench()
    bench.loop.files = (str(path),)
    bench.loop.watch((), {})
    try:
        bench.reading = Reading(None, (BAD,), (str(secret),))
        assert (await bench.reload()).result == "refused"
        bench.reading = Reading(Snapshot(limits=Limits(depth=9)), (), (str(secret),))
        secret.write_text("s3cret", encoding="utf-8")
        await within(until(lambda: bench.loop.generation == 2))
    finally:
        bench.loop.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  bounded by whoever waits
        await asyncio.sleep(0.005)
