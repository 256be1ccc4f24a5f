"""Calls of session servers that wait for a stateless client to come back with answers.

Each holds a request open at a server, so they are bounded: in number, by client and in total, in time, and in
the bytes of results that arrived while nobody waited. What is in here belongs to no connection: a client may
come back over another one.
"""

from __future__ import annotations

import secrets
from math import inf
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import InvalidParams, Overloaded
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.era.bridge.state_seal import StateSeal
from tidegate.pipeline.exchange import Exchange

_NO_CALL: Final = bytes(16)
_KEPT_RESULTS: Final = 4
"""Results, and questions, of the largest size that may wait for their clients."""


class Suspended(Protocol):
    """A call, as the table sees it. Hashable by identity."""

    key: bytes
    """Random, 16 bytes; empty until the call was suspended for the first time."""
    principal: str
    request: bytes
    """Digest of the request it answers."""
    deadline_s: float

    @property
    def held_bytes(self) -> int:
        """Of the questions that it keeps to ask again."""

    def deadline_passed(self, now_s: float) -> None: ...

    def resume(self, exchange: Exchange, responses: dict[str, bytes]) -> None: ...


class SuspendedCalls:
    """Every call that was suspended and has not ended, by its key."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._seal = StateSeal()
        self._calls: dict[bytes, Suspended] = {}
        self._deadlines = Deadlines(clock)
        self._kept_bytes = 0

    def take_up(self, limits: Limits) -> None:
        """Other bounds from now on. Calls that wait already keep their deadlines."""
        self._limits = limits

    @property
    def most_bytes(self) -> int:
        """Of the questions of one call: they go into one result."""
        return self._limits.result_bytes

    @property
    def depth(self) -> int:
        """Deepest nesting of a message."""
        return self._limits.depth

    def __len__(self) -> int:
        return len(self._calls)

    def suspend(self, call: Suspended) -> str:
        """Starts its deadline; the `requestState` to give out. Raises: Overloaded."""
        others = sum(other.held_bytes for other in self._calls.values() if other is not call)
        if others + call.held_bytes > _KEPT_RESULTS * self._limits.result_bytes:
            raise Overloaded("what servers ask clients takes all the memory that the gateway has for it")
        if not call.key:
            self._make_room(call.principal)
            call.key = secrets.token_bytes(16)
            self._calls[call.key] = call
        call.deadline_s = self._clock.now_s() + self._limits.suspended_s
        self._deadlines.watch(call)
        return self._seal.issue(call.key, call.principal, call.request, call.deadline_s)

    def _make_room(self, principal: str) -> None:
        """The call of this client that waits longest gives way to a new one: most clients that do not come back
        at once never do. Raises: Overloaded, when none of its calls waits and others take all the room.
        """
        mine = [call for call in self._calls.values() if call.principal == principal]
        if len(mine) < self._limits.suspended_per_client and len(self._calls) < self._limits.suspended:
            return
        waiting = [call for call in mine if call.deadline_s < inf]
        if not waiting:
            raise Overloaded(f"{len(self._calls)} calls wait for answers of clients, the limit of the gateway")
        min(waiting, key=lambda call: call.deadline_s).deadline_passed(self._clock.now_s())

    def issue_again(self, principal: str, request: bytes) -> str:
        """A state that no call stands behind: whoever comes back with it has the request sent again."""
        return self._seal.issue(_NO_CALL, principal, request, self._clock.now_s() + self._limits.suspended_s)

    def issued(self, state: str) -> bool:
        """Whether it looks like one of ours. `find` tells whether it is."""
        return self._seal.issued(state)

    def find(self, state: str, principal: str, request: bytes) -> Suspended | None:
        """The call that a retry belongs to; None for a request that is to be sent again.

        Raises: InvalidParams, in words for whoever comes too late.
        """
        key = self._seal.open(state, principal, request, self._clock.now_s())
        if key == _NO_CALL:
            return None
        call = self._calls.get(key)
        if call is None:
            raise InvalidParams(
                "the call that `requestState` stands for has ended, each state is good for one answer; "
                "send the request again without `requestState` and `inputResponses`"
            )
        return call

    def resumed(self, call: Suspended) -> None:
        """Somebody waits for it again: no deadline of the table's."""
        call.deadline_s = inf
        self._deadlines.forget(call)

    def ended(self, call: Suspended) -> None:
        if self._calls.pop(call.key, None) is not None:
            self._deadlines.forget(call)

    def keep(self, size_bytes: int) -> bool:
        """Whether a result of this size may wait for its client. Give the bytes back by `release`."""
        if self._kept_bytes + size_bytes > _KEPT_RESULTS * self._limits.result_bytes:
            return False
        self._kept_bytes += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        self._kept_bytes -= size_bytes

    def close(self) -> None:
        self._deadlines.stop()
        self._calls.clear()
