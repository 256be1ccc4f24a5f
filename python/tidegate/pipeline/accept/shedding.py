"""What is refused for want of room, counted, and said in the log once in a while instead of each time."""

from __future__ import annotations

import logging
from typing import Final

from tidegate.clock import Clock

_SAID_EVERY_S: Final = 30.0
_RECENT_S: Final = 60.0

_log = logging.getLogger("tidegate.accept")


class Shedding:
    """Refusals of one kind of thing, whatever the reason."""

    __slots__ = ("_clock", "_last_s", "_said_s", "_silent", "_unsaid", "_what", "total", "why")

    def __init__(self, clock: Clock, what: str, *, silent: bool = False) -> None:
        """`what` is refused: a plural noun. `silent`: only counted, another one says it."""
        self._silent = silent
        self._clock = clock
        self._what = what
        self._last_s = self._said_s = float("-inf")
        self._unsaid = 0
        self.total = 0
        self.why = ""
        """Of the last one, in words."""

    def refuse(self, why: str) -> None:
        now_s = self._clock.now_s()
        self.total += 1
        self._unsaid += 1
        if self._silent:
            pass
        elif why != self.why or now_s - self._said_s >= _SAID_EVERY_S:
            _log.warning("refused what=%s count=%d why=%s", self._what, self._unsaid, why)
            self._said_s, self._unsaid = now_s, 0
        self._last_s, self.why = now_s, why

    @property
    def recent(self) -> str | None:
        """Why something was refused within the last minute, if it was."""
        return self.why if self._clock.now_s() - self._last_s < _RECENT_S else None
