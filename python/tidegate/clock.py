"""The one clock: monotonic seconds for deadlines, wall time for people.

Everything that waits or measures takes a `Clock`, so tests can turn time by hand.
"""

from __future__ import annotations

import time


class Clock:
    """Real time."""

    __slots__ = ()

    def now_s(self) -> float:
        """Monotonic seconds; only differences mean anything."""
        return time.monotonic()

    def wall_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class ManualClock(Clock):
    """A clock that stands still until `advance`d."""

    __slots__ = ("_now_s",)

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def wall_s(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds
