"""A server over Streamable HTTP, in either era: one POST a message, answered by JSON or by an event stream.

Within a session (2025-03-26 … 2025-11-25) the link carries `Mcp-Session-Id`, keeps a GET stream open for
what the server says by itself, and resumes a broken stream by `Last-Event-ID`. Without one (2026-07-28) it
mirrors the method, the name and marked arguments into headers, and cancels by closing the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidegate.config.snapshot import Backend
from tidegate.errors import TidegateError, UpstreamClosed, UpstreamProtocol
from tidegate.pipeline.codec import SseDecoder
from tidegate.pipeline.upstream.http_client import HttpCall, HttpClient
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.protocol.meta_keys import HEADER_LAST_EVENT, HEADER_METHOD, HEADER_NAME, HEADER_SESSION, HEADER_VERSION
from tidegate.protocol.methods import LIST_METHOD
from tidegate.protocol.param_headers import encode_value

_NOTICE_TIMEOUT_S = 30.0
"""For a POST that expects no answer beyond its status."""
_REPEATABLE = frozenset(LIST_METHOD.values()) | {
    "server/discover",
    "prompts/get",
    "resources/read",
    "ping",
    "initialize",
}
"""Methods that only read: sent again when a kept connection was closed under them. A tool must not run twice."""
_REOPEN_S = 1.0
_REOPEN_MAX_S = 30.0
_RESUME_ATTEMPTS = 5
_MAX_RETRY_MS = 60_000


class HttpRefusal(UpstreamProtocol):
    """A status without a JSON-RPC body. `http_status` tells negotiation what kind of server this is."""

    http_status = 0


def of_backend(name: str, error: TidegateError) -> TidegateError:
    """The HTTP client knows addresses; people know their backends by name."""
    return type(error)(f"backend `{name}`: {error}")


class StreamableHttpLink:
    """One MCP endpoint."""

    def __init__(self, backend: Backend, client: HttpClient, *, max_bytes: int) -> None:
        self._backend = backend
        self._client = client
        self._max_bytes = max_bytes
        self._owner: LinkOwner | None = None
        self._headers = [(key, value.reveal()) for key, value in backend.headers]
        self._version = ""
        self._stateless = False
        self._session_id: str | None = None
        self._standing: _EventStream | None = None
        self._live: set[_Post | _EventStream] = set()
        self._closed = False

    @property
    def cancels_by_closing(self) -> bool:
        return self._stateless

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner

    def stateful(self, version: str) -> None:
        self._version = version
        self._standing = _EventStream(self, None, None, 0)
        self._standing.start()

    def stateless(self, version: str) -> None:
        self._version = version
        self._stateless = True

    def send(self, message: bytes, call: Call | None) -> None:
        if self._closed:
            return
        post = _Post(self, call)
        self._live.add(post)
        if call is not None:
            call.link_state = post
        post.http = self._client.request(
            "POST",
            self._backend.url,
            self.headers(call, "application/json, text/event-stream", "application/json"),
            message,
            post,
            deadline_s=_NOTICE_TIMEOUT_S if call is None else None,
            repeatable=call is None or call.method in _REPEATABLE,
        )

    def headers(self, call: Call | None, accept: str, content_type: str | None = None) -> list[tuple[str, str]]:
        headers = [*self._headers, ("accept", accept)]
        if content_type:
            headers.append(("content-type", content_type))
        if self._version:
            headers.append((HEADER_VERSION, self._version))
        if self._session_id is not None:
            headers.append((HEADER_SESSION, self._session_id))
        if self._stateless and call is not None:
            headers.append((HEADER_METHOD, call.method))
            if call.params_name is not None:
                headers.append((HEADER_NAME, encode_value(call.params_name)))
            headers.extend(call.headers)
        return headers

    def probe_as(self, version: str) -> None:
        """The next request goes out as one of the stateless era."""
        self._version = version
        self._stateless = True

    def probe_over(self) -> None:
        """The server is none of that era: back to a link that has agreed on nothing."""
        self._version = ""
        self._stateless = False

    def abandon(self, call: Call) -> None:
        state = call.link_state
        if isinstance(state, (_Post, _EventStream)):
            state.cancel()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        for live in list(self._live):
            live.cancel()
        if self._standing is not None:
            self._standing.cancel()
        if self._session_id is not None:
            done = asyncio.get_running_loop().create_future()
            self._client.request(
                "DELETE", self._backend.url, self.headers(None, "application/json"), b"", _Until(done), deadline_s=2.0
            )
            try:
                async with asyncio.timeout(2.0):
                    await done
            except TimeoutError:
                pass
        self._owner = None

    def statistics(self) -> dict[str, object]:
        return {"streams": len(self._live), "session": self._session_id is not None}

    # -- for its streams ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._backend.name

    def learned_session(self, headers: dict[str, str]) -> None:
        session_id = headers.get(HEADER_SESSION)
        if session_id and self._session_id is None and not self._stateless:
            self._session_id = session_id

    def session_expired(self) -> None:
        if self._session_id is not None and self._owner is not None and not self._closed:
            self._session_id = None
            owner, self._owner = self._owner, None
            owner.lost(UpstreamClosed(f"backend `{self.name}` ended the session"))

    def decoder(self) -> SseDecoder:
        return SseDecoder(self._max_bytes)

    def message(self, data: bytes, call: Call | None) -> None:
        if self._owner is not None and data:
            self._owner.received(data, call)

    def listening(self) -> None:
        if self._owner is not None:
            self._owner.listening()

    def fail(self, call: Call | None, error: TidegateError) -> None:
        if call is not None and self._owner is not None:
            self._owner.call_failed(call, error)

    def open_get(self, last_event_id: str | None, receiver: _EventStream) -> HttpCall:
        headers = self.headers(None, "text/event-stream")
        if last_event_id is not None:
            headers.append((HEADER_LAST_EVENT, last_event_id))
        return self._client.request("GET", self._backend.url, headers, b"", receiver, deadline_s=None)

    def resume(self, call: Call, last_event_id: str, retry_ms: int) -> None:
        stream = _EventStream(self, call, last_event_id, retry_ms)
        call.link_state = stream
        self._live.add(stream)
        stream.start()

    def forget(self, live: _Post | _EventStream) -> None:
        self._live.discard(live)

    @property
    def closed(self) -> bool:
        return self._closed or self._owner is None

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @property
    def in_session(self) -> bool:
        return self._session_id is not None


class _Post:
    """Receives what a POST is answered with."""

    __slots__ = ("_body", "_body_bytes", "_call", "_decoder", "_last_event_id", "_link", "_retry_ms", "_status", "http")

    def __init__(self, link: StreamableHttpLink, call: Call | None) -> None:
        self._link = link
        self._call = call
        self._status = 0
        self._decoder: SseDecoder | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._last_event_id: str | None = None
        self._retry_ms = 0
        self.http: HttpCall | None = None

    def cancel(self) -> None:
        self._link.forget(self)
        if self.http is not None:
            self.http.cancel()

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self._link.learned_session(headers)
        if headers.get("content-type", "").lower().startswith("text/event-stream") and status == 200:
            self._decoder = self._link.decoder()

    def body_received(self, data: bytes) -> None:
        if self._decoder is None:
            self._body.append(data)
            self._body_bytes += len(data)
            if self._body_bytes > self._link.max_bytes:
                self._link.fail(self._call, self._error(f"an answer over {self._link.max_bytes} bytes"))
                self.cancel()
            return
        try:
            events = self._decoder.feed(data)
        except TidegateError as error:
            self._link.fail(self._call, self._error(str(error)))
            self.cancel()
            return
        for event in events:
            if event.id is not None:
                self._last_event_id = event.id
            if event.retry_ms is not None:
                self._retry_ms = event.retry_ms
            self._link.message(event.data, self._call)

    def response_ended(self) -> None:
        call = self._let_go()
        if self._decoder is not None:
            if call is None or not call.open:
                return
            if self._last_event_id is not None and self._link.in_session:
                self._link.resume(call, self._last_event_id, self._retry_ms)
            else:
                self._link.fail(call, self._closed("closed the stream before it answered"))
            return
        body = b"".join(self._body)
        self._body.clear()
        if self._status == 404 and self._link.in_session:
            self._link.session_expired()
        elif body.lstrip()[:1] == b"{" and (call is not None or self._status < 400):
            self._link.message(body, call)
        elif call is not None:
            refusal = HttpRefusal(f"backend `{self._link.name}` answered with HTTP status {self._status}")
            refusal.http_status = self._status
            self._link.fail(call, refusal)

    def _let_go(self) -> Call | None:
        """Ends the ring of call, receiver and HTTP request, which only the collector would find."""
        self._link.forget(self)
        call, self._call = self._call, None
        self.http = None
        if call is not None:
            call.link_state = None
        return call

    def request_failed(self, error: TidegateError) -> None:
        call = self._let_go()
        if call is None or not call.open:
            return
        if self._last_event_id is not None and self._link.in_session:
            self._link.resume(call, self._last_event_id, self._retry_ms)
        else:
            self._link.fail(call, of_backend(self._link.name, error))

    def _error(self, reason: str) -> TidegateError:
        return UpstreamProtocol(f"backend `{self._link.name}` answered with what is no message: {reason}")

    def _closed(self, how: str) -> TidegateError:
        return UpstreamClosed(f"backend `{self._link.name}` {how}")


class _EventStream:
    """A GET stream: the standing one of a session (`call` None), or the rest of a broken answer."""

    __slots__ = (
        "_attempt",
        "_call",
        "_cancelled",
        "_decoder",
        "_http",
        "_last_event_id",
        "_link",
        "_refused",
        "_retry_ms",
    )

    def __init__(self, link: StreamableHttpLink, call: Call | None, last_event_id: str | None, retry_ms: int) -> None:
        self._link = link
        self._call = call
        self._last_event_id = last_event_id
        self._retry_ms = retry_ms
        self._decoder: SseDecoder | None = None
        self._http: HttpCall | None = None
        self._attempt = 0
        self._cancelled = False
        self._refused = False

    def start(self) -> None:
        if self._call is None:
            self._open()
        else:
            self._later(self._open, min(self._retry_ms, _MAX_RETRY_MS) / 1000)

    def cancel(self) -> None:
        self._cancelled = True
        self._link.forget(self)
        if self._http is not None:
            self._http.cancel()

    def _later(self, step: Callable[[], None], delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, step)

    def _open(self) -> None:
        call = self._call
        if self._cancelled or self._link.closed or (call is not None and not call.open):
            self._link.forget(self)
            return
        self._refused = False
        self._decoder = None
        self._http = self._link.open_get(self._last_event_id, self)

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        if status == 200 and headers.get("content-type", "").lower().startswith("text/event-stream"):
            self._decoder = self._link.decoder()
            self._attempt = 0
            if self._call is None:
                self._link.listening()
        else:
            self._refused = True

    def body_received(self, data: bytes) -> None:
        if self._decoder is None:
            return
        try:
            events = self._decoder.feed(data)
        except TidegateError:
            if self._http is not None:
                self._http.cancel()
            self._again()
            return
        for event in events:
            if event.id is not None:
                self._last_event_id = event.id
            if event.retry_ms is not None:
                self._retry_ms = event.retry_ms
            self._link.message(event.data, self._call)

    def response_ended(self) -> None:
        if self._refused:
            if self._call is not None:
                self._link.forget(self)
                self._link.fail(
                    self._call, UpstreamClosed(f"backend `{self._link.name}` closed the stream and does not resume it")
                )
            # A server without a standing stream says so by 405; it is not asked again.
            return
        self._again()

    def request_failed(self, error: TidegateError) -> None:
        self._again()

    def _again(self) -> None:
        self._attempt += 1
        if self._call is not None and self._attempt > _RESUME_ATTEMPTS:
            self._link.forget(self)
            self._link.fail(self._call, UpstreamClosed(f"backend `{self._link.name}` broke the stream off for good"))
            return
        delay_s = max(
            min(self._retry_ms, _MAX_RETRY_MS) / 1000, min(_REOPEN_S * 2 ** (self._attempt - 1), _REOPEN_MAX_S)
        )
        self._later(self._open, delay_s)


class _Until:
    """Resolves a future when the exchange is over, however."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self._done = done

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        pass

    def body_received(self, data: bytes) -> None:
        pass

    def response_ended(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def request_failed(self, error: TidegateError) -> None:
        self.response_ended()
