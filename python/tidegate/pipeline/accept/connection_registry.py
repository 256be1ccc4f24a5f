"""The connections that are open, how many there may be, and the deadlines they share.

The bound holds for what shares a registry. Each listener has one of its own `within` that of all, so that it can be
taken away alone. Listeners make it, protocols enter and leave it, shutdown walks it.
"""

from __future__ import annotations

from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.pipeline.deadlines import Deadlines

REFUSED_MAX: Final = 32
"""Connections over the bound that are kept open long enough to read their 503; any more are cut at once."""


class Connection(Protocol):
    """What the registry asks of a connection."""

    def drain(self) -> None:
        """Close as soon as nothing is in service."""

    def abort(self) -> None:
        """Close now."""


class ConnectionRegistry:
    """Bounded set of connections."""

    __slots__ = ("_draining", "_open", "_refused", "_within", "deadlines", "limit", "refused_total", "served_total")

    def __init__(self, limit: int, clock: Clock, within: ConnectionRegistry | None = None) -> None:
        """`within`: a larger one. Its bound holds for the connections of this one, too, its deadlines are theirs."""
        self.limit = limit
        self.deadlines: Deadlines = Deadlines(clock) if within is None else within.deadlines
        self._within = within
        self._draining = False
        self.served_total = 0
        self.refused_total = 0
        self._open: set[Connection] = set()
        self._refused: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def draining(self) -> bool:
        """No connection is kept alive any more."""
        return self._draining or (self._within is not None and self._within.draining)

    def admit(self, connection: Connection) -> bool:
        """False: the bound is reached or the gateway is closing; see `admit_refused`."""
        full = self._draining or len(self._open) >= self.limit
        if full or (self._within is not None and not self._within.admit(connection)):
            self.refused_total += 1
            return False
        self.served_total += 1
        self._open.add(connection)
        return True

    def admit_refused(self, connection: Connection) -> bool:
        """Room for a refused connection to read its refusal. False: cut it."""
        if len(self._refused) >= REFUSED_MAX:
            return False
        self._refused.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._refused.discard(connection)
        if self._within is not None:
            self._within.leave(connection)

    def drain(self) -> None:
        """Stops keeping connections alive: idle ones close now, busy ones after their response."""
        self._draining = True
        for connection in list(self._open):
            connection.drain()

    def abort(self) -> None:
        """Cuts whatever is left."""
        for connection in [*self._open, *self._refused]:
            connection.abort()

    def statistics(self) -> dict[str, int]:
        return {
            "open": len(self._open),
            "limit": self.limit,
            "served_total": self.served_total,
            "refused_total": self.refused_total,
            "refused_open": len(self._refused),
        }
