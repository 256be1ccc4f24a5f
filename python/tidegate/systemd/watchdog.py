"""When the watchdog may be fed: only after a canary came back, at half the time the manager allows.

Nothing is sent on a timer alone. Each beat asks the canary; its answer is what feeds. While an answer is out, no
further canary is sent and nothing is fed, so a loop that does not turn or a pipeline that does not answer ends in
the manager's timeout. A late answer feeds again: whatever it was is over.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping

from tidegate.clock import Clock

_log = logging.getLogger("tidegate.systemd")


def watchdog_timeout_s(environ: Mapping[str, str], pid: int | None = None) -> float | None:
    """What the manager allows between two feedings, in seconds; None: it does not watch this process.

    As sd_watchdog_enabled(3): `WATCHDOG_PID` names another process, or nobody in particular when it is missing.
    """
    text, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    if whose is not None and whose != str(os.getpid() if pid is None else pid):
        return None
    return int(text) / 1_000_000


class Watchdog:
    """Asks, and feeds on the answer."""

    def __init__(
        self,
        timeout_s: float,
        clock: Clock,
        *,
        ask: Callable[[], None],
        feed: Callable[[], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """`ask` sends a canary, whose way back ends in `answered`; `later` is the loop's `call_later`."""
        self.period_s = timeout_s / 2
        self._clock = clock
        self._ask = ask
        self._feed = feed
        self._later = later
        self._asked_s: float | None = None
        self._ended = False

    def beat(self) -> None:
        """Once a period, beginning with the daemon's readiness."""
        if self._ended:
            return
        self._later(self.period_s, self.beat)
        if self._asked_s is not None:
            waited_s = self._clock.now_s() - self._asked_s
            _log.warning("watchdog_not_fed reason=canary_unanswered for_s=%.1f", waited_s)
            return
        self._asked_s = self._clock.now_s()
        self._ask()

    def answered(self) -> None:
        """The canary is back."""
        if self._asked_s is not None and not self._ended:
            self._asked_s = None
            self._feed()

    def lost(self) -> None:
        """The canary's connection broke: no answer will come, so the next beat asks on a new one."""
        self._asked_s = None

    def close(self) -> None:
        self._ended = True
