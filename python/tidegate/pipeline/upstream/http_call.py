"""One HTTP request to a server, from the moment it is asked for until its response has ended.

Made by `HttpClient.request`; the connection and the pool move it along. All callbacks of a receiver come from the
event loop, never from inside `request` or `cancel`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

from tidegate.errors import TidegateError, UpstreamTimeout
from tidegate.pipeline.deadlines import Deadlines

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.connection_pool import ConnectionPool
    from tidegate.pipeline.upstream.http_connection import HttpConnection


class ResponseReceiver(Protocol):
    """Whoever waits for a response.

    Hears `response_started`, any number of `body_received`, then `response_ended`; or, instead of what is left of
    that, `request_failed`.
    """

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        """Names in lower case; repeated fields joined with ", ". Never a 1xx."""

    def body_received(self, data: bytes) -> None:
        """A piece of the body, dechunked; never empty."""

    def response_ended(self) -> None: ...

    def request_failed(self, error: TidegateError) -> None: ...


class HttpCall:
    """A request in progress."""

    __slots__ = (
        "_deadlines",
        "bodiless",
        "connection",
        "deadline_s",
        "done",
        "idempotent",
        "origin",
        "pool",
        "receiver",
        "retryable",
        "sent_s",
        "timeout_s",
        "wire",
    )

    def __init__(self, method: str, origin: str, wire: bytes, receiver: ResponseReceiver, deadlines: Deadlines) -> None:
        self.origin = origin
        """For messages: `http://host:port`."""
        self.wire = wire
        """Head and body."""
        self.bodiless = method == "HEAD"
        self.idempotent = method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
        """RFC 9110, 9.2.2."""
        self.receiver = receiver
        self.done = False
        self.retryable = True
        """It may be sent twice, was not retried yet, and no byte of a response was seen."""
        self.sent_s = 0.0
        self.timeout_s = 0.0
        self.deadline_s = inf
        self.connection: HttpConnection | None = None
        self.pool: ConnectionPool | None = None
        self._deadlines = deadlines

    def limit_to(self, timeout_s: float, now_s: float) -> None:
        """Fails the call if it has not ended by then."""
        self.timeout_s = timeout_s
        self.deadline_s = now_s + timeout_s
        self._deadlines.watch(self)

    def unlimit(self) -> None:
        """It may take for ever from now on."""
        if self.deadline_s != inf:
            self.deadline_s = inf
            self._deadlines.forget(self)

    def cancel(self) -> None:
        """Gives up: closes the connection it is on. The receiver hears nothing more."""
        if not self.done:
            self.finish()
            self._leave()

    def pause_reading(self) -> None:
        """Leaves what the server sends in the socket, for a while."""
        if self.connection is not None:
            self.connection.pause_reading()

    def resume_reading(self) -> None:
        if self.connection is not None:
            self.connection.resume_reading()

    # -- for the pool and the connection --------------------------------------------------------------------

    def finish(self) -> None:
        self.done = True
        self.unlimit()

    def fail(self, error: TidegateError) -> None:
        """Tells the receiver, unless it was told an end already."""
        if not self.done:
            self.finish()
            self.receiver.request_failed(error)

    def deadline_passed(self, now_s: float) -> None:
        if not self.done:
            self.finish()
            self._leave()
            self.receiver.request_failed(UpstreamTimeout(f"`{self.origin}` did not answer within {self.timeout_s:g} s"))

    def _leave(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop_call()
        elif self.pool is not None:
            self.pool.forget(self)
