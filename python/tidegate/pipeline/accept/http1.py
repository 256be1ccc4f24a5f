"""The server side of HTTP/1.1: one connection, its requests one after the other.

Listeners make one `HttpServerProtocol` a connection, over TCP, a unix socket or TLS, on asyncio or uvloop. Below
is the native codec (heads, chunks, content codings); above is `serve`, which is called with each complete
`HttpRequest` and answers it at once or later. Everything is a callback: no task and, for a small request on a
kept-alive connection, no timer. RFC 9112.

Pipelined requests are answered in order, one in service at a time. A connection in service keeps reading, because
a client that leaves is noticed only by reading; what it sends meanwhile is kept, up to `_AHEAD_BYTES`, and then
left in the socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final, cast

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import BadHttp, NoMemory, Overloaded, TidegateError, TooLarge
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.descriptors import descriptor_of
from tidegate.pipeline.accept.http_request import (
    COMPRESS_MIN_BYTES,
    HttpRequest,
    HttpStream,
    body_too_large,
    refusal_body,
    request_from,
)
from tidegate.pipeline.accept.peer_address import Address, address_of, probe_when_silent
from tidegate.pipeline.accept.slow_peer import LINGER_BYTES, LINGER_S, slow_body, slow_head
from tidegate.pipeline.codec import ChunkDecoder, HttpDownstream, RequestHead, parse_request_head

__all__ = ["HttpRequest", "HttpServerProtocol", "HttpStream"]

Serve = Callable[[HttpRequest], None]

_AHEAD_BYTES: Final = 64 * 1024
"""Pipelined bytes kept while a request is in service."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


_PHRASES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
"""Of the statuses that `_refuse` answers."""

_IDLE: Final = 0
"""Phase of a connection: nothing of a request is here. What comes before it may hold the beginning of one."""
_HEAD: Final = 1
_BODY: Final = 2
_SERVING: Final = 3
"""`serve` has the request; the response is not complete."""
_LINGERING: Final = 4
"""Refused and answered; reading on only to drop it."""
_CLOSING: Final = 5
"""What is written still leaves."""
_CLOSED: Final = 6


