"""The one token bucket: so many a second, so many at once."""

from __future__ import annotations

from tidegate.clock import Clock


class TokenBucket:
    """Refilled by elapsed time, not by a timer. `rate_per_s` 0 never runs out."""

    __slots__ = ("_burst", "_clock", "_rate_per_s", "_stamp_s", "_tokens")

    def __init__(self, clock: Clock, rate_per_s: float, burst: int) -> None:
        self._clock = clock
        self._rate_per_s = rate_per_s
        self._burst = float(max(1, burst))
        self._tokens = self._burst
        self._stamp_s = clock.now_s()

    def take_nowait(self) -> bool:
        """One token, if there is one."""
        if self._rate_per_s <= 0:
            return True
        now_s = self._clock.now_s()
        tokens = min(self._burst, self._tokens + (now_s - self._stamp_s) * self._rate_per_s)
        self._stamp_s = now_s
        if tokens < 1.0:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True

    def spend(self, tokens: float) -> float:
        """As many tokens, whether or not there are as many. Seconds until what is missing has come; 0 for nothing."""
        if self._rate_per_s <= 0:
            return 0.0
        now_s = self._clock.now_s()
        self._tokens = min(self._burst, self._tokens + (now_s - self._stamp_s) * self._rate_per_s) - tokens
        self._stamp_s = now_s
        return max(0.0, -self._tokens / self._rate_per_s)

    def wait_s(self) -> float:
        """Seconds until the next token."""
        return 0.0 if self._rate_per_s <= 0 else max(0.0, (1.0 - self._tokens) / self._rate_per_s)
