"""The one token bucket: so many a second, so many at once."""

from __future__ import annotations

from tidegate.clock import Clock
from tidegate.pipeline.codec import Bucket


class TokenBucket:
    """Refilled by elapsed time, not by a timer. `rate_per_s` 0 never runs out."""

    __slots__ = ("_clock", "state")

    def __init__(self, clock: Clock, rate_per_s: float, burst: int) -> None:
        self._clock = clock
        self.state = Bucket(rate_per_s, burst, clock.now_s())
        """Shared with the relay, which takes from it by itself."""

    def take_nowait(self) -> bool:
        """One token, if there is one."""
        return self.state.take(self._clock.now_s())

    def spend(self, tokens: float) -> float:
        """As many tokens, whether or not there are as many. Seconds until what is missing has come; 0 for nothing."""
        return self.state.spend(tokens, self._clock.now_s())

    def wait_s(self) -> float:
        """Seconds until the next token."""
        return self.state.wait_s()
