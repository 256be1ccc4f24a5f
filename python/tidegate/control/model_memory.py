"""The memory of all workers of models together: the one that was used least recently gives way.

Each worker keeps below its own bound by itself. Here it is looked at what they have together, while more than one
runs: over the budget, one that nobody uses is stopped; if everybody is busy and that lasts, the largest is ended, since
the box has other things to do. What is stopped starts again when it is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tidegate.events import BackendState, Event, Events

_log = logging.getLogger("tidegate.models")

_LOOK_S: Final = 1.0
_PATIENCE: Final = 3
"""Looks in a row at which nobody could be stopped, before one that is busy is ended."""
_MIB: Final = 1 << 20


class Worker(Protocol):
    """The service of a backend that runs models."""

    @property
    def name(self) -> str: ...

    def used_memory_bytes(self) -> int:
        """Of its running children; 0 while none runs."""

    def requests_made(self) -> int:
        """Over its running children. Another number than before: it was used."""

    def rest(self, cause: str) -> bool:
        """Stops what of it nobody uses now; whether that was anything."""

    def overdrawn(self, how: str) -> None:
        """Ends its children. `how` goes on from the backend's name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One worker at one look."""

    name: str
    memory_bytes: int
    used_at: int
    """The look at which it was last seen to have been used."""


def in_turn(budget_bytes: int, workers: Sequence[Seen]) -> list[str]:
    """Who has to give way, one after the other until the rest fits: the one that was used least recently first, of
    several the largest. Empty while all fit together.
    """
    together = sum(worker.memory_bytes for worker in workers)
    found: list[str] = []
    for worker in _oldest_first(workers):
        if together <= budget_bytes:
            break
        if worker.memory_bytes > 0:
            found.append(worker.name)
            together -= worker.memory_bytes
    return found


def _oldest_first(workers: Sequence[Seen]) -> list[Seen]:
    return sorted(workers, key=lambda one: (one.used_at, -one.memory_bytes, one.name))


class ModelMemory:
    """The loop. It looks only while two workers run."""

    def __init__(
        self, events: Events, workers: Callable[[], Iterable[Worker]], budget_bytes: Callable[[], int]
    ) -> None:
        """`workers`: services of all backends that run models, as they are at that moment."""
        self._workers = workers
        self._budget_bytes = budget_bytes
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._used: dict[str, tuple[int, int]] = {}
        """Requests made, and the look at which that was another number than before; by worker."""
        self._over = 0
        self._events = events
        events.subscribe(self._heard)

    def _heard(self, event: Event) -> None:
        if isinstance(event, BackendState) and self._timer is None and len(self._running()) > 1:
            self._look_later()

    def _running(self) -> list[tuple[Worker, int]]:
        """With the memory of each: it is read from files of the kernel's, once a look."""
        read = [(worker, worker.used_memory_bytes()) for worker in self._workers()]
        return [(worker, used_bytes) for worker, used_bytes in read if used_bytes > 0]

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        found = self._running()
        if len(found) < 2:
            self._used.clear()
            self._over = 0
            return
        self._looks += 1
        running = {worker.name: worker for worker, _ in found}
        seen = [self._seen(worker, used_bytes) for worker, used_bytes in found]
        over = False
        for name in in_turn(self._budget_bytes(), seen):
            # One that is busy stays, and somebody behind it may be free.
            over = not running[name].rest("other models need its memory") or over
        rested = over and any(running[one.name].rest("other models need its memory") for one in _oldest_first(seen))
        self._over = self._over + 1 if over and not rested else 0
        if self._over >= _PATIENCE:
            self._over = 0
            largest = max(seen, key=lambda one: one.memory_bytes)
            together, budget = sum(one.memory_bytes for one in seen) / _MIB, self._budget_bytes() / _MIB
            running[largest.name].overdrawn(
                f"was ended: all models together used {together:.0f} MiB of the {budget:.0f} MiB they may "
                "(`memory_bytes` of `[models]`), and this one most of it"
            )
            _log.warning("model_worker_ended backend=%s cause=memory", largest.name)
        self._look_later()

    def _seen(self, worker: Worker, used_bytes: int) -> Seen:
        made = worker.requests_made()
        before, used_at = self._used.get(worker.name, (-1, 0))
        if made != before:
            used_at = self._looks
        self._used[worker.name] = made, used_at
        return Seen(worker.name, used_bytes, used_at)

    def close(self) -> None:
        self._events.unsubscribe(self._heard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
