"""A WASM plugin as a link: a stateless server of 2026-07-28 with tools, whose every call is a guest's.

Calls go over the plugin's wire as they go over a pipe to a child, so the relay can make them without this. All else
that the revision asks of a server is said here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from tidegate.config.snapshot import Backend
from tidegate.errors import METHOD_NOT_FOUND, PluginRefused, TidegateError, UpstreamUnreachable
from tidegate.pipeline.codec import LineUpstream, scan
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.protocol.meta_keys import SERVER_INFO
from tidegate.protocol.revisions import LATEST_MODERN
from tidegate.sandbox.guest import NOBODY, Caller

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.link import LineRelay
    from tidegate.sandbox.plugin import Plugin, Wire

Load = Callable[[Backend], Awaitable["Plugin"]]
CallerOf = Callable[[ClientView], Caller]
"""In whose name a call is made."""

_LIST_TTL_MS: Final = 3_600_000
"""What a plugin offers changes with its file, and then the gateway says so."""


class WasmPluginLink(asyncio.Protocol):
    """Implements `Link`; a protocol only as the relay knows one, for there is no transport."""

    cancels_by_closing = False
    queued_bytes = 0
    """For the relay: nothing that is sent waits."""

    def __init__(
        self,
        backend: Backend,
        load: Load,
        caller_of: CallerOf,
        *,
        max_bytes: int,
        depth: int,
        relay: LineRelay | None = None,
    ) -> None:
        self._backend = backend
        self._load = load
        self._caller_of = caller_of
        self._max_bytes = max_bytes
        self._depth = depth
        self._relay = relay
        self._relayed: LineUpstream | None = None
        self._owner: LinkOwner | None = None
        self._plugin: Plugin | None = None
        self._wire: Wire | None = None
        self._tools = b"[]"

    async def open(self, owner: LinkOwner) -> None:
        try:
            plugin = await self._load(self._backend)
            tools = plugin.manifest.tools
            if tools:
                self._tools = b"[" + b",".join(tool.json.encode() for tool in tools) + b"]"
            else:
                self._tools = await self._listed(plugin)
        except TidegateError as error:
            raise UpstreamUnreachable(str(error)) from error
        self._owner = owner
        self._plugin = plugin
        self._wire = plugin.wire(self._depth, self._backend.call_timeout_s, self._max_bytes)
        # Where a plugin may call tools, it matters who called it, which the relay does not tell.
        if self._relay is not None and not plugin.grants.call:
            self._relayed = self._relay.lines(self, self._max_bytes)
        if self._relayed is None:
            plugin.receive = self._receive
        else:
            plugin.receive = self._relayed.data_received
            owner.relay_by(self._relayed.upstream, self._wire.write, self)

    async def _listed(self, plugin: Plugin) -> bytes:
        """As the guest says. Raises: PluginFailed."""
        from tidegate.sandbox.manifest import BrokenManifest, listed_tools

        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def done(text: str, error: TidegateError | None) -> None:
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(text)

        call = plugin.list_tools(NOBODY, done, self._backend.start_timeout_s)
        try:
            text = await future
        finally:
            call.cancel()
        try:
            return b"[" + b",".join(tool.json.encode() for tool in listed_tools(text)) + b"]"
        except BrokenManifest as error:
            raise PluginRefused(f"plugin `{self._backend.name}` is refused: {error}") from error

    # -- what it is sent --------------------------------------------------------------------------------------

    def send(self, message: bytes, call: Call | None) -> None:
        plugin, wire = self._plugin, self._wire
        if call is None or plugin is None or wire is None:
            # Nothing that it could be told without being asked concerns it.
            return
        token = wire.send(message)
        if token is not None:
            if plugin.grants.call and call.sent is not None:
                plugin.sandbox.attend(plugin, token, self._caller_of(call.sent[0]), None)
            return
        method = scan(message, self._depth).method
        if method == "server/discover":
            version = json_bytes([LATEST_MODERN])
            answer = b'"supportedVersions":' + version + b',"capabilities":{"tools":{}}' + _hints(plugin)
        elif method == "tools/list":
            answer = b'"tools":' + self._tools + _hints(plugin)
        else:
            error = json_bytes({"code": METHOD_NOT_FOUND, "message": f"Method not found: `{method}`"})
            self._answer(call, b',"error":' + error)
            return
        self._answer(call, b',"result":{' + answer + b"}")

    def _answer(self, call: Call, member: bytes) -> None:
        """Never while it is being asked."""
        message = b'{"jsonrpc":"2.0","id":' + call.id + member + b"}"
        asyncio.get_running_loop().call_soon(self._deliver, message)

    # -- what it says -----------------------------------------------------------------------------------------

    def _receive(self, lines: bytes) -> None:
        for line in lines.splitlines():
            self._deliver(line)

    def take(self, lines: list[bytes | None], thrown_away: int) -> None:
        """From the relay: what is not its own."""
        for line in lines:
            if line is None:
                if self._owner is not None:
                    self._owner.oversized(self._max_bytes)
            else:
                self._deliver(line)

    def no_memory(self, size: int) -> None:
        """For so many bytes."""
        if self._owner is not None:
            self._owner.no_memory(size, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """From the relay, which was told so by `aclose`."""

    def _deliver(self, message: bytes) -> None:
        if self._owner is not None:
            self._owner.received(message, None)

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        if self._wire is not None:
            self._wire.cancel(call.id)

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        if self._plugin is not None:
            self._plugin.receive = None
        self._plugin = self._wire = None
        relayed, self._relayed = self._relayed, None
        if relayed is not None:
            relayed.connection_lost(None)

    def statistics(self) -> dict[str, object]:
        return self._plugin.statistics() if self._plugin is not None else {}


def _hints(plugin: Plugin) -> bytes:
    info = {"name": plugin.manifest.name, "version": plugin.manifest.version}
    meta = json_bytes({SERVER_INFO: info})
    return b',"resultType":"complete","ttlMs":%d,"cacheScope":"public","_meta":' % _LIST_TTL_MS + meta
