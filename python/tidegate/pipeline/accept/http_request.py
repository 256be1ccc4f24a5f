"""A request as the eras see it, and the two ways to answer it: one body, or a stream.

Made by `http1.py`, which owns the connection and gives this module a narrow port onto it. Nothing here reads from
the network. RFC 9110 for the fields, RFC 9112 for their bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from tidegate.errors import BadEncoding, BadHttp, TidegateError, TooLarge
from tidegate.pipeline.accept.peer_address import Address
from tidegate.pipeline.codec import RequestHead, compress, inflate
from tidegate.pipeline.relay.origin import ReplyForm
from tidegate.protocol.meta_keys import OPENAI_PATH

Headers = Sequence[tuple[str, str]]

COMPRESS_MIN_BYTES: Final = 1024
"""Bodies below this cost more to compress than to send."""
_COMPRESS_MAX_BYTES: Final = 256 * 1024
"""Bodies above this would hold the event loop for milliseconds; they are sent as they are."""
_COMPRESSIBLE: Final = ("application/json", "text/")

_INFLATABLE: Final = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "deflate": "deflate"}

_STATUS_LINES: Final = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}


class UnknownCoding(BadEncoding):
    """A content coding that is not supported (RFC 9110, 8.4)."""

    slug = "unknown_coding"
    status = 415


class ResponsePort(Protocol):
    """What a request may do with its connection."""

    @property
    def compress_min_bytes(self) -> int: ...

    @property
    def peername(self) -> Address: ...

    @property
    def local_address(self) -> Address: ...

    def keeps_alive(self) -> bool:
        """Whether the connection will take another request after this one."""

    def end_keep_alive(self) -> None:
        """The response ends where the connection does."""

    def write(self, data: bytes) -> None: ...

    def write_piece(self, data: bytes) -> None:
        """Writes, unless the client has left too much unread: then the connection is cut."""

    def complete(self) -> None:
        """The response is written to its last byte."""

    def unsent_bytes(self) -> int: ...

    def extra_info(self, name: str) -> object: ...


class HttpRequest:
    """One request, complete. Answer it once, at any time: by `respond` or by `start_stream`.

    When the client is gone, answering does nothing.
    """

    __slots__ = (
        "_accepted",
        "_port",
        "answered",
        "body",
        "extra_headers",
        "headers",
        "method",
        "minor",
        "on_disconnect",
        "path",
        "query",
    )

    def __init__(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes, minor: int, port: ResponsePort
    ) -> None:
        self.method = method
        self.path = path
        """As sent: not percent-decoded, without the query."""
        self.query = query
        """As sent, without the `?`."""
        self.headers = headers
        """Names in lower case; repeated fields joined with ", "."""
        self.body = body
        """Dechunked, and inflated if it had a content coding."""
        self.minor = minor
        """1 for HTTP/1.1, 0 for HTTP/1.0."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called once if the client goes away before the response is complete."""
        self.extra_headers: Headers = ()
        """Sent with whatever answers it."""
        self.answered = False
        self._port: ResponsePort | None = port
        self._accepted: dict[str, float] | None = None

    @property
    def peername(self) -> Address:
        return self._port.peername if self._port else ""

    @property
    def local_address(self) -> Address:
        return self._port.local_address if self._port else ""

    @property
    def gone(self) -> bool:
        """The response is complete, or nobody is left to read it."""
        return self._port is None

    def extra_info(self, name: str) -> object:
        """`transport.get_extra_info`: "socket", "peercert", …; None once the request is over."""
        return self._port.extra_info(name) if self._port else None

    def accepts(self, coding: str) -> bool:
        """Whether `Accept-Encoding` allows the content coding (RFC 9110, 12.5.3)."""
        if self._accepted is None:
            self._accepted = _weights(self.headers.get("accept-encoding", ""))
        weight = self._accepted.get(coding)
        return (self._accepted.get("*", 0.0) if weight is None else weight) > 0

    def inflate(self, max_bytes: int) -> None:
        """For the connection: undoes the content coding of `body`.

        Raises:
            UnknownCoding, BadEncoding, TooLarge.
        """
        coding = self.headers["content-encoding"].strip().lower()
        if coding == "identity":
            return
        if coding not in _INFLATABLE:
            raise UnknownCoding("the `content-encoding` is none of `gzip`, `zstd`, `deflate`")
        try:
            self.body = inflate(_INFLATABLE[coding], self.body, max_bytes)
        except TooLarge:
            raise body_too_large(max_bytes) from None

    def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Sends a whole response in one write, compressed if the client takes that and it is worth it."""
        port = self._unanswered()
        if port is None:
            return
        head = [_status_line(status)]
        compressible = len(body) >= port.compress_min_bytes and "accept-encoding" in self.headers
        coded = False
        for name, value in (*headers, *self.extra_headers) if self.extra_headers else headers:
            head.append(_field(name, value))
            if compressible:
                lower = name.lower()
                if lower == "content-type":
                    coded = value.startswith(_COMPRESSIBLE)
                elif lower == "content-encoding":
                    compressible = False
        if compressible and coded and len(body) <= _COMPRESS_MAX_BYTES:
            coding = self._coding()
            if coding:
                body = compress(coding, body)
                head.append(f"content-encoding: {coding}\r\nvary: accept-encoding\r\n")
        head.append(self._connection_field(port))
        if status == 204 or status == 304:
            head.append("\r\n")
            body = b""
        else:
            head.append(f"content-length: {len(body)}\r\n\r\n")
        raw = "".join(head).encode("latin-1")
        self.answered = True
        self.on_disconnect = None
        self._port = None
        port.write(raw if self.method == "HEAD" else raw + body)
        port.complete()

    def reply_form(self, headers: Headers) -> ReplyForm:
        """What `respond` would write around a JSON body with status 200 and these headers, over HTTP/1.1."""
        head = [_status_line(200), *[_field(name, value) for name, value in (*headers, *self.extra_headers)]]
        coding = ""
        if "accept-encoding" in self.headers:
            coding = self._coding()
        return ReplyForm(
            "".join(head).encode("latin-1"),
            coding,
            self._port.compress_min_bytes if self._port is not None else COMPRESS_MIN_BYTES,
            _COMPRESS_MAX_BYTES,
        )

    def _coding(self) -> str:
        return "zstd" if self.accepts("zstd") else "gzip" if self.accepts("gzip") else ""

    def refuse(self, error: TidegateError, headers: Headers = ()) -> None:
        """Answers with an error that belongs to no request id; see `refusal_body`."""
        self.respond(error.status, (*headers, ("content-type", "application/json")), refusal_body(error, self.path))

    def start_stream(self, status: int = 200, headers: Headers = ()) -> HttpStream:
        """Sends the head now and the body as it comes: chunked, or until close for HTTP/1.0."""
        port = self._unanswered()
        bodiless = self.method == "HEAD" or status == 204 or status == 304
        chunked = self.minor == 1 and not bodiless
        if port is not None:
            head = [_status_line(status), *[_field(name, value) for name, value in (*headers, *self.extra_headers)]]
            if not chunked and not bodiless:
                port.end_keep_alive()
            head.append(self._connection_field(port))
            if chunked or (self.minor == 1 and self.method == "HEAD"):
                head.append("transfer-encoding: chunked\r\n")
            head.append("\r\n")
            port.write("".join(head).encode("latin-1"))
        self.answered = True
        return HttpStream(self, port, chunked=chunked, bodiless=bodiless)

    def abandoned(self) -> None:
        """For the connection: the client is gone."""
        self._port = None
        told, self.on_disconnect = self.on_disconnect, None
        if told is not None:
            told()

    def ended(self) -> None:
        """For the stream: the response is complete."""
        port, self._port = self._port, None
        self.on_disconnect = None
        if port is not None:
            port.complete()

    def _unanswered(self) -> ResponsePort | None:
        if self.answered:
            raise RuntimeError("the request was answered already")
        return self._port

    def _connection_field(self, port: ResponsePort) -> str:
        if port.keeps_alive():
            return "" if self.minor == 1 else "connection: keep-alive\r\n"
        return "connection: close\r\n"


class HttpStream:
    """The body of a response that is sent piece by piece."""

    __slots__ = ("_bodiless", "_chunked", "_ended", "_port", "_request")

    def __init__(self, request: HttpRequest, port: ResponsePort | None, *, chunked: bool, bodiless: bool) -> None:
        self._request = request
        self._port = port
        self._chunked = chunked
        self._bodiless = bodiless
        self._ended = False

    @property
    def closed(self) -> bool:
        """It was closed, or the client is gone."""
        return self._ended or self._request.gone

    @property
    def buffered_bytes(self) -> int:
        """Written and not yet taken by the client's side."""
        return 0 if self.closed or self._port is None else self._port.unsent_bytes()

    def write(self, data: bytes) -> None:
        """Sends `data` as one chunk. Does nothing when closed.

        A client that has more than `write_buffer_bytes` unread when a write comes is cut off; the one write
        that goes past the bound may be of any size.
        """
        port = self._port
        if port is None or not data or self.closed or self._bodiless:
            return
        port.write_piece(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def close(self) -> None:
        """Ends the body. Does nothing when closed."""
        if self.closed:
            return
        self._ended = True
        if self._port is not None and self._chunked:
            self._port.write(b"0\r\n\r\n")
        self._request.ended()


def request_from(head: RequestHead, body: bytes, port: ResponsePort) -> HttpRequest:
    """Raises: BadHttp for a target that names nothing here."""
    fields = head.headers
    headers = dict(fields)
    if len(headers) != len(fields):
        headers = _joined(fields)
    target = head.target
    if not target.startswith("/"):
        target = _origin_form(head.method, target, headers)
    path, _, query = target.partition("?")
    return HttpRequest(head.method, path, query, headers, body, head.minor, port)


def body_too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the request body is over `body_bytes` ({max_bytes} bytes)")


def refusal_body(error: TidegateError, target: str = "") -> bytes:
    """The JSON-RPC error object of `error`, with id null; for clients of OpenAI's interface, by their `target`, as they
    know it.
    """
    if target.startswith(OPENAI_PATH):
        blame = "server_error" if error.status >= 500 else "invalid_request_error"
        body: dict[str, object] = {"message": str(error), "type": blame, "code": error.slug, "param": None}
        return json.dumps({"error": body}, separators=(",", ":")).encode()
    shown: dict[str, object] = {"code": error.code, "message": str(error)}
    if error.data is not None:
        shown["data"] = error.data
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": shown}, separators=(",", ":")).encode()


def _status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"


def _field(name: str, value: str) -> str:
    if "\n" in value or "\r" in value or "\n" in name or "\r" in name:
        raise ValueError(f"header `{name!r}` contains a line break")
    return f"{name}: {value}\r\n"


def _origin_form(method: str, target: str, headers: dict[str, str]) -> str:
    """An absolute-form target also overrides `Host` (RFC 9112, 3.2.2)."""
    if target == "*" and method == "OPTIONS":
        return target
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        raise BadHttp("the request target is neither a path nor an `http` URL")
    authority, slash, path = rest.partition("/")
    authority, question, query = authority.partition("?")
    headers["host"] = authority
    return slash + path if slash else f"/{question}{query}"


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _weights(accept_encoding: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in accept_encoding.split(","):
        coding, _, parameters = item.partition(";")
        weight = 1.0
        name, _, value = parameters.strip().partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
        if coding.strip():
            weights[coding.strip().lower()] = weight
    return weights
