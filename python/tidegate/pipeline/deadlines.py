"""Many deadlines, one timer of the event loop.

A connection or call moves its deadline at every request; a loop timer for each move would cost more than the
request. So an owner keeps its deadline in an attribute, and a `Deadlines` set has at most one timer, at the
earliest deadline it was told of. When the timer fires it looks at every entry: what is due is told so, and the
timer is set again for the earliest that is left. No entries, no timer, or a last one that finds nothing.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol

from tidegate.clock import Clock


class Expiring(Protocol):
    """Something with a deadline. Hashable by identity."""

    @property
    def deadline_s(self) -> float:
        """On the `Clock` of the set; `inf` for none at the moment."""

    def deadline_passed(self, now_s: float) -> None:
        """Called at or after `deadline_s`; moves its deadline or leaves the set."""


class Deadlines:
    """A set of `Expiring` entries. Needs a running event loop from the first `watch` on."""

    __slots__ = ("_clock", "_entries", "_grain_s", "_lingers", "_timer", "_wake_s")

    def __init__(self, clock: Clock, grain_s: float = 1.0, *, lingers: bool = False) -> None:
        """`grain_s`: least time between two looks at all entries; how late a deadline may be noticed.

        `lingers`: the timer of the last entry stays when that is gone, and finds nothing: for entries that come
        and go far more often than they are due.
        """
        self._lingers = lingers
        self._clock = clock
        self._grain_s = grain_s
        self._entries: set[Expiring] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_s = inf

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def armed(self) -> bool:
        """Whether a loop timer exists."""
        return self._timer is not None

    def watch(self, entry: Expiring) -> None:
        self._entries.add(entry)
        if entry.deadline_s < self._wake_s:
            self._arm(entry.deadline_s)

    def forget(self, entry: Expiring) -> None:
        self._entries.discard(entry)
        if not self._entries and not self._lingers:
            self.stop()

    def moved(self, deadline_s: float) -> None:
        """An entry now has this deadline. Only a nearer one than the timer's does anything."""
        if deadline_s < self._wake_s:
            self._arm(deadline_s)

    def expire(self) -> None:
        """Tells every entry that is due, then sets the timer for the rest."""
        now_s = self._clock.now_s()
        for entry in [entry for entry in self._entries if entry.deadline_s <= now_s]:
            if entry in self._entries and entry.deadline_s <= now_s:
                entry.deadline_passed(now_s)
        earliest_s = min((entry.deadline_s for entry in self._entries), default=inf)
        self.stop()
        if earliest_s < inf:
            self._arm(max(earliest_s, now_s + self._grain_s))

    def stop(self) -> None:
        """Takes the timer away; entries stay, unwatched until the next `watch` or `moved`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake_s = inf

    def _arm(self, wake_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake_s = wake_s
        delay_s = max(0.0, wake_s - self._clock.now_s())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.expire)
