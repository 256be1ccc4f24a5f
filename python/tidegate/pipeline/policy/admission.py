"""How much is let in: requests per second of each caller, requests in flight of each and of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import Overloaded, RateLimited
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.token_bucket import TokenBucket


class RelayedCount(Protocol):
    """The relay, as admission sees it."""

    @property
    def in_flight(self) -> int:
        """Calls that it let in by itself, under the same bounds."""


class Admission:
    """Counts what is in flight; every `enter` is matched by one `leave`."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self.in_flight = 0
        """Without the relay's own."""
        self.relay: RelayedCount | None = None
        self._idle: asyncio.Event | None = None

    def take_up(self, limits: Limits, afresh: Iterable[Principal]) -> None:
        """Other bounds from now on. Callers of `afresh` have other rates, and start with a full bucket."""
        self._limits = limits
        for principal in afresh:
            self._buckets.pop(principal.key, None)

    def enter(self, principal: Principal) -> None:
        """Raises: RateLimited, Overloaded."""
        self.pass_rate(principal)
        relayed = self.relay.in_flight if self.relay is not None else 0
        if self.in_flight + relayed >= self._limits.in_flight:
            raise Overloaded(f"the gateway has {self._limits.in_flight} requests in flight, its limit")
        self.in_flight += 1

    def pass_rate(self, principal: Principal) -> None:
        """Raises: RateLimited."""
        bucket = self.bucket_of(principal)
        if not bucket.take_nowait():
            raise RateLimited(
                f"more than {principal.rate_per_s:g} requests a second; "
                f"the next one is welcome in {bucket.wait_s():.2f} s"
            )

    def bucket_of(self, principal: Principal) -> TokenBucket:
        bucket = self._buckets.get(principal.key)
        if bucket is None:
            bucket = self._buckets[principal.key] = TokenBucket(self._clock, principal.rate_per_s, principal.burst)
        return bucket

    def resume(self) -> None:
        """As `enter`, for a call that the relay let in."""
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1
        if self._idle is not None and self.in_flight == 0:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Until nothing is in flight."""
        self._idle = asyncio.Event()
        if self.in_flight:
            await self._idle.wait()
