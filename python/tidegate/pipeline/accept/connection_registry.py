"""The connections that are open, how many there may be, and the deadlines they share.

One registry a listener or one for all of them: the bound holds for what shares it. Listeners make it, protocols
enter and leave it, shutdown walks it.
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

    __slots__ = ("_open", "_refused", "deadlines", "draining", "limit", "refused_total", "served_total")

    def __init__(self, limit: int, clock: Clock) -> None:
        self.limit = limit
        self.deadlines = Deadlines(clock)
        self.draining = False
        """No connection is kept alive any more."""
        self.served_total = 0
        self.refused_total = 0
        self._open: set[Connection] = set()
        self._refused: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """False: the bound is reached or the gateway is closing; see `admit_refused`."""
        if self.draining or len(self._open) >= self.limit:
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

    def drain(self) -> None:
        """Stops keeping connections alive: idle ones close now, busy ones after their response."""
        self.draining = True
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
