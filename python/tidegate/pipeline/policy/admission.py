"""How much is let in: requests per second of each caller, requests in flight of each and of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import Overloaded, RateLimited
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.token_bucket import TokenBucket


class Admission:
    """Counts what is in flight; every `enter` is matched by one `leave`."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self.in_flight = 0
        self._idle: asyncio.Event | None = None

    def take_up(self, limits: Limits, afresh: Iterable[Principal]) -> None:
        """Other bounds from now on. Callers of `afresh` have other rates, and start with a full bucket."""
        self._limits = limits
        for principal in afresh:
            self._buckets.pop(principal.key, None)

    def enter(self, principal: Principal) -> None:
        """Raises: RateLimited, Overloaded."""
        self.pass_rate(principal)
        if self.in_flight >= self._limits.in_flight:
            raise Overloaded(f"the gateway has {self._limits.in_flight} requests in flight, its limit")
        self.in_flight += 1

    def pass_rate(self, principal: Principal) -> None:
        """Raises: RateLimited."""
        bucket = self._buckets.get(principal.key)
        if bucket is None:
            bucket = self._buckets[principal.key] = TokenBucket(self._clock, principal.rate_per_s, principal.burst)
        if not bucket.take_nowait():
            raise RateLimited(
                f"more than {principal.rate_per_s:g} requests a second; "
                f"the next one is welcome in {bucket.wait_s():.2f} s"
            )

    def leave(self) -> None:
        self.in_flight -= 1
        if self._idle is not None and self.in_flight == 0:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Until nothing is in flight."""
        self._idle = asyncio.Event()
        if self.in_flight:
            await self._idle.wait()
