"""What a burst needed is given back, once, after a pause."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.control import heap

pytestmark = pytest.mark.anyio


def resident_kib() -> int:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * 4


async def test_memory_that_lies_free_below_other_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_PAUSE_S", 0.05)
    burst = [bytes(3000) for _ in range(30_000)]
    stays = bytes(3000)
    del burst
    before = resident_kib()
    one = heap.Heap()
    one.trim_soon()
    one.trim_soon()
    await asyncio.sleep(0.1)
    assert resident_kib() < before - 40_000
    assert len(stays) == 3000


async def test_one_that_has_given_back_does_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_PAUSE_S", 0.0)
    calls: list[int] = []
    one = heap.Heap()
    one._trim = calls.append
    for number in range(3):
        one.trim_soon()
        one.trim_soon()
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(calls) == number + 1
