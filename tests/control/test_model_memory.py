"""Which worker gives way when models need more memory than all of them may have."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control import model_memory
from tidegate.control.model_memory import ModelMemory, Seen, in_turn
from tidegate.events import BackendState, Events

WORKERS = st.lists(
    st.builds(Seen, st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 1000), st.integers(0, 5)),
    max_size=6,
    unique_by=lambda worker: worker.name,
)


@given(st.integers(0, 3000), WORKERS)
def test_who_stays_fits_and_nobody_goes_for_nothing(budget: int, workers: list[Seen]) -> None:
    gone = in_turn(budget, workers)
    by_name = {worker.name: worker for worker in workers}
    left = [worker for worker in workers if worker.name not in gone]
    assert sum(worker.memory_bytes for worker in left) <= budget
    if gone:
        last = by_name[gone[-1]]
        assert sum(worker.memory_bytes for worker in left) + last.memory_bytes > budget
    used = [worker.used_at for worker in left if worker.memory_bytes]
    assert all(by_name[name].used_at <= least for name in gone for least in used)


@dataclass
class Child:
    """A worker by its numbers."""

    name: str
    memory_bytes: int
    busy: bool = False
    requests: int = 0
    ended: list[str] = field(default_factory=list)

    def used_memory_bytes(self) -> int:
        return self.memory_bytes

    def requests_made(self) -> int:
        return self.requests

    def rest(self, cause: str) -> bool:
        if self.busy or not self.memory_bytes:
            return False
        self.memory_bytes = 0
        return True

    def overdrawn(self, how: str) -> None:
        self.ended.append(how)
        self.memory_bytes = 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_memory, "_LOOK_S", 0.01)


async def look(budget: int, *children: Child, until: int = 8) -> None:
    events = Events()
    loop = ModelMemory(events, lambda: children, lambda: budget)
    events.publish(BackendState("any", "shared", "ready", ""))
    for _ in range(until):
        await asyncio.sleep(0.01)
    loop.close()


def test_the_one_used_least_recently_is_stopped() -> None:
    async def main() -> None:
        old, new = Child("old", 60), Child("new", 60)
        events = Events()
        loop = ModelMemory(events, lambda: (old, new), lambda: 150)
        events.publish(BackendState("any", "shared", "ready", ""))
        while new.requests < 10:
            new.requests += 1
            await asyncio.sleep(0.01)
        assert (old.memory_bytes, new.memory_bytes) == (60, 60)
        new.memory_bytes = 100
        while old.memory_bytes:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert new.memory_bytes == 100
        loop.close()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_a_free_one_goes_before_a_busy_one_that_was_used_earlier() -> None:
    busy, free = Child("busy", 60, busy=True), Child("free", 60)
    asyncio.run(look(100, busy, free))
    assert (busy.memory_bytes, free.memory_bytes, busy.ended) == (60, 0, [])


def test_where_all_are_busy_and_stay_so_the_largest_is_ended_and_it_is_said_why() -> None:
    small, large = Child("small", 60 << 20, busy=True), Child("large", 90 << 20, busy=True)
    asyncio.run(look(100 << 20, small, large, until=20))
    assert small.memory_bytes
    assert not small.ended
    (how,) = large.ended
    assert how.startswith("was ended: all models together used 150 MiB of the 100 MiB they may (`memory_bytes`")


def test_within_the_budget_nothing_happens() -> None:
    one, other = Child("one", 40, busy=True), Child("other", 60)
    asyncio.run(look(100, one, other))
    assert (one.memory_bytes, other.memory_bytes) == (40, 60)
