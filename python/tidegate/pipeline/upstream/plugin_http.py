"""HTTP for plugins: `http.send` of `wasm/wit/plugin.wit`.

Whoever runs plugins calls `PluginHttp.fetch` with a guest's request and what its operator granted. `plugin_request.py`
says whether that may be sent; below is an `HttpClient` of its own, which judges each address that a name leads to
(`address_guard.py`). Redirects are answers like any other: where they point to has to be asked for, and granted.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import PluginNotGranted, TidegateError, UpstreamProtocol
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.upstream.address_guard import may_lead_to
from tidegate.pipeline.upstream.http_call import HttpCall
from tidegate.pipeline.upstream.http_client import HttpClient
from tidegate.pipeline.upstream.plugin_request import Refused, doors, read_request
from tidegate.sandbox.guest import Answered

RESPONSE_BYTES: Final = 1024 * 1024
"""Of a body. It becomes a JSON string on the event loop, which takes 2 ms, of control characters 10."""
DEADLINE_S: Final = 30.0
"""Of a request, however much time its plugin has."""

_CONNECTIONS: Final = 8
"""To one origin, for one plugin."""
_QUEUED: Final = 64

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""Sent again, once, when a kept connection turns out to be closed."""
_OURS: Final = ("connection", "keep-alive", "transfer-encoding", "trailer", "upgrade")
"""Of a response, not passed on."""


class PluginHttp:
    """The way out for all plugins of a gateway. Needs a running event loop."""

    def __init__(self, limits: Limits, clock: Clock, *, ca_file: str = "") -> None:
        self._client = HttpClient(
            limits,
            clock,
            max_connections_per_origin=_CONNECTIONS,
            max_queued_per_origin=_QUEUED,
            ca_file=ca_file,
            guard=may_lead_to,
        )

    def fetch(
        self, plugin: str, request: str, granted: tuple[str, ...], timeout_s: float, answered: Answered
    ) -> Sending:
        """Sends what the guest of `plugin` asks for, if one of the `granted` hosts is meant.

        `answered` is told a JSON object, or why there is none, in words for the guest. A request that is not sent is
        answered before this returns.
        """
        sending = Sending(answered)
        try:
            asked = read_request(request, doors(granted))
        except Refused as error:
            sending.request_failed(PluginNotGranted(str(error)))
            return sending
        sending.http = self._client.request(
            asked.method,
            asked.url,
            asked.headers,
            asked.body,
            sending,
            deadline_s=min(timeout_s, DEADLINE_S),
            repeatable=asked.method in _SAFE,
            tenant=plugin,
        )
        return sending

    def statistics(self) -> dict[str, dict[str, int]]:
        return self._client.statistics()

    async def aclose(self) -> None:
        await self._client.aclose()


class Sending:
    """One request on its way; hears the response."""

    __slots__ = ("_answered", "_body", "_headers", "_left", "_status", "http")

    def __init__(self, answered: Answered) -> None:
        self._answered: Answered | None = answered
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._left = RESPONSE_BYTES
        self.http: HttpCall | None = None

    def cancel(self) -> None:
        """Nobody waits for it any more: nothing is told."""
        self._answered = None
        http, self.http = self.http, None
        if http is not None:
            http.cancel()

    # -- ResponseReceiver -----------------------------------------------------------------------------------

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self._headers = {name: value for name, value in headers.items() if name not in _OURS}

    def body_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left >= 0:
            self._body.append(data)
        elif self._answered is not None:
            http = self.http
            self._tell(None, UpstreamProtocol(f"the response is larger than {RESPONSE_BYTES} bytes"))
            if http is not None:
                http.cancel()

    def response_ended(self) -> None:
        body = b"".join(self._body)
        answer: dict[str, object] = {"status": self._status, "headers": self._headers}
        try:
            answer["body"] = body.decode()
        except UnicodeDecodeError:
            answer["bodyBase64"] = b64encode(body).decode()
        self._tell(json_bytes(answer), None)

    def request_failed(self, error: TidegateError) -> None:
        self._tell(None, error)

    def _tell(self, answer: bytes | None, error: TidegateError | None) -> None:
        answered, self._answered = self._answered, None
        self.http = None
        self._body.clear()
        if answered is not None:
            answered(answer, error)
