"""A server over the HTTP+SSE transport of 2024-11-05: one GET stream in, one POST endpoint out."""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin, urlsplit

from tidegate.config.snapshot import Backend
from tidegate.errors import TidegateError, UpstreamClosed, UpstreamProtocol, UpstreamUnreachable
from tidegate.pipeline.codec import SseDecoder
from tidegate.pipeline.upstream.http_client import HttpCall, HttpClient
from tidegate.pipeline.upstream.http_refusal import CredentialsRefused, of_backend, refusal
from tidegate.pipeline.upstream.link import Call, LinkOwner

_POST_TIMEOUT_S = 30.0


class SseLegacyLink:
    """One event stream and the address it names for messages."""

    cancels_by_closing = False

    def __init__(self, backend: Backend, client: HttpClient, *, max_bytes: int) -> None:
        self._backend = backend
        self._client = client
        self._max_bytes = max_bytes
        self._headers = [(key, value.reveal()) for key, value in backend.headers]
        self._owner: LinkOwner | None = None
        self._decoder = SseDecoder(max_bytes)
        self._stream: HttpCall | None = None
        self._endpoint: asyncio.Future[str] | None = None
        self._post_url = ""

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._endpoint = asyncio.get_running_loop().create_future()
        self._stream = self._client.request(
            "GET",
            self._backend.url,
            [*self._headers, ("accept", "text/event-stream")],
            b"",
            self,
            deadline_s=None,
            tenant=self.name,
        )
        try:
            async with asyncio.timeout(self._backend.start_timeout_s):
                self._post_url = await self._endpoint
        except TimeoutError as error:
            raise UpstreamUnreachable(f"backend `{self._backend.name}` named no endpoint in time") from error

    # -- ResponseReceiver, for the stream -------------------------------------------------------------------

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        if status != 200 or not headers.get("content-type", "").lower().startswith("text/event-stream"):
            self._end(refusal(self._backend, status, headers))
            if self._stream is not None:
                self._stream.cancel()

    def body_received(self, data: bytes) -> None:
        try:
            events = self._decoder.feed(data)
        except TidegateError as error:
            # Where the next event begins is lost.
            if self._stream is not None:
                self._stream.cancel()
            self._end(UpstreamProtocol(f"backend `{self.name}` says on its stream what is no message: {error}"))
            return
        for event in events:
            if event.event == "endpoint":
                self._learn_endpoint(event.data)
            elif event.data and self._owner is not None:
                self._owner.received(event.data, None)

    def response_ended(self) -> None:
        self._end(UpstreamClosed(f"backend `{self._backend.name}` closed the stream"))

    def request_failed(self, error: TidegateError) -> None:
        self._end(of_backend(self._backend.name, error))

    def _learn_endpoint(self, data: bytes) -> None:
        url = urljoin(self._backend.url, data.decode("utf-8", "replace").strip())
        # A server must not send our messages, and the credentials with them, to somebody else.
        if urlsplit(url)[:2] != urlsplit(self._backend.url)[:2]:
            self._end(UpstreamProtocol(f"backend `{self._backend.name}` named an endpoint on another origin"))
        elif self._endpoint is not None and not self._endpoint.done():
            self._endpoint.set_result(url)

    def _end(self, error: TidegateError) -> None:
        if self._endpoint is not None and not self._endpoint.done():
            self._endpoint.set_exception(error)
            return
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost(error)

    # -- Link ---------------------------------------------------------------------------------------------

    def send(self, message: bytes, call: Call | None) -> None:
        self._client.request(
            "POST",
            self._post_url,
            [*self._headers, ("content-type", "application/json"), ("accept", "application/json")],
            message,
            _Posted(self, call),
            deadline_s=_POST_TIMEOUT_S,
            repeatable=call is None or (self._owner is not None and self._owner.may_repeat(call)),
            tenant=self.name,
        )

    def post_failed(self, call: Call | None, error: TidegateError) -> None:
        if call is not None and self._owner is not None:
            self._owner.call_failed(call, error)

    def post_refused(self, call: Call | None, status: int, headers: dict[str, str]) -> None:
        error = refusal(self._backend, status, headers)
        owner = self._owner
        if owner is not None and status == 404:
            # The address that it named for this stream is one that it does not know any more.
            owner.retired(error)
            if call is not None:
                owner.never_ran(call, error)
            if self._stream is not None:
                self._stream.cancel()
            self._end(error)
            return
        self.post_failed(call, error)
        if isinstance(error, CredentialsRefused):
            self._end(error)

    @property
    def name(self) -> str:
        return self._backend.name

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        pass

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        if self._stream is not None:
            self._stream.cancel()

    def statistics(self) -> dict[str, object]:
        return {}


class _Posted:
    """Looks only at whether a message was taken."""

    def __init__(self, link: SseLegacyLink, call: Call | None) -> None:
        self._link = link
        self._call = call
        self._status = 0
        self._headers: dict[str, str] = {}

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers

    def body_received(self, data: bytes) -> None:
        pass

    def response_ended(self) -> None:
        if not 200 <= self._status < 300:
            self._link.post_refused(self._call, self._status, self._headers)

    def request_failed(self, error: TidegateError) -> None:
        self._link.post_failed(self._call, of_backend(self._link.name, error))
