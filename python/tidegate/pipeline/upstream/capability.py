"""All capabilities as one server: in this process, stateless, of 2026-07-28, with a tool for each.

`pipeline/capabilities/` serves the calls; what else the revision asks of a server is said here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from tidegate import __version__
from tidegate.config.snapshot import Backend, Capability
from tidegate.errors import METHOD_NOT_FOUND, TidegateError, UnknownTool
from tidegate.pipeline.codec import Envelope, scan
from tidegate.pipeline.exchange import UNREAD, ClientView
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.protocol.meta_keys import SERVER_INFO
from tidegate.protocol.revisions import LATEST_MODERN

_LIST_TTL_MS: Final = 3_600_000
"""A change is told."""
_HEARD_S: Final = 4.0
"""How long the first list waits for backends of which nothing is known yet; what they have is told later."""
_CHANGED: Final = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'


class Served(Protocol):
    """A call that is served."""

    def start(self) -> None: ...

    def cancel(self) -> None:
        """Nobody waits for it any more. Nothing more is said."""


class Host(Protocol):
    """`Capabilities`, as its link sees it."""

    @property
    def depth(self) -> int: ...

    def serve(
        self,
        capability: Capability,
        client: ClientView,
        message: bytes,
        envelope: Envelope,
        *,
        token: bytes,
        progressed: Callable[[bytes], None] | None,
        deadline_s: float,
        answered: Callable[[bytes], None],
        failed: Callable[[TidegateError], None],
    ) -> Served:
        """A call that is still to be started. `token`: raw, under which progress is told to `progressed`, which is None
        where the client does not want to know. Raises: TidegateError.
        """

    def entries(self, link: object) -> list[bytes]:
        """Its tools as they are listed now, raw. When they become others, it is told."""

    def hear(self, client: ClientView, tools: list[str], most_s: float, done: Callable[[], None]) -> bool:
        """Waits until the backends were heard that may have these tools. False: there is none of them to wait for."""

    def opened(self, link: object, backend: Backend, changed: Callable[[], None]) -> None:
        """`changed` says that its tools are others than it listed."""

    def closed(self, link: object) -> None: ...


class CapabilityLink:
    """Implements `Link`."""

    cancels_by_closing = False

    def __init__(self, backend: Backend, host: Host) -> None:
        self._backend = backend
        self._host = host
        self._owner: LinkOwner | None = None
        self._by_name = {capability.name: capability for capability in backend.capabilities}
        self._servings: dict[Call, Served] = {}

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._host.opened(self, self._backend, self._changed)

    # -- what it is sent ----------------------------------------------------------------------------------------

    def send(self, message: bytes, call: Call | None) -> None:
        if call is None or self._owner is None:
            # Nothing that it could be told without being asked concerns it.
            return
        # Never answered while it is being asked.
        asyncio.get_running_loop().call_soon(self._take, message, call)

    def _take(self, message: bytes, call: Call) -> None:
        if self._owner is None or not call.open:
            return
        if call.method == "tools/call":
            try:
                self._serve(message, call)
            except TidegateError as error:
                self._owner.call_failed(call, error)
        elif call.method == "server/discover":
            self._answer(call, b'"supportedVersions":%b,"capabilities":{"tools":{}}' % _REVISIONS + _HINTS)
        elif call.method == "tools/list":
            tools = [tool for capability in self._backend.capabilities for tool in capability.order]
            listed = partial(self._list, call)
            if not self._host.hear(UNREAD, tools, _HEARD_S, listed):
                listed()
        else:
            refusal = json_bytes({"code": METHOD_NOT_FOUND, "message": f"Method not found: `{call.method}`"})
            self._owner.received(b'{"jsonrpc":"2.0","id":' + call.id + b',"error":' + refusal + b"}", call)

    def _list(self, call: Call) -> None:
        self._answer(call, b'"tools":[' + b",".join(self._host.entries(self)) + b"]" + _HINTS)

    def _answer(self, call: Call, members: bytes) -> None:
        self._result(call, b"{" + members + b"}")

    def _serve(self, message: bytes, call: Call) -> None:
        """Raises: TidegateError."""
        capability = self._by_name.get(call.params_name or "")
        if capability is None or call.sent is None:
            raise UnknownTool(f"Unknown tool: `{call.params_name}`")
        serving = self._host.serve(
            capability,
            call.sent[0],
            message,
            scan(message, self._host.depth),
            token=call.id,
            progressed=partial(self._progressed, call) if call.client_token is not None else None,
            deadline_s=call.deadline_s,
            answered=partial(self._answered, call),
            failed=partial(self._failed, call),
        )
        self._servings[call] = serving
        serving.start()

    # -- what it says -------------------------------------------------------------------------------------------

    def _answered(self, call: Call, result: bytes) -> None:
        self._servings.pop(call, None)
        self._result(call, result)

    def _result(self, call: Call, result: bytes) -> None:
        if self._owner is not None:
            self._owner.received(b'{"jsonrpc":"2.0","id":' + call.id + b',"result":' + result + b"}", call)

    def _failed(self, call: Call, error: TidegateError) -> None:
        self._servings.pop(call, None)
        if self._owner is not None:
            self._owner.call_failed(call, error)

    def _progressed(self, call: Call, message: bytes) -> None:
        if self._owner is not None:
            self._owner.received(message, call)

    def _changed(self) -> None:
        if self._owner is not None:
            self._owner.received(_CHANGED, None)

    # -- the rest of a link -------------------------------------------------------------------------------------

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        serving = self._servings.pop(call, None)
        if serving is not None:
            serving.cancel()

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        self._host.closed(self)
        servings, self._servings = self._servings, {}
        for serving in servings.values():
            serving.cancel()

    def statistics(self) -> dict[str, object]:
        return {"serving": len(self._servings)}


_REVISIONS: Final = json_bytes([LATEST_MODERN])
_INFO: Final = json_bytes({SERVER_INFO: {"name": "tidegate capabilities", "version": __version__}})
_HINTS: Final = b',"resultType":"complete","ttlMs":%d,"cacheScope":"public","_meta":%b' % (_LIST_TTL_MS, _INFO)