class HttpServerProtocol(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_advancing",
        "_body",
        "_body_missing",
        "_chunks",
        "_clock",
        "_head",
        "_keep_alive",
        "_limits",
        "_lingered_bytes",
        "_local_address",
        "_peername",
        "_pending",
        "_phase",
        "_reading",
        "_registry",
        "_request",
        "_serve",
        "_target",
        "_transport",
        "_unsent_seen",
        "_writable",
        "compress_min_bytes",
        "deadline_s",
        "relayed",
    )

    def __init__(
        self,
        serve: Serve,
        limits: Limits,
        clock: Clock,
        registry: ConnectionRegistry,
        *,
        compress_min_bytes: int = COMPRESS_MIN_BYTES,
    ) -> None:
        self._serve = serve
        self._limits = limits
        self._clock = clock
        self._registry = registry
        self.compress_min_bytes = compress_min_bytes
        self.deadline_s = inf
        """Of the current phase."""
        self.relayed: HttpDownstream | None = None
        """Stands before this, and relays what it can while nothing is in service here."""
        self._transport: asyncio.Transport | None = None
        self._phase: int = _CLOSED
        self._pending = b""
        """Received, not yet understood."""
        self._head: RequestHead | None = None
        self._target = ""
        """Of the last request whose head was read: whoever sent it knows errors of one shape."""
        self._body = bytearray()
        self._body_missing = 0
        self._chunks: ChunkDecoder | None = None
        self._request: HttpRequest | None = None
        self._keep_alive = True
        self._advancing = False
        self._reading = True
        self._writable = True
        self._unsent_seen = 0
        self._lingered_bytes = 0
        self._peername: Address | None = None
        self._local_address: Address | None = None

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        descriptor = descriptor_of(transport)
        if not self._registry.admit(self, descriptor):
            if self._registry.admit_refused(self, descriptor):
                self._refuse(Overloaded(f"no more connections are taken: {self._registry.why_not}"))
            else:
                self._transport.abort()
            return
        probe_when_silent(self._transport)
        self._phase = _IDLE
        self.deadline_s = self._clock.now_s() + self._limits.head_timeout_s
        self._registry.deadlines.watch(self)
        if self.relayed is not None:
            self.relayed.at_rest()

    def data_received(self, data: bytes) -> None:
        try:
            self._take(data)
        except MemoryError:
            self._registry.shed_messages.refuse("no memory is left for large ones")
            if self._request is None:
                self._refuse(NoMemory("no memory is left for a request of this size"))
            else:
                self.abort()

    def _take(self, data: bytes) -> None:
        phase = self._phase
        if phase <= _HEAD:
            self._pending = self._pending + data if self._pending else data
            self._advance()
        elif phase == _BODY:
            self._take_body(data)
            self._advance()
        elif phase == _SERVING:
            self._pending += data
            if len(self._pending) > _AHEAD_BYTES:
                self._pause_reading()
        elif phase == _LINGERING:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES:
                self.abort()

    def eof_received(self) -> bool | None:
        """A client that says no more is gone: a response in progress is abandoned."""
        if self._phase != _LINGERING:
            self._close()
        self._abandon()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = _CLOSED
        self.deadline_s = inf
        self._registry.deadlines.forget(self)
        self._registry.leave(self)
        self._pending = b""
        self._abandon()
        self._transport = None

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._advance()

    # -- for the registry and its deadlines ---------------------------------------------------------------

    def drain(self) -> None:
        if self.relayed is not None:
            self.relayed.stand_back()
        self._keep_alive = False
        if self._phase == _IDLE:
            self._close()

    def abort(self) -> None:
        self.deadline_s = inf
        if self._transport is not None:
            self._transport.abort()

    def deadline_passed(self, now_s: float) -> None:
        if self._phase == _IDLE and self.relayed is not None:
            # It may be idle here alone: a call that the relay has is served here from now on, and one that
            # it had lately counts as one of ours. A request that it has a part of has had its time.
            self.relayed.settle()
            if self._phase == _IDLE:
                self.deadline_s = self.relayed.used_s + self._limits.idle_timeout_s
            if self._phase != _BODY and self.deadline_s > now_s:
                return
        transport = self._transport
        if transport is None or self._phase == _LINGERING:
            self.abort()
        elif self._phase == _HEAD:
            self._refuse(slow_head(self._limits.head_timeout_s))
        elif self._phase == _BODY:
            self._refuse(slow_body(self._limits.body_timeout_s))
        else:
            unsent = transport.get_write_buffer_size()
            if unsent and unsent < self._unsent_seen:
                self.deadline_s = now_s + self._limits.idle_timeout_s
                self._unsent_seen = unsent
            elif unsent or self._phase == _CLOSING:
                self.abort()
            else:
                self._close()

    # -- for the request ----------------------------------------------------------------------------------

    @property
    def peername(self) -> Address:
        if self._peername is None:
            self._peername = address_of(self._transport, "peername")
        return self._peername

    @property
    def local_address(self) -> Address:
        if self._local_address is None:
            self._local_address = address_of(self._transport, "sockname")
        return self._local_address

    def extra_info(self, name: str) -> object:
        return self._transport.get_extra_info(name) if self._transport is not None else None

    def keeps_alive(self) -> bool:
        return self._keep_alive

    def end_keep_alive(self) -> None:
        self._keep_alive = False

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_piece(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size() > self._limits.write_buffer_bytes:
            transport.abort()
            self._abandon()
        else:
            transport.write(data)

    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def complete(self) -> None:
        self._request = None
        if self._phase != _SERVING:
            return
        if not self._keep_alive:
            self._close()
            return
        self._await_request()
        if self._pending:
            self._advance()
        else:
            self._resume_reading()

    # -- for the relay --------------------------------------------------------------------------------------

    def body_awaited(self) -> None:
        """The body of a request has its time from now on: its head is here, or held by the relay."""
        self.deadline_s = self._clock.now_s() + self._limits.body_timeout_s
        self._registry.deadlines.moved(self.deadline_s)

    def resume(self, request: bytes) -> HttpRequest:
        """It is in service here from now on. It was understood once; so were all that share its head."""
        head = parse_request_head(request, len(request) + 1)
        assert head is not None
        self._keep_alive = head.keep_alive and not self._registry.draining
        self._phase = _SERVING
        self.deadline_s = inf
        found = self._request = request_from(head, request[head.head_len :], self)
        if self.relayed is not None:
            # What is pipelined behind it waits for its answer.
            self.relayed.stand_back()
        return found

    # -- inside -------------------------------------------------------------------------------------------

    def _await_request(self) -> None:
        self._phase = _IDLE
        deadline_s = self._clock.now_s() + self._limits.idle_timeout_s
        self.deadline_s = deadline_s
        self._unsent_seen = self._limits.result_bytes + self._limits.write_buffer_bytes
        self._registry.deadlines.moved(deadline_s)
        if self.relayed is not None and not self._pending:
            self.relayed.at_rest()

    def _advance(self) -> None:
        """Serves what is pending, one request after the other, as far as it goes."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._pending and self._writable and self._phase <= _HEAD:
                head = parse_request_head(self._pending, self._limits.header_bytes)
                if head is None:
                    self._expect_head()
                    break
                self._begin(head)
        except TidegateError as error:
            self._refuse(error)
        finally:
            self._advancing = False
        if len(self._pending) > _AHEAD_BYTES:
            self._pause_reading()
        elif not self._reading:
            self._resume_reading()

    def _expect_head(self) -> None:
        if self._phase == _IDLE:
            self._phase = _HEAD
            self.deadline_s = self._clock.now_s() + self._limits.head_timeout_s
            self._registry.deadlines.moved(self.deadline_s)

    def _begin(self, head: RequestHead) -> None:
        """A head is complete. Serves the request if its body is here too, else awaits that."""
        self._keep_alive = head.keep_alive and not self._registry.draining
        self._target = head.target
        pending, start = self._pending, head.head_len
        if head.chunked:
            self._chunks = ChunkDecoder(self._limits.body_bytes)
        else:
            length = max(0, head.content_length)
            if length > self._limits.body_bytes:
                raise body_too_large(self._limits.body_bytes)
            end = start + length
            if end <= len(pending):
                self._pending = pending[end:]
                self._dispatch(head, pending[start:end])
                return
            self._body_missing = length
        self._head = head
        self._pending = b""
        self._phase = _BODY
        self.body_awaited()
        if start < len(pending):
            self._take_body(pending[start:])
        if head.expect_continue and head.minor and self._phase == _BODY and not self._body:
            self.write(_CONTINUE)

    def _take_body(self, data: bytes) -> None:
        head = self._head
        if head is None:
            return
        chunks = self._chunks
        if chunks is None:
            missing = self._body_missing - len(self._body)
            self._body += data[:missing]
            if len(data) < missing:
                return
            self._pending = data[missing:]
        else:
            try:
                self._body += chunks.feed(data)
                if len(self._body) > self._limits.body_bytes:
                    raise body_too_large(self._limits.body_bytes)
            except TidegateError as error:
                self._refuse(body_too_large(self._limits.body_bytes) if isinstance(error, TooLarge) else error)
                return
            if not chunks.done:
                return
            self._pending = chunks.rest
        body = bytes(self._body)
        self._drop_partial()
        self._dispatch(head, body)

    def _dispatch(self, head: RequestHead, body: bytes) -> None:
        self._phase = _SERVING
        self.deadline_s = inf
        try:
            request = request_from(head, body, self)
        except BadHttp as error:
            self._refuse(error)
            return
        self._request = request
        if body and "content-encoding" in request.headers:
            try:
                request.inflate(self._limits.body_bytes)
            except TidegateError as error:
                request.refuse(error)
                return
        try:
            self._serve(request)
        except Exception as error:
            self._failed(request, error)

    def _failed(self, request: HttpRequest, error: Exception) -> None:
        """`serve` raised: a fault of the gateway. The client learns no more than that."""
        if isinstance(error, MemoryError):
            self._registry.shed_messages.refuse("no memory is left for large ones")
        else:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "serving an HTTP request failed", "exception": error, "protocol": self}
            )
        if request.answered:
            if not request.gone:
                self.abort()
        else:
            out = isinstance(error, MemoryError)
            request.refuse(
                NoMemory("no memory is left for a request of this size") if out else TidegateError("internal error")
            )

    def _refuse(self, error: TidegateError) -> None:
        """Answers what could not be read as a request, and closes: where the next one starts is unknown."""
        transport = self._transport
        if transport is None or self._phase == _LINGERING:
            return
        self._drop_partial()
        self._pending = b""
        body = refusal_body(error, self._target)
        retry = "retry-after: 1\r\n" if error.status == 503 else ""
        phrase = _PHRASES.get(error.status, "")
        transport.write(
            (
                f"HTTP/1.1 {error.status} {phrase}\r\ncontent-type: application/json\r\n{retry}"
                f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            ).encode()
            + body
        )
        self._phase = _LINGERING
        self.deadline_s = self._clock.now_s() + LINGER_S
        self._registry.deadlines.watch(self)
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_reading()

    def _drop_partial(self) -> None:
        self._head = None
        self._chunks = None
        self._body = bytearray()
        self._body_missing = 0

    def _close(self) -> None:
        """Closes once what is written has left."""
        self._phase = _CLOSING
        self._pending = b""
        self._unsent_seen = self.unsent_bytes() + 1
        self.deadline_s = self._clock.now_s() + self._limits.idle_timeout_s
        self._registry.deadlines.moved(self.deadline_s)
        if self._transport is not None:
            self._transport.close()

    def _abandon(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.abandoned()

    def _pause_reading(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()
