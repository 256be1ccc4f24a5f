"""What carries messages to one server: the seam between a connection and its transport.

Implemented by `stdio_child`, `stream`, `streamable_http`, `sse_legacy` and `builtin`. A link moves bytes; it
knows framing and delivery, never what a message means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import Envelope, HttpChannel, HttpPool, LineUpstream, Upstream
from tidegate.pipeline.exchange import CallListener, ClientView

Sent = tuple[ClientView, bytes, Envelope, list[tuple[int, int, bytes]]]
"""A client's request and its edits, as they were given to a connection. Made for every call: nothing is cheaper."""


class Call:
    """A request in flight to a server."""

    __slots__ = (
        "client",
        "client_token",
        "deadline_s",
        "desk",
        "headers",
        "id",
        "link_state",
        "listener",
        "method",
        "moves",
        "open",
        "params_name",
        "questions",
        "rules",
        "sent",
        "successor",
        "timeout_s",
        "usual_timeout_s",
    )

    moves: int
    """How often it was sent again on another connection; not set while it never was."""

    def __init__(self, desk: Desk, listener: CallListener, upstream_id: bytes, method: str, name: str | None) -> None:
        self.desk = desk
        self.listener = listener
        self.id = upstream_id
        """Raw JSON token."""
        self.method = method
        self.params_name = name
        """The server's own name for the tool, prompt or resource: the `Mcp-Name` header."""
        self.client_token: bytes | None = None
        """The caller's raw progress token; upstream the request's id stands in for it."""
        self.deadline_s = inf
        self.timeout_s = 0.0
        """How long the deadline was set for."""
        self.questions = 0
        """Of the server, to a session's client, that are open because of it."""
        self.usual_timeout_s = 0.0
        """While there are any: what the deadline was set for before."""
        self.client: ClientView | None = None
        """Whose it is; the gateway's own are nobody's."""
        self.open = True
        """Somebody still waits for the answer."""
        self.link_state: object = None
        """The link's own: an HTTP call, say."""
        self.headers: tuple[tuple[str, str], ...] = ()
        """`Mcp-Param-*` headers, for a link that has headers."""
        self.rules: object = None
        """By which it was let in; None for one that is not sent again."""
        self.sent: Sent | None = None
        """What it takes to send it once more; None when it must not be."""
        self.successor: Call | None = None
        """It was sent once more, on another connection, as this one."""

    @property
    def principal(self) -> str:
        """Whose it is, by name."""
        return self.client.principal if self.client is not None else ""

    def abandon(self) -> None:
        """The caller is gone: the server is told, and whatever it still answers is dropped."""
        if self.successor is not None:
            self.successor.abandon()
        else:
            self.desk.abandon(self)

    def hold(self) -> None:
        """Its deadline does not run while the server itself waits for the caller."""
        self.deadline_s = inf
        if self.successor is not None:
            self.successor.hold()

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None:
        """The server goes on working, for at most `timeout_s`; progress carries this raw token from now on."""
        if self.successor is not None:
            self.successor.go_on(progress_token, timeout_s)
            return
        self.client_token = progress_token
        if self.open:
            self.desk.set_deadline(self, timeout_s)

    def deadline_passed(self, now_s: float) -> None:
        self.desk.expired(self)


class Desk(Protocol):
    """A connection, as its calls see it."""

    def abandon(self, call: Call) -> None: ...

    def set_deadline(self, call: Call, timeout_s: float) -> None: ...

    def expired(self, call: Call) -> None: ...


class LinkOwner(Protocol):
    """A connection, as its link sees it."""

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""

    def relay_by(
        self,
        relayed: Upstream,
        write: Callable[[bytes], None] | None,
        writer: object,
        request_head: Callable[[Call], bytes] | None = None,
    ) -> None:
        """The relay reads what the server says before the link does, and writes by `write` beside the link's `writer`.

        Over HTTP there is neither: calls are written after a `request_head` on connections of the link's pool.
        """

    def received(self, message: bytes, call: Call | None) -> bool:
        """One message from the server; `call` when the transport says which request it belongs to. Whether it answers
        a request.
        """

    def garbled(self, reason: str, call: Call | None) -> None:
        """Something that is no message: over the limit, not text, not JSON."""

    def no_memory(self, size: int, call: Call | None) -> None:
        """For a message of so many bytes there was none."""

    def oversized(self, limit_bytes: int) -> None:
        """A message over the limit was thrown away unread."""

    def listening(self) -> None:
        """From now on the server's own words arrive; what it said before may have been missed."""

    def may_repeat(self, call: Call) -> bool:
        """Whether doing this twice does no more than doing it once, by what the method is or the server said."""

    def call_failed(self, call: Call, error: TidegateError) -> None:
        """This request will get no answer; the link lives."""

    def never_ran(self, call: Call, error: TidegateError) -> None:
        """As `call_failed`, and the server certainly did nothing of it."""

    def ending(self) -> None:
        """The link takes nothing new. `lost`, with the reason, follows very soon."""

    def lost(self, error: TidegateError) -> None:
        """The link is gone, with everything in flight on it. Called once, at most."""

    def retired(self, error: TidegateError) -> None:
        """The link takes nothing new. What is in flight on it meets its end there, one by one. Instead of `lost`."""


class LineRelay(Protocol):
    """The relay, as links that speak in lines see it."""

    def lines(self, protocol: asyncio.Protocol, max_bytes: int) -> LineUpstream | None:
        """What is to stand before `protocol`; None for nothing."""


class HttpRelay(Protocol):
    """The relay, as links over HTTP see it."""

    def http_upstream(self, pool: HttpPool) -> Upstream: ...

    def http_pool(self, queue: object) -> HttpPool | None:
        """For the connections to one origin; None: none of them are relayed on. `queue`: calls that wait for one."""

    def http_channel(self, pool: HttpPool, protocol: asyncio.Protocol) -> HttpChannel:
        """What is to stand before the protocol of a connection."""


class Link(Protocol):
    """One transport to one server."""

    @property
    def cancels_by_closing(self) -> bool:
        """Abandoning a request closes its stream, which tells the server (stateless HTTP)."""

    async def open(self, owner: LinkOwner) -> None:
        """Raises: UpstreamUnreachable."""

    def send(self, message: bytes, call: Call | None) -> None:
        """Sends a request (`call` given), or a notification or answer (None). Never waits."""

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Over HTTP: this was sent by the relay, on `connection`, on which so much has come in answer."""

    def abandon(self, call: Call) -> None:
        """Nobody wants the answer of `call` any more."""

    def stateful(self, version: str) -> None:
        """The handshake agreed on this revision; a session begins."""

    def stateless(self, version: str) -> None:
        """The server keeps no session and speaks this revision."""

    async def aclose(self) -> None:
        """Ends it and waits, bounded, until nothing is left behind."""

    def statistics(self) -> dict[str, object]: ...
