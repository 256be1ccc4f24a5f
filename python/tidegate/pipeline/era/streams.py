"""Answers over HTTP: one JSON body, or a stream of events when something comes before the answer.

Within a session a stream is resumable: its last events are kept, and a client that lost the connection asks
for the rest by `Last-Event-ID` (2025-11-25, basic/transports "Resumability and Redelivery"). Without a
session nothing is kept: a closed stream cancels its request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from tidegate.config.snapshot import Limits
from tidegate.pipeline.codec import encode_sse
from tidegate.pipeline.era.wire import http_status, retry_after
from tidegate.pipeline.peer import HttpPost, StreamBody
from tidegate.pipeline.relay.origin import Origin, ReplyForm

JSON: Final = ("content-type", "application/json")
_SSE: Final = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
)
KEEP_ALIVE_S: Final = 25.0
"""Between comments on a quiet stream: under the minute after which middleboxes drop connections."""
_LINGER_S: Final = 3.0
"""A session's request that takes longer becomes a stream, so that its answer can be resumed."""
_RESUME_S: Final = 30.0
"""How long a request goes on for a client that lost its stream."""


class EventBody:
    """An SSE response body with keep-alive comments."""

    __slots__ = ("_body", "_timer")

    def __init__(self, request: HttpPost, headers: list[tuple[str, str]]) -> None:
        self._body: StreamBody = request.start_stream(200, [*_SSE, *headers])
        self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._keep_alive)

    @property
    def closed(self) -> bool:
        return self._body.closed

    def write(self, data: bytes) -> None:
        self._body.write(data)

    def close(self) -> None:
        self._timer.cancel()
        self._body.close()

    def _keep_alive(self) -> None:
        if not self._body.closed:
            self._body.write(b":\n\n")
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._keep_alive)


class StatelessOutlet:
    """The answer to one stateless POST."""

    __slots__ = ("_body", "_request", "origin")

    def __init__(self, request: HttpPost, origin: Origin | None = None) -> None:
        self._request = request
        self.origin = origin
        self._body: EventBody | None = None

    def reply(self, message: bytes, code: int | None) -> None:
        if self._body is None:
            if not self._request.gone:
                headers = (JSON,) if code is None else (JSON, *retry_after(code))
                self._request.respond(http_status(code), headers, message)
        else:
            self._body.write(encode_sse(message, "message"))
            self._body.close()

    def notify(self, message: bytes) -> None:
        if self._body is None:
            if self._request.gone:
                return
            self._body = EventBody(self._request, [])
        self._body.write(encode_sse(message, "message"))

    @property
    def alive(self) -> bool:
        return not self._request.gone

    @property
    def reply_form(self) -> ReplyForm:
        return self._request.reply_form((JSON,))

    def abandon(self) -> None:
        """Nothing will be answered any more."""
        if self._body is not None:
            self._body.close()


class Replay:
    """The last events of a session's streams, bounded in number and bytes."""

    def __init__(self, limits: Limits, *, prime: bool) -> None:
        self._limits = limits
        self.prime = prime
        """Streams open with an empty event, so that there is an id to resume from (2025-11-25)."""
        self._events: deque[tuple[int, int, bytes]] = deque()
        self._bytes = 0
        self._streams = 0
        self.live: dict[int, SessionOutlet | GeneralStream] = {}

    def new_stream(self) -> int:
        self._streams += 1
        return self._streams

    def keep(self, stream: int, number: int, event: bytes) -> None:
        self._events.append((stream, number, event))
        self._bytes += len(event)
        while len(self._events) > self._limits.replay_events or (
            self._bytes > self._limits.replay_bytes and len(self._events) > 1
        ):
            self._bytes -= len(self._events.popleft()[2])

    def after(self, stream: int, number: int) -> list[bytes]:
        return [event for of, at, event in self._events if of == stream and at > number]

    def end_all(self) -> None:
        for outlet in list(self.live.values()):
            outlet.hang_up()


def event_id(stream: int, number: int) -> str:
    return f"{stream}-{number}"


def read_event_id(text: str) -> tuple[int, int] | None:
    stream, _, number = text.partition("-")
    if stream.isdigit() and number.isdigit() and len(text) < 40:
        return int(stream), int(number)
    return None


class _Numbered:
    """A stream of numbered events that survives the connection it is written to."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.stream = replay.new_stream()
        self.number = 0
        self.body: EventBody | None = None

    def begin(self, request: HttpPost, headers: list[tuple[str, str]]) -> None:
        self.body = EventBody(request, headers)
        self.replay.live[self.stream] = self  # type: ignore[assignment]
        if self.replay.prime:
            self.body.write(encode_sse(b"", id=event_id(self.stream, 0)))

    def event(self, message: bytes) -> None:
        self.number += 1
        data = encode_sse(message, "message", event_id(self.stream, self.number))
        self.replay.keep(self.stream, self.number, data)
        if self.body is not None:
            self.body.write(data)

    def resume(self, request: HttpPost, number: int) -> None:
        """The client is back: what it missed, then what follows."""
        if self.body is not None:
            self.body.close()
        self.body = EventBody(request, [])
        for data in self.replay.after(self.stream, number):
            self.body.write(data)

    def hang_up(self) -> None:
        """Closes the connection; the stream may be resumed."""
        if self.body is not None:
            self.body.close()
            self.body = None


class SessionOutlet(_Numbered):
    """The answer to one POST within a session."""

    def __init__(
        self,
        request: HttpPost,
        replay: Replay,
        *,
        streams: bool,
        origin: Origin | None = None,
        waited_s: float = 0.0,
    ) -> None:
        """`waited_s`: how long ago the request came."""
        super().__init__(replay)
        self._request: HttpPost | None = request
        self.origin = origin
        self.headers: list[tuple[str, str]] = []
        self._streams = streams
        """Whether the client takes an event stream."""
        self._done = False
        self._linger: asyncio.TimerHandle | None = None
        self._given_up: asyncio.TimerHandle | None = None
        self.cancel: Callable[[], None] | None = None
        """Stops the request when nobody can receive its answer."""
        request.on_disconnect = self._disconnected
        if streams:
            self._linger = asyncio.get_running_loop().call_later(max(0.0, _LINGER_S - waited_s), self._to_stream)

    def reply(self, message: bytes, code: int | None) -> None:
        if self._done:
            return
        self._end()
        if self._request is not None:
            request, self._request = self._request, None
            request.on_disconnect = None
            request.respond(200, [JSON, *self.headers], message)
        else:
            self.event(message)
            self.hang_up()

    def notify(self, message: bytes) -> None:
        if not self._done:
            self._to_stream()
            if self._request is None:
                self.event(message)

    @property
    def reply_form(self) -> ReplyForm | None:
        return self._request.reply_form((JSON,)) if self._request is not None and not self.headers else None

    @property
    def alive(self) -> bool:
        return not self._done and (self.body is not None or self._request is not None)

    def abandon(self) -> None:
        """Nothing will be answered any more (the client cancelled)."""
        if not self._done:
            self._end()
            if self._request is not None:
                request, self._request = self._request, None
                request.on_disconnect = None
                EventBody(request, self.headers).close()
            self.hang_up()

    def resume(self, request: HttpPost, number: int) -> None:
        if self._given_up is not None:
            self._given_up.cancel()
            self._given_up = None
        super().resume(request, number)
        request.on_disconnect = self._disconnected
        if self._done:
            self.hang_up()

    def _to_stream(self) -> None:
        request = self._request
        if request is not None and self._streams and not self._done:
            self._request = None
            self.begin(request, self.headers)

    def _end(self) -> None:
        self._done = True
        self.replay.live.pop(self.stream, None)
        for timer in (self._linger, self._given_up):
            if timer is not None:
                timer.cancel()

    def _disconnected(self) -> None:
        self.body = None
        if self._done:
            return
        if self._request is not None:
            # No event was sent, so there is no id to resume from: the answer could never arrive.
            self._request = None
            self._end()
            if self.cancel is not None:
                self.cancel()
        else:
            self._given_up = asyncio.get_running_loop().call_later(_RESUME_S, self._give_up)

    def _give_up(self) -> None:
        if not self._done:
            self._end()
            if self.cancel is not None:
                self.cancel()


class GeneralStream(_Numbered):
    """A session's GET stream: what belongs to no request."""

    def __init__(self, replay: Replay, request: HttpPost) -> None:
        super().__init__(replay)
        self.begin(request, [])
        request.on_disconnect = self.hang_up

    def notify(self, message: bytes) -> None:
        self.event(message)

    def resume(self, request: HttpPost, number: int) -> None:
        super().resume(request, number)
        request.on_disconnect = self.hang_up

    @property
    def alive(self) -> bool:
        return self.body is not None and not self.body.closed
