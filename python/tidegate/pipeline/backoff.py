"""The one back-off: exponential, capped, with jitter so that a fleet does not knock in step."""

from __future__ import annotations

import random


class Backoff:
    """Delays between attempts; `reset` after a success."""

    __slots__ = ("_attempt", "_first_s", "_most_s")

    def __init__(self, first_s: float = 0.5, most_s: float = 30.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._attempt = 0

    @property
    def attempt(self) -> int:
        """Failures since the last success."""
        return self._attempt

    def next_s(self) -> float:
        """Seconds to wait before the next attempt: half to all of the exponential delay."""
        delay_s = min(self._most_s, self._first_s * 2.0 ** min(self._attempt, 16))
        self._attempt += 1
        return delay_s * random.uniform(0.5, 1.0)  # noqa: S311  spreads load, hides nothing

    def reset(self) -> None:
        self._attempt = 0
