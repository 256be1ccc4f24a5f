"""Waiting for things that were said, bounded and without sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Json = Any
"""A parsed JSON value."""

BOUND_S = 10.0
"""No single wait of a test may take longer, on however busy a machine."""


async def within(waited: Awaitable[Result]) -> Result:
    """The result of `waited`. Raises: TimeoutError."""
    async with asyncio.timeout(BOUND_S):
        return await waited


async def until(true: Callable[[], bool]) -> None:
    """Raises: AssertionError, when that is not so within 10 s."""
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


class Heard(Generic[Item]):
    """What was said so far, in order; more may be waited for."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._waiting: list[tuple[Callable[[Item], bool], asyncio.Future[Item]]] = []

    def add(self, item: Item) -> None:
        self.items.append(item)
        for entry in list(self._waiting):
            accepts, future = entry
            if accepts(item):
                self._waiting.remove(entry)
                if not future.done():
                    future.set_result(item)

    async def wait(self, accepts: Callable[[Item], bool], *, skip: int = 0) -> Item:
        """The first item, said before or after now, that is accepted; `skip` leaves out the oldest ones."""
        for item in self.items[skip:]:
            if accepts(item):
                return item
        future: asyncio.Future[Item] = asyncio.get_running_loop().create_future()
        self._waiting.append((accepts, future))
        return await within(future)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
