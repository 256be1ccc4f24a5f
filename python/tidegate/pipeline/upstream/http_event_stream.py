"""A GET stream of a Streamable HTTP server: the standing one of a session, or the rest of an answer that broke off.

It is opened again by itself, with a growing pause, and goes on after the last event that came (`Last-Event-ID`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidegate.errors import TidegateError, UpstreamClosed, UpstreamUnreachable
from tidegate.pipeline.codec import SseDecoder
from tidegate.pipeline.upstream.http_call import HttpCall
from tidegate.pipeline.upstream.http_refusal import of_backend, refusal
from tidegate.pipeline.upstream.link import Call

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.streamable_http import StreamableHttpLink

_REOPEN_S: Final = 1.0
_REOPEN_MAX_S: Final = 30.0
_RESUME_ATTEMPTS: Final = 5
_MAX_RETRY_MS: Final = 60_000
_PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which it is worth while to ask again."""


class EventStream:
    """`call` is None for the standing stream."""

    __slots__ = (
        "_attempt",
        "_cancelled",
        "_decoder",
        "_headers",
        "_http",
        "_last_event_id",
        "_link",
        "_lived",
        "_retry_ms",
        "_status",
        "call",
    )

    def __init__(self, link: StreamableHttpLink, call: Call | None, last_event_id: str | None, retry_ms: int) -> None:
        self._link = link
        self.call = call
        self._last_event_id = last_event_id
        self._retry_ms = retry_ms
        self._decoder: SseDecoder | None = None
        self._http: HttpCall | None = None
        self._attempt = 0
        self._cancelled = False
        self._lived = False
        """It was open once, so the server has such streams."""
        self._status = 0
        self._headers: dict[str, str] = {}

    def start(self) -> None:
        if self.call is None:
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
        call = self.call
        if self._cancelled or self._link.closed or (call is not None and not call.open):
            self._link.forget(self)
            return
        self._decoder = None
        self._http = self._link.open_get(self._last_event_id, self)

    # -- ResponseReceiver -----------------------------------------------------------------------------------

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers
        if status == 200 and headers.get("content-type", "").lower().startswith("text/event-stream"):
            self._decoder = self._link.decoder()
            self._lived = True
            if self._http is not None:
                self._http.unlimit()
            if self.call is None:
                self._attempt = 0
                self._link.listening()

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
            # It goes on where it broke off: the attempts that led here are forgiven.
            self._attempt = 0
            if event.id is not None:
                self._last_event_id = event.id
            if event.retry_ms is not None:
                self._retry_ms = event.retry_ms
            self._link.message(event.data, self.call)

    def response_ended(self) -> None:
        if self._decoder is not None or self._status in _PASSING:
            self._again()
        elif self.call is not None:
            self._give_up(f"closed the stream and does not resume it (HTTP status {self._status})")
        elif self._status in (401, 407):
            self._link.refused(None, refusal(self._link.backend, self._status, self._headers), self._status)
        elif self._lived and self._status == 404:
            self._link.session_unknown(None)
        # Else the server has no standing stream, says so (by 405, mostly), and is not asked again.

    def request_failed(self, error: TidegateError) -> None:
        if self.call is None and isinstance(error, UpstreamUnreachable):
            self._link.unreachable(None, of_backend(self._link.name, error))
        else:
            self._again()

    def _again(self) -> None:
        self._attempt += 1
        if self.call is not None and not self.call.open:
            self._link.forget(self)
            return
        if self.call is not None and self._attempt > _RESUME_ATTEMPTS:
            self._give_up("broke the stream off for good")
            return
        delay_s = max(
            min(self._retry_ms, _MAX_RETRY_MS) / 1000, min(_REOPEN_S * 2 ** (self._attempt - 1), _REOPEN_MAX_S)
        )
        self._later(self._open, delay_s)

    def _give_up(self, how: str) -> None:
        self._link.forget(self)
        self._link.fail(self.call, UpstreamClosed(f"backend `{self._link.name}` {how}"))
