"""A place for one connection to a server, that outlives the connections in it."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.errors import TidegateError
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.offer import Offer

PARKED_AFTER = 6
"""Failures and quick deaths in a row, which take about 20 s."""

Use = Callable[["Slot", Connection], None]
Fail = Callable[[TidegateError], None]
Waiting = tuple[ClientView, Use, Fail]


class Slot:
    """`pool` says whom it serves: "stateless", "shared", or a client's `own_key`. Of several replicas of a server,
    each has a slot in the pool, with a `key` of its own.
    """

    def __init__(self, key: str, client: ClientView | None, pool: str = "", replica: int = 0) -> None:
        self.key = key
        self.pool = pool or key
        self.replica = replica
        """Which one it leads to, numbered from 0. Of a slot with a client, that may be another one at each opening."""
        self.siblings: tuple[Slot, ...] = ()
        """The slots of all replicas in its pool, itself among them; none, when there is one replica only."""
        self.client = client
        """The client it serves alone, or what all whom it serves have in common; None for everybody."""
        self.group = ""
        """A lane: the `own_key` of whom it serves, which is the `key` of the first lane."""
        self.connection: Connection | None = None
        self.offer: Offer | None = None
        """What the server offers, as it last said."""
        self.error: TidegateError | None = None
        """Why it is not open."""
        self.down = False
        """The last attempt to open it failed: what it offered is nobody's for now."""
        self.changed_s = 0.0
        """When it began to open, opened, failed, was lost or was stopped; of failures in a row, the first."""
        self.opening = False
        self.closed = False
        self.retry_at_s = 0.0
        """Until then a request for it fails at once."""
        self.next_try_s = 0.0
        """When it is opened again by itself, if it is not open."""
        self.opened_at_s = 0.0
        self.read_at_s = 0.0
        """When the lists of `offer` were last read."""
        self.used_at_s = 0.0
        """When a request last went through it; kept for those of single clients only."""
        self.leased = False
        """A lane: one request has it to itself."""
        self.settles_at_s = 0.0
        """A lane: until then a request that was given up may still ask something."""
        self.level: int | None = None
        """The log level that the server was told last, by its rank."""
        self.backoff = Backoff(most_s=60.0)
        self.waiting: list[Waiting] = []
        self.subscribed: dict[str, int] = {}
        """Resource URI → how many clients follow it."""
        self.listen: Call | None = None
        self.refreshing: set[str] = set()
        self.stale: set[str] = set()
        self.restarts = 0

    @property
    def busy(self) -> bool:
        """Somebody waits for it, or for an answer over it, or has a task running there."""
        connection = self.connection
        return bool(self.waiting) or (
            connection is not None
            # One may be over, and the next one in line not on its way yet.
            and (connection.working > 0 or connection.has_tasks or connection.line is not None)
        )

    @property
    def parked(self) -> bool:
        """It failed so often in a row that requests for it are not even tried; it is, by itself, now and then."""
        return self.connection is None and self.error is not None and self.backoff.attempt >= PARKED_AFTER

    @property
    def state(self) -> str:
        """ready, starting, parked, down or idle: not needed by anybody."""
        if self.connection is not None:
            return "ready"
        if self.parked:
            return "parked"
        if self.opening:
            return "starting"
        return "down" if self.error is not None else "idle"

    @property
    def serves(self) -> str:
        """Whom: "stateless", "shared", "session" or "lane". `key` may be the id of a session, which is a secret."""
        if self.client is None:
            return self.pool
        return "lane" if self.group else "session"
