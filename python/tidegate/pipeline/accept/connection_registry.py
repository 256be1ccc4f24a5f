"""The connections that are open, how many there may be, and the deadlines they share.

The bound holds for what shares a registry. Each listener has one of its own `within` that of all, so that it can be
taken away alone. Listeners make it, protocols enter and leave it, shutdown walks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.pipeline.accept.descriptors import few_left, limit
from tidegate.pipeline.accept.shedding import Shedding
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

    __slots__ = (
        "_draining",
        "_for_operators",
        "_open",
        "_refused",
        "_shed",
        "_within",
        "deadlines",
        "limit",
        "on_leave",
        "served_total",
        "shed_messages",
    )

    def __init__(
        self, limit: int, clock: Clock, within: ConnectionRegistry | None = None, *, for_operators: bool = False
    ) -> None:
        """`within`: a larger one. Its bound holds for the connections of this one, too, its deadlines are theirs.

        `for_operators`: they may have the descriptors that are kept from clients.
        """
        self.limit = limit
        self.deadlines: Deadlines = Deadlines(clock) if within is None else within.deadlines
        self._within = within
        self._draining = False
        self.served_total = 0
        self._for_operators = for_operators
        self.on_leave: Callable[[], None] | None = None
        """Told of every connection that ends."""
        self._shed = Shedding(clock, "connections", silent=within is not None)
        self.shed_messages: Shedding = Shedding(clock, "messages") if within is None else within.shed_messages
        self._open: set[Connection] = set()
        self._refused: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def draining(self) -> bool:
        """No connection is kept alive any more."""
        return self._draining or (self._within is not None and self._within.draining)

    def admit(self, connection: Connection, descriptor: int = -1) -> bool:
        """False: there is no room or the gateway is closing, `why_not` says which; see `admit_refused`.

        `descriptor`: the connection's own, if it is known.
        """
        if self._draining:
            self._shed.refuse("the gateway is closing")
        elif len(self._open) >= self.limit:
            self._shed.refuse(f"`connections` is reached ({self.limit})")
        elif self._within is None and few_left(descriptor) and not self._for_operators:
            self._shed.refuse(f"nearly all of the {limit()} file descriptors that this process may have are in use")
        elif self._within is not None and not self._within.admit(connection, descriptor):
            self._shed.refuse(self._within.why_not)
        else:
            self.served_total += 1
            self._open.add(connection)
            return True
        return False

    @property
    def why_not(self) -> str:
        """Why the last connection that was refused was refused."""
        return self._shed.why

    def admit_refused(self, connection: Connection, descriptor: int = -1) -> bool:
        """Room for a refused connection to read its refusal. False: cut it."""
        if len(self._refused) >= REFUSED_MAX or few_left(descriptor, 2):
            return False
        self._refused.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._refused.discard(connection)
        if self._within is not None:
            self._within.leave(connection)
        if self.on_leave is not None:
            self.on_leave()

    def drain(self) -> None:
        """Stops keeping connections alive: idle ones close now, busy ones after their response."""
        self._draining = True
        for connection in list(self._open):
            connection.drain()

    def abort(self) -> None:
        """Cuts whatever is left."""
        for connection in [*self._open, *self._refused]:
            connection.abort()

    def statistics(self) -> dict[str, object]:
        return {
            "open": len(self._open),
            "limit": self.limit,
            "served_total": self.served_total,
            "refused_total": self._shed.total,
            "refused_open": len(self._refused),
            "refusing": self._shed.recent or self.shed_messages.recent,
            "descriptors": limit(),
        }
