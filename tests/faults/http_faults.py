"""What can go wrong with one answer of an HTTP server: a row a fault. To add one is to add a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faulty_http import Asked, dump

STREAMABLE = ("modern", "session")
EVERY = (*STREAMABLE, "sse")
_NOTICE = dump({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}})


@dataclass(frozen=True)
class HttpFault:
    name: str
    act: Callable[[Asked], None]
    says: str
    """Of the error that the caller gets, as a regular expression."""
    eras: tuple[str, ...] = EVERY
    asked: int = 1
    """How often the server hears of the call: twice where it said that it had not looked at it."""


def _then_reset(data: bytes) -> Callable[[Asked], None]:
    def act(asked: Asked) -> None:
        asked.say(data)
        asked.later(0.02, asked.reset)

    return act


def _then_close(data: bytes) -> Callable[[Asked], None]:
    def act(asked: Asked) -> None:
        asked.say(data)
        asked.close()

    return act


def _status(line: str, *fields: str, body: bytes = b"no", kind: str = "text/plain") -> Callable[[Asked], None]:
    return lambda asked: asked.respond(line, body, *fields, kind=kind)


def _ok(body: bytes, kind: str = "application/json") -> Callable[[Asked], None]:
    return lambda asked: asked.respond("200 OK", body, kind=kind)


def _drip(data: bytes) -> Callable[[Asked], None]:
    """A byte at a time, until the peer has had enough."""

    def act(asked: Asked) -> None:
        def drop(at: int) -> None:
            if asked.road.transport is not None and at < len(data):
                asked.say(data[at : at + 1])
                asked.later(0.03, lambda: drop(at + 1))

        drop(0)

    return act


def _begun(data: bytes, act: Callable[[Asked], None]) -> Callable[[Asked], None]:
    def begin(asked: Asked) -> None:
        asked.say(data)
        act(asked)

    return begin


def _pour(begin: bytes, piece: bytes) -> Callable[[Asked], None]:
    """The same piece for ever, as fast as it is taken."""

    def act(asked: Asked) -> None:
        def go_on() -> None:
            transport = asked.road.transport
            if transport is None or transport.is_closing():
                return
            if transport.get_write_buffer_size() < 1 << 20:
                transport.write(piece)
            asked.later(0.001, go_on)

        asked.say(begin)
        go_on()

    return act


def _events(*events: bytes) -> Callable[[Asked], None]:
    """A stream of these, which then ends in order."""

    def act(asked: Asked) -> None:
        asked.stream()
        for event in events:
            asked.event(event)
        asked.end_stream()

    return act


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LATE = r"did not answer `tools/call` within 0\.4 s"
_CLOSED = r"closed the connection|reset"

FAULTS = [
    # -- it breaks off
    HttpFault("resets at once", lambda asked: asked.reset(), _CLOSED),
    HttpFault("closes at once", lambda asked: asked.close(), "closed the connection without an answer"),
    HttpFault("resets in the head", _then_reset(b"HTTP/1.1 200 OK\r\ncontent-ty"), _CLOSED),
    HttpFault(
        "closes in the head", _then_close(b"HTTP/1.1 200 OK\r\ncontent-ty"), "closed the connection within the head"
    ),
    HttpFault(
        "resets in the body", _then_reset(b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"json'), _CLOSED, STREAMABLE
    ),
    HttpFault("closes in a chunk", _then_close(_JSON + b'20\r\n{"jsonrpc"'), _CLOSED, STREAMABLE),
    HttpFault("ends its stream without the answer", _events(_NOTICE), "before it answered", STREAMABLE),
    HttpFault(
        "cuts its stream", _then_close(_SSE + _chunk(b"data: " + _NOTICE + b"\n\n")), "before it answered", STREAMABLE
    ),
    HttpFault("resets its stream", _then_reset(_SSE + _chunk(b"data: " + _NOTICE)), "before it answered", STREAMABLE),
    # -- it hangs
    HttpFault("says nothing", lambda asked: None, _LATE),
    HttpFault("hangs after the head", lambda asked: asked.say(_JSON), _LATE),
    HttpFault("hangs in a stream", lambda asked: asked.say(_SSE + _chunk(b"data: {")), _LATE),
    HttpFault("drips the head", _drip(_JSON), _LATE),
    HttpFault("drips the body", _begun(_JSON, _drip(_chunk(b"{") * 99)), _LATE),
    # -- it refuses
    HttpFault("500", _status("500 Internal Server Error"), "HTTP status 500"),
    HttpFault("502", _status("502 Bad Gateway"), "HTTP status 502"),
    HttpFault("503", _status("503 Service Unavailable", "retry-after: 7"), r"HTTP status 503.*7 s"),
    HttpFault("503 until a date", _status("503 Busy", "retry-after: Wed, 21 Oct 2015 07:28:00 GMT"), "HTTP status 503"),
    HttpFault("429", _status("429 Too Many Requests", "retry-after: 3"), r"HTTP status 429.*3 s"),
    HttpFault("401", _status("401 Unauthorized", "www-authenticate: Bearer"), r"HTTP status 401.*`headers`"),
    HttpFault("403", _status("403 Forbidden"), "HTTP status 403"),
    HttpFault("404", _status("404 Not Found"), "HTTP status 404", ("modern",)),
    HttpFault("404 to a message", _status("404 Not Found"), "HTTP status 404", ("sse",), asked=2),
    HttpFault(
        "301", _status("301 Moved", "location: https://elsewhere.example/mcp?key=secret"), r"HTTP status 301.*`url`"
    ),
    HttpFault("202 instead of an answer", _status("202 Accepted", body=b""), "HTTP status 202", STREAMABLE),
    HttpFault("204 instead of an answer", lambda asked: asked.head("204 No Content"), "HTTP status 204", STREAMABLE),
    # -- it talks nonsense
    HttpFault("no HTTP", _then_close(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "not in HTTP"),
    HttpFault("HTTP/2", _then_close(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" * 9), r"not in HTTP|closed"),
    HttpFault("an HTML page", _ok(b"<html>log in</html>", "text/html"), "`text/html`", STREAMABLE),
    HttpFault("broken JSON", _ok(b'{"jsonrpc":"2.0","id":1,"result":{'), "no message", STREAMABLE),
    HttpFault("no UTF-8", _ok(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}'), "no message", STREAMABLE),
    HttpFault("JSON of a deep nest", _ok(b"[" * 100_000), "no message", STREAMABLE),
    HttpFault("an array", _ok(b"[1,2]"), "no message", STREAMABLE),
    HttpFault("nothing", _ok(b""), "with nothing", STREAMABLE),
    HttpFault(
        "an answer to something else", _ok(b'{"jsonrpc":"2.0","id":"x","result":{}}'), "another request", STREAMABLE
    ),
    HttpFault("a stream of garbage", _events(b"{", b"\xff", b"[]"), "before it answered|no message", STREAMABLE),
    HttpFault("an answer in gzip", _status("200 OK", "content-encoding: gzip"), "gzip", STREAMABLE),
    # -- it is too much
    HttpFault(
        "a body of terabytes", lambda asked: asked.head("200 OK", "content-length: 9999999999999"), "result_bytes"
    ),
    HttpFault("a body without end", _pour(_JSON, _chunk(b" " * 65536)), "result_bytes", STREAMABLE),
    HttpFault("an event without end", _pour(_SSE, _chunk(b"data: " + b"x" * 65536)), "bytes", STREAMABLE),
    HttpFault("comments without end", _pour(_SSE, _chunk(b": x\n\n" * 9000)), _LATE, STREAMABLE),
    HttpFault("notices without end", _pour(_SSE, _chunk((b"data: " + _NOTICE + b"\n\n") * 500)), _LATE, STREAMABLE),
    HttpFault("a head without end", _pour(b"HTTP/1.1 200 OK\r\n", b"x-y: z\r\n" * 999), "head|header"),
    HttpFault("1xx without end", _pour(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), "100"),
]
