"""A server over Streamable HTTP, in either era: one POST a message, answered by JSON or by an event stream.

Within a session (2025-03-26 … 2025-11-25) the link carries `Mcp-Session-Id`, keeps a GET stream open for
what the server says by itself, and resumes a broken stream by `Last-Event-ID`. Without one (2026-07-28) it
mirrors the method, the name and marked arguments into headers, and cancels by closing the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidegate.config.snapshot import Backend
from tidegate.errors import TidegateError, UpstreamBusy, UpstreamClosed, UpstreamTimeout, UpstreamUnreachable
from tidegate.pipeline.codec import SseDecoder
from tidegate.pipeline.upstream.http_client import HttpCall, HttpClient
from tidegate.pipeline.upstream.http_connection import HttpConnection
from tidegate.pipeline.upstream.http_event_stream import EventStream
from tidegate.pipeline.upstream.http_post import Post
from tidegate.pipeline.upstream.http_refusal import CredentialsRefused, HttpRefusal, of_backend, refusal
from tidegate.pipeline.upstream.link import Call, HttpRelay, LinkOwner
from tidegate.protocol.meta_keys import HEADER_LAST_EVENT, HEADER_METHOD, HEADER_NAME, HEADER_SESSION, HEADER_VERSION
from tidegate.protocol.param_headers import encode_value

__all__ = ["HttpRefusal", "StreamableHttpLink", "of_backend"]

_NOTICE_TIMEOUT_S = 10.0
"""For a POST that expects no answer beyond its status."""
_FAILURES = 3
"""In a row, without an answer between them: then the server is asked whether it is there at all."""
_CHECK_TIMEOUT_S = 5.0
_HEAD_TIMEOUT_S = 30.0
"""Until a stream begins. What it says after that has no deadline."""
_LISTEN = "subscriptions/listen"


class StreamableHttpLink:
    """One MCP endpoint."""

    def __init__(self, backend: Backend, client: HttpClient, *, max_bytes: int, relay: HttpRelay | None = None) -> None:
        self._relay = relay
        self._backend = backend
        self._client = client
        self._max_bytes = max_bytes
        self._owner: LinkOwner | None = None
        self._headers = [(key, value.reveal()) for key, value in backend.headers]
        self._version = ""
        self._stateless = False
        self._session_id: str | None = None
        self._standing: EventStream | None = None
        self._live: set[Post | EventStream] = set()
        self._closed = False
        self._agreed = False
        """What the server speaks is settled."""
        self._retired = False
        self._drained: asyncio.Future[None] | None = None
        """Retired: done when nothing is in flight any more."""
        self._session_gone = False
        self._failures = 0
        """Since the last answer."""
        self._checks = 0
        self._checking: HttpCall | None = None

    @property
    def cancels_by_closing(self) -> bool:
        return self._stateless

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner
        pool = self._client.relay_pool(self._backend.url, self._backend.name) if self._relay is not None else None
        if pool is not None and self._relay is not None:
            owner.relay_by(self._relay.http_upstream(pool), None, None, self.request_head)

    def stateful(self, version: str) -> None:
        self._version = version
        self._agreed = True
        self._standing = EventStream(self, None, None, 0)
        self._standing.start()

    def stateless(self, version: str) -> None:
        self._version = version
        self._stateless = True
        self._agreed = True

    def send(self, message: bytes, call: Call | None) -> None:
        if self._closed:
            return
        post = Post(self, call)
        self._live.add(post)
        if call is not None:
            call.link_state = post
        post.http = self._client.request(
            "POST",
            self._backend.url,
            self._call_headers(call),
            message,
            post,
            deadline_s=_NOTICE_TIMEOUT_S if call is None else None,
            repeatable=call is None or (self._owner is not None and self._owner.may_repeat(call)),
            tenant=self._backend.name,
        )

    def request_head(self, call: Call) -> bytes:
        """What is sent before the body of such a call, up to its length."""
        return self._client.request_head("POST", self._backend.url, self._call_headers(call))

    def _call_headers(self, call: Call | None) -> list[tuple[str, str]]:
        return self.headers(call, "application/json, text/event-stream", "application/json")

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        assert isinstance(connection, HttpConnection)
        post = Post(self, call)
        self._live.add(post)
        call.link_state = post
        post.http = self._client.resume(
            "POST",
            self._backend.url,
            self._call_headers(call),
            message,
            post,
            repeatable=self._owner is not None and self._owner.may_repeat(call),
            connection=connection,
            began_s=began_s,
        )
        if received:
            connection.data_received(received)

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
        if isinstance(state, (Post, EventStream)):
            state.cancel()

    async def aclose(self) -> None:
        if self._closed:
            return
        if self._retired and self._drained is None and self._live:
            # Each of them has a deadline of its own.
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        self._closed = True
        if self._checking is not None:
            self._checking.cancel()
        for live in list(self._live):
            live.cancel()
        if self._standing is not None:
            self._standing.cancel()
        if self._session_id is not None and not self._session_gone:
            done = asyncio.get_running_loop().create_future()
            self._client.request(
                "DELETE",
                self._backend.url,
                self.headers(None, "application/json"),
                b"",
                _Until(done),
                deadline_s=2.0,
                tenant=self.name,
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

    @property
    def backend(self) -> Backend:
        return self._backend

    def learned_session(self, headers: dict[str, str]) -> None:
        session_id = headers.get(HEADER_SESSION)
        if session_id and self._session_id is None and not self._stateless:
            self._session_id = session_id

    def decoder(self) -> SseDecoder:
        return SseDecoder(self._max_bytes)

    def message(self, data: bytes, call: Call | None) -> None:
        self._failures = 0
        if self._owner is not None and data:
            self._owner.received(data, call)

    def listening(self) -> None:
        if self._owner is not None:
            self._owner.listening()

    def fail(self, call: Call | None, error: TidegateError) -> None:
        if call is not None and self._owner is not None:
            self._owner.call_failed(call, error)

    def open_get(self, last_event_id: str | None, receiver: EventStream) -> HttpCall:
        headers = self.headers(None, "text/event-stream")
        if last_event_id is not None:
            headers.append((HEADER_LAST_EVENT, last_event_id))
        return self._client.request("GET", self._backend.url, headers, b"", receiver, deadline_s=None, tenant=self.name)

    def resume(self, call: Call, last_event_id: str, retry_ms: int) -> None:
        stream = EventStream(self, call, last_event_id, retry_ms)
        call.link_state = stream
        self._live.add(stream)
        stream.start()

    def forget(self, live: Post | EventStream) -> None:
        self._live.discard(live)
        if not self._live and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- when it goes wrong -------------------------------------------------------------------------------

    def refused(self, call: Call | None, error: TidegateError, status: int) -> None:
        """A status came instead of an answer."""
        if isinstance(error, CredentialsRefused):
            # Nothing else would be answered either, until a person has mended it.
            self._retire(error)
            self.fail(call, error)
        elif status >= 500:
            self.broken(call, error)
        else:
            self.fail(call, error)

    def unreachable(self, call: Call | None, error: TidegateError) -> None:
        """No connection could be had, so `call` was not sent."""
        self._retire(error)
        self._never_ran(call, error)

    def session_unknown(self, call: Call | None) -> None:
        """The server has forgotten the session, and did nothing of `call`."""
        error = UpstreamClosed(f"backend `{self.name}` ended the session")
        self._session_gone = True
        self._retire(error)
        self._never_ran(call, error)

    def broken(self, call: Call | None, error: TidegateError) -> None:
        """An answer broke off, or a status says that the server is in trouble."""
        if not self._agreed and isinstance(error, UpstreamClosed):
            # Over HTTP this says nothing about what the server would have understood.
            error = UpstreamUnreachable(str(error))
        self.fail(call, error)
        if isinstance(error, (UpstreamClosed, UpstreamBusy, HttpRefusal)):
            self._failures += 1
            if self._failures >= _FAILURES:
                self._check(error)

    def _never_ran(self, call: Call | None, error: TidegateError) -> None:
        if call is not None and self._owner is not None:
            self._owner.never_ran(call, error)

    def _check(self, error: TidegateError) -> None:
        """Asks the server whether it is there. A session is not given up for less, for it may hold a client's work."""
        if self._stateless:
            self._retire(error)
        elif self._agreed and not self._retired and not self._closed and self._checking is None:
            self._checks += 1
            self._checking = self._client.request(
                "POST",
                self._backend.url,
                self.headers(None, "application/json, text/event-stream", "application/json"),
                b'{"jsonrpc":"2.0","id":"tidegate-check-%d","method":"ping"}' % self._checks,
                _Check(self.checked),
                deadline_s=_CHECK_TIMEOUT_S,
                tenant=self.name,
            )

    def checked(self, status: int, error: TidegateError | None) -> None:
        """What came of it: a status, or an error when there was none."""
        self._checking = None
        self._failures = 0
        if status == 404:
            self.session_unknown(None)
        elif status >= 500:
            self._retire(refusal(self._backend, status, {}))
        elif error is not None and not status and not isinstance(error, UpstreamTimeout):
            # One that is only slow keeps its session.
            self._retire(of_backend(self.name, error))

    def _retire(self, error: TidegateError) -> None:
        """Takes nothing new; the service opens another link, and finds out what the server is up to."""
        owner = self._owner
        if self._retired or self._closed or owner is None or not self._agreed:
            return
        self._retired = True
        if self._standing is not None:
            self._standing.cancel()
        owner.retired(error)
        for live in list(self._live):
            if live.call is not None and live.call.method == _LISTEN:
                call = live.call
                live.cancel()
                owner.call_failed(call, error)

    @property
    def closed(self) -> bool:
        return self._closed or self._owner is None

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @property
    def in_session(self) -> bool:
        return self._session_id is not None


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


class _Check:
    """Looks only at whether there is an answer."""

    def __init__(self, told: Callable[[int, TidegateError | None], None]) -> None:
        self._told = told
        self._status = 0

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status = status

    def body_received(self, data: bytes) -> None:
        pass

    def response_ended(self) -> None:
        self._told(self._status, None)

    def request_failed(self, error: TidegateError) -> None:
        self._told(self._status, error)
