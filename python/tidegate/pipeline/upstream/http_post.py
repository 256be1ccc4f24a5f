"""One message sent by POST, and what it is answered with: JSON, an event stream, or a status that says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.errors import NoMemory, TidegateError, UpstreamClosed, UpstreamProtocol, UpstreamUnreachable
from tidegate.pipeline.codec import SseDecoder
from tidegate.pipeline.upstream.http_call import HttpCall
from tidegate.pipeline.upstream.http_refusal import of_backend, refusal
from tidegate.pipeline.upstream.link import Call

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.streamable_http import StreamableHttpLink

_NO_SESSION: Final = (b"session", b"not initialized")
"""Words of servers that answer 400 where the specification wants 404 for a session they do not know."""


class Post:
    """Receives what a POST is answered with."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_decoder",
        "_headers",
        "_last_event_id",
        "_link",
        "_retry_ms",
        "_status",
        "call",
        "http",
    )

    def __init__(self, link: StreamableHttpLink, call: Call | None) -> None:
        self._link = link
        self.call = call
        """None for a notification, or for an answer to the server."""
        self._status = 0
        self._headers: dict[str, str] = {}
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

    # -- ResponseReceiver -----------------------------------------------------------------------------------

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self._headers = headers
        self._link.learned_session(headers)
        if headers.get("content-type", "").lower().startswith("text/event-stream") and status == 200:
            self._decoder = self._link.decoder()

    def body_received(self, data: bytes) -> None:
        if self._decoder is None:
            self._body.append(data)
            self._body_bytes += len(data)
            if self._body_bytes > self._link.max_bytes:
                self._nonsense(f"an answer over {self._link.max_bytes} bytes")
            return
        try:
            events = self._decoder.feed(data)
        except TidegateError as error:
            self._nonsense(str(error))
            return
        for event in events:
            if event.id is not None:
                self._last_event_id = event.id
            if event.retry_ms is not None:
                self._retry_ms = event.retry_ms
            self._link.message(event.data, self.call)

    def response_ended(self) -> None:
        call = self._let_go()
        if self._decoder is not None:
            self._stream_ended(call, "closed the stream before it answered")
            return
        status, link = self._status, self._link
        try:
            body = b"".join(self._body)
        except MemoryError:
            link.fail(call, NoMemory(f"no memory is left for an answer of {self._body_bytes} bytes"))
            return
        finally:
            self._body.clear()
        if link.in_session and self._forgot_session(status, body):
            link.session_unknown(call)
        elif self._is_message(status, body) and (call is not None or status < 400):
            link.message(body, call)
            if call is not None and call.open:
                link.fail(call, UpstreamProtocol(f"backend `{link.name}` answered another request than it was asked"))
        elif call is not None or status >= 400:
            link.refused(call, refusal(link.backend, status, self._headers, empty=not body), status)

    def request_failed(self, error: TidegateError) -> None:
        call = self._let_go()
        if self._decoder is not None:
            self._stream_ended(call, f"broke the stream off before it answered: {error}")
        elif isinstance(error, UpstreamUnreachable):
            self._link.unreachable(call, of_backend(self._link.name, error))
        else:
            self._link.broken(call, of_backend(self._link.name, error))

    # -- inside ---------------------------------------------------------------------------------------------

    def _stream_ended(self, call: Call | None, how: str) -> None:
        if call is None or not call.open:
            return
        if self._last_event_id is not None and self._link.in_session:
            self._link.resume(call, self._last_event_id, self._retry_ms)
        else:
            self._link.broken(call, UpstreamClosed(f"backend `{self._link.name}` {how}"))

    @staticmethod
    def _forgot_session(status: int, body: bytes) -> bool:
        return status == 404 or (status == 400 and any(word in body[:1000].lower() for word in _NO_SESSION))

    @staticmethod
    def _is_message(status: int, body: bytes) -> bool:
        """Or meant as one, at least. What is said with a refusal of credentials is none, whatever it looks like."""
        if status < 300:
            return body.lstrip()[:1] in (b"{", b"[")
        return status not in (401, 407) and body.lstrip()[:1] == b"{" and b'"jsonrpc"' in body

    def _let_go(self) -> Call | None:
        """Ends the ring of call, receiver and HTTP request, which only the collector would find."""
        self._link.forget(self)
        call, self.call = self.call, None
        self.http = None
        if call is not None:
            call.link_state = None
        return call

    def _nonsense(self, reason: str) -> None:
        name = self._link.name
        self._link.fail(self.call, UpstreamProtocol(f"backend `{name}` answered with what is no message: {reason}"))
        self.cancel()
