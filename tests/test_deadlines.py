"""Many deadlines, one timer."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from tidegate.clock import ManualClock
from tidegate.pipeline.deadlines import Deadlines


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


class Entry:
    def __init__(self, deadline_s: float = inf) -> None:
        self.deadline_s = deadline_s
        self.told: list[float] = []

    def deadline_passed(self, now_s: float) -> None:
        self.told.append(now_s)
        self.deadline_s = inf


def wake_s(deadlines: Deadlines, clock: ManualClock) -> float:
    """When the loop's timer fires, on the manual clock."""
    timer = deadlines._timer
    assert timer is not None
    return clock.now_s() + timer.when() - asyncio.get_running_loop().time()


async def test_entries_without_a_deadline_need_no_timer() -> None:
    deadlines = Deadlines(ManualClock())
    deadlines.watch(Entry())
    assert not deadlines.armed


async def test_the_timer_stands_at_the_earliest_deadline_and_is_not_moved_by_later_ones() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)
    deadlines.watch(Entry(50))
    timer = deadlines._timer
    deadlines.watch(Entry(60))
    deadlines.moved(70)
    assert deadlines._timer is timer
    deadlines.moved(20)
    assert wake_s(deadlines, clock) == pytest.approx(20, abs=1)
    deadlines.stop()


async def test_only_what_is_due_is_told_and_the_timer_is_set_for_the_rest() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)
    early, late = Entry(10), Entry(40)
    deadlines.watch(early)
    deadlines.watch(late)
    clock.advance(10)
    deadlines.expire()
    assert (early.told, late.told) == ([10], [])
    assert wake_s(deadlines, clock) == pytest.approx(40, abs=1)
    deadlines.forget(late)
    deadlines.forget(early)
    assert not deadlines.armed


async def test_deadlines_close_together_are_looked_at_once_a_grain() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock, grain_s=5)
    entries = [Entry(10 + 0.001 * number) for number in range(1000)]
    for entry in entries:
        deadlines.watch(entry)
    clock.advance(10)
    deadlines.expire()
    assert wake_s(deadlines, clock) == pytest.approx(15, abs=1)
    clock.advance(5)
    deadlines.expire()
    assert all(len(entry.told) == 1 for entry in entries)
    assert not deadlines.armed


async def test_an_entry_that_leaves_while_others_are_told_is_not_told() -> None:
    clock = ManualClock(0)
    deadlines = Deadlines(clock)

    class Breaker(Entry):
        def deadline_passed(self, now_s: float) -> None:
            super().deadline_passed(now_s)
            for other in pair:
                deadlines.forget(other)

    pair = (Breaker(1), Breaker(1))
    for entry in pair:
        deadlines.watch(entry)
    clock.advance(1)
    deadlines.expire()
    assert sum(len(entry.told) for entry in pair) == 1
