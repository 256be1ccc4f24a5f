"""A place for one connection to a server, that outlives the connections in it."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.errors import TidegateError
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.listing import Listing

Use = Callable[["Slot", Connection], None]
Fail = Callable[[TidegateError], None]


class Slot:
    """`key` says whom it serves: "stateless", "shared", or a client's `own_key`."""

    def __init__(self, key: str, client: ClientView | None) -> None:
        self.key = key
        self.client = client
        """The client it serves alone, or what all whom it serves have in common; None for everybody."""
        self.group = ""
        """A lane: the `own_key` of whom it serves, which is the `key` of the first lane."""
        self.connection: Connection | None = None
        self.listing = Listing()
        self.error: TidegateError | None = None
        """Why it is not open."""
        self.generation = 0
        """Moves whenever `listing` may have changed."""
        self.opening = False
        self.closed = False
        self.retry_at_s = 0.0
        self.opened_at_s = 0.0
        self.read_at_s = 0.0
        """When `listing` was last read."""
        self.used_at_s = 0.0
        """When a request last went through it; kept for those of single clients only."""
        self.leased = False
        """A lane: one request has it to itself."""
        self.settles_at_s = 0.0
        """A lane: until then a request that was given up may still ask something."""
        self.level: int | None = None
        """The log level that the server was told last, by its rank."""
        self.backoff = Backoff()
        self.waiting: list[tuple[ClientView, Use, Fail]] = []
        self.subscribed: dict[str, int] = {}
        """Resource URI → how many clients follow it."""
        self.listen: Call | None = None
        self.refreshing: set[str] = set()
        self.stale: set[str] = set()
        self.restarts = 0

    @property
    def serves(self) -> str:
        """Whom: "stateless", "shared", "session" or "lane". `key` may be the id of a session, which is a secret."""
        if self.client is None:
            return self.key
        return "lane" if self.group else "session"
