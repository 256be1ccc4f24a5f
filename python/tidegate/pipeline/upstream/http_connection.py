"""The client side of HTTP/1.1: one connection to a server, one call at a time.

`connection_pool.py` opens these and hands them calls; below is the native codec. RFC 9112.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final, cast

from tidegate.config.snapshot import Limits
from tidegate.errors import NoMemory, TidegateError, TooLarge, UpstreamClosed, UpstreamProtocol
from tidegate.pipeline.codec import ChunkDecoder, HttpChannel, ResponseHead, parse_response_head

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.connection_pool import ConnectionPool
    from tidegate.pipeline.upstream.http_call import HttpCall

_HEAD_BYTES: Final = 64 * 1024
"""Of a response. More than is taken from clients: servers set cookies and policies at length."""
_INTERIM_MAX: Final = 16
"""1xx responses skipped before the final one."""
_UNBOUNDED: Final = 2**62
"""For event streams: each event has its own bound in the decoder."""
_STALE_WINDOW_S: Final = 2.0
"""A reused connection that ends this soon after a request was written was closed by a server that found it idle;
one that ends later is a server that died at work, and a POST to it may have had its effect."""

_SLICE_BYTES: Final = 4096
"""Of a stream of many events, looked at in one turn of the loop: some 0.3 ms."""
_FEW: Final = 64
"""Lines in what is read at once. A long answer is one or two."""
_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r", b"\n:", b"\r:")
"""Where an event ends or a comment begins: what a stream can be made of at most."""
_MOST_PAUSE_S: Final = 1.0
_NO_ANSWER: Final = "without an answer"

_HEAD: Final = 0
_LENGTH: Final = 1
"""Phase: in a body of known length."""
_CHUNKED: Final = 2
_UNTIL_CLOSE: Final = 3


class HttpConnection(asyncio.Protocol):
    """One connection. Its pool owns it from `connection_made` to `connection_lost`."""

    __slots__ = (
        "_body_left",
        "_call",
        "_chunks",
        "_interim",
        "_keep_alive",
        "_limits",
        "_pending",
        "_phase",
        "_pool",
        "_rest",
        "_streamed",
        "_timer",
        "_transport",
        "_used",
        "deadline_s",
        "idle_since_s",
        "kept_s",
        "relayed",
    )

    def __init__(self, pool: ConnectionPool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._call: HttpCall | None = None
        self._phase = _HEAD
        self._pending = b""
        self._streamed = False
        """The response is an event stream."""
        self._rest = b""
        """Of a stream that says very much: not yet looked at. While there is any, nothing more is read."""
        self._timer: asyncio.TimerHandle | None = None
        self._chunks: ChunkDecoder | None = None
        self._body_left = 0
        """Bytes; in `_UNTIL_CLOSE` and `_CHUNKED` what the bound still allows."""
        self._interim = 0
        self._keep_alive = False
        self._used = 0
        self.relayed: HttpChannel | None = None
        """Stands before this, and has the connection while it is free."""
        self.deadline_s = inf
        """When idle: how long it is kept."""
        self.idle_since_s = 0.0
        self.kept_s = inf
        """How long the server said that it keeps an idle connection, less a margin."""

    # -- for the pool and the call --------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, call: HttpCall, now_s: float) -> None:
        assert self._transport is not None
        self._carry(call, now_s)
        self._transport.write(call.wire)

    def _carry(self, call: HttpCall, now_s: float) -> None:
        self.deadline_s = inf
        self._call = call
        self._used += 1
        self._phase = _HEAD
        self._streamed = False
        self._interim = 0
        call.connection = self
        call.sent_s = now_s

    def resume(self, call: HttpCall, sent_s: float) -> None:
        """The relay has sent it here, and gives it up."""
        call.pool = self._pool
        if self.relayed is not None:
            # Less this one.
            self._used += max(0, self.relayed.take_uses() - 1)
        self._carry(call, sent_s)

    def freed(self) -> None:
        """The relay has no call on it any more."""
        self._pool.release(self)

    def keep(self, since_s: float) -> None:
        """The relay has had no use for it since then."""
        self._pool.keep(self, since_s)

    def drop_call(self) -> None:
        """The call was given up; where its response ends cannot be waited for."""
        self._call = None
        self._forget_rest()
        self.abort()

    def abort(self) -> None:
        self.deadline_s = inf
        if self._transport is not None:
            self._transport.abort()

    def fail_call(self, error: TidegateError) -> None:
        call, self._call = self._call, None
        self._forget_rest()
        self.abort()
        if call is not None:
            call.connection = None
            call.fail(error)

    def pause_reading(self) -> None:
        if self.usable:
            cast(asyncio.Transport, self._transport).pause_reading()

    def resume_reading(self) -> None:
        if self.usable:
            cast(asyncio.Transport, self._transport).resume_reading()

    def deadline_passed(self, now_s: float) -> None:
        """Idle for long enough."""
        self.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._streamed or (len(data) < _SLICE_BYTES and not self._rest):
            self._take(data)
            return
        # Bytes are counted fast, pairs of bytes are not: a millisecond for what is read at once.
        if self._rest or data.count(b"\n") + data.count(b"\r") > _FEW:
            self._rest += data
            self._slow_down(self._pool.pace.spend(sum(data.count(end) for end in _ENDS)))
        else:
            self._take(data)

    def _slow_down(self, owe_s: float) -> None:
        """Leaves the loop to others before the rest is looked at, and what the server says after it in the socket."""
        if self._transport is None:
            return
        if self._timer is None:
            self._transport.pause_reading()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(owe_s, _MOST_PAUSE_S), self._go_on)

    def _go_on(self) -> None:
        piece, self._rest = self._rest[:_SLICE_BYTES], self._rest[_SLICE_BYTES:]
        self._take(piece)
        if self._rest:
            self._slow_down(0.0)
        else:
            self._timer = None
            self.resume_reading()

    def _forget_rest(self) -> None:
        self._rest = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, data: bytes) -> None:
        call = self._call
        if call is None:
            self.abort()
            return
        call.retryable = False
        try:
            if self._phase == _HEAD:
                data = self._take_head(call, self._pending + data if self._pending else data)
            if data and self._call is call and self._phase != _HEAD:
                self._take_body(call, data)
        except MemoryError:
            self.fail_call(NoMemory(f"no memory is left for the answer of `{call.origin}`"))
        except TidegateError as error:
            self.fail_call(UpstreamProtocol(f"`{call.origin}` answered, but not in HTTP/1.1: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        rest = self._rest
        self._forget_rest()
        if rest and self._call is not None:
            # What came before the end is read to its end.
            self._take(rest)
        self._transport = None
        call, self._call = self._call, None
        pool = self._pool
        retry = False
        if call is not None:
            call.connection = None
            stale = call.idempotent or pool.now_s() - call.sent_s <= _STALE_WINDOW_S
            retry = self._used > 1 and call.retryable and stale and not call.done
            if retry:
                call.retryable = False
                pool.open_for(call)
        pool.lost(self)
        if call is None or retry:
            return
        if self._phase == _UNTIL_CLOSE and exc is None:
            call.finish()
            call.receiver.response_ended()
        else:
            when = "within the response" if self._phase != _HEAD else "within the head" if self._pending else _NO_ANSWER
            call.fail(UpstreamClosed(f"`{call.origin}` {'reset' if exc else 'closed'} the connection {when}"))

    # -- inside ---------------------------------------------------------------------------------------------

    def _take_head(self, call: HttpCall, data: bytes) -> bytes:
        """What follows the final head; empty while that is incomplete."""
        while True:
            head = parse_response_head(data, _HEAD_BYTES)
            if head is None:
                self._pending = data
                return b""
            data = data[head.head_len :]
            if head.status >= 200:
                break
            self._interim += 1
            if head.status == 101 or self._interim > _INTERIM_MAX:
                raise UpstreamProtocol(f"status {head.status} was not asked for")
        self._pending = b""
        headers = _joined(head.headers)
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise UpstreamProtocol(f"content coding `{coding}` was not asked for")
        self._frame(call, head, headers)
        call.receiver.response_started(head.status, headers)
        if self._call is call and self._phase == _LENGTH and not self._body_left:
            self._end(call, data)
        return data

    def _frame(self, call: HttpCall, head: ResponseHead, headers: dict[str, str]) -> None:
        """How the body will end (RFC 9112, 6.3)."""
        self._keep_alive = head.keep_alive
        told = headers.get("keep-alive")
        if told is not None:
            self.kept_s = _kept_s(told)
        streamed = headers.get("content-type", "").lower().startswith("text/event-stream")
        self._streamed = streamed
        bound = _UNBOUNDED if streamed else self._limits.result_bytes
        if call.bodiless or head.status == 204 or head.status == 304:
            self._phase, self._body_left = _LENGTH, 0
        elif head.chunked:
            self._phase = _CHUNKED
            self._chunks = ChunkDecoder(bound)
        elif head.content_length >= 0:
            if head.content_length > bound:
                raise self._too_large()
            self._phase, self._body_left = _LENGTH, head.content_length
        else:
            self._phase, self._body_left = _UNTIL_CLOSE, bound

    def _take_body(self, call: HttpCall, data: bytes) -> None:
        if self._phase == _LENGTH:
            left = self._body_left
            piece = data if len(data) <= left else data[:left]
            self._body_left = left - len(piece)
            call.receiver.body_received(piece)
            if not self._body_left and self._call is call:
                self._end(call, data[left:])
        elif self._phase == _CHUNKED:
            chunks = cast(ChunkDecoder, self._chunks)
            try:
                piece = chunks.feed(data)
            except TooLarge:
                raise self._too_large() from None
            if piece:
                call.receiver.body_received(piece)
            if chunks.done and self._call is call:
                self._end(call, chunks.rest)
        else:
            self._body_left -= len(data)
            if self._body_left < 0:
                raise self._too_large()
            call.receiver.body_received(data)

    def _end(self, call: HttpCall, rest: bytes) -> None:
        transport = self._transport
        self._call = None
        self._chunks = None
        self._phase = _HEAD
        call.connection = None
        call.finish()
        if transport is None or transport.is_closing():
            pass
        elif rest or self._rest or not self._keep_alive or transport.get_write_buffer_size():
            transport.abort()
        else:
            self._pool.release(self)
        call.receiver.response_ended()

    def _too_large(self) -> UpstreamProtocol:
        return UpstreamProtocol(f"the response is over `result_bytes` ({self._limits.result_bytes} bytes)")


def _kept_s(told: str) -> float:
    """Of a `Keep-Alive: timeout=5` (RFC 2068, 19.7.1.1). One second is left for the way there."""
    for parameter in told.split(","):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdigit() and len(value) < 10:
            return max(0.0, int(value) - 1.0)
    return inf


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    headers = dict(fields)
    if len(headers) != len(fields):
        headers.clear()
        for name, value in fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
