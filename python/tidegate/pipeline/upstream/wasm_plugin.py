"""A WASM plugin as a link: a stateless server of 2026-07-28 with tools, whose every call is a guest's.

The guest sees a name and arguments. All else that the revision asks of a server is said here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from tidegate.config.snapshot import Backend
from tidegate.errors import (
    METHOD_NOT_FOUND,
    PluginGarbage,
    PluginRefused,
    TidegateError,
    UpstreamUnreachable,
)
from tidegate.pipeline.codec import Envelope, find_member, patch_object, scan
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.protocol.meta_keys import SERVER_INFO
from tidegate.protocol.revisions import LATEST_MODERN
from tidegate.sandbox.guest import Caller

if TYPE_CHECKING:
    from tidegate.sandbox.plugin import Plugin, PluginCall

Load = Callable[[Backend], Awaitable["Plugin"]]
CallerOf = Callable[[ClientView | None], Caller]
"""In whose name a call is made; of None, the gateway's own."""

_LIST_TTL_MS: Final = 3_600_000
"""What a plugin offers changes with its file, and then the gateway says so."""
_EMPTY_OBJECT: Final = b"{}"


class WasmPluginLink:
    """Implements `Link`."""

    cancels_by_closing = False

    def __init__(self, backend: Backend, load: Load, caller_of: CallerOf, *, depth: int) -> None:
        self._backend = backend
        self._load = load
        self._caller_of = caller_of
        self._depth = depth
        self._owner: LinkOwner | None = None
        self._plugin: Plugin | None = None
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
        self._plugin = plugin
        self._owner = owner

    async def _listed(self, plugin: Plugin) -> bytes:
        """As the guest says. Raises: PluginFailed."""
        from tidegate.sandbox.manifest import BrokenManifest, listed_tools

        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def done(text: str, failed: bool, error: TidegateError | None) -> None:
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(text)

        call = plugin.list_tools(self._caller_of(None), done, self._backend.start_timeout_s)
        try:
            text = await future
        finally:
            call.cancel()
        try:
            return b"[" + b",".join(tool.json.encode() for tool in listed_tools(text)) + b"]"
        except BrokenManifest as error:
            raise PluginRefused(f"plugin `{self._backend.name}` is refused: {error}") from error

    # -- requests ---------------------------------------------------------------------------------------------

    def send(self, message: bytes, call: Call | None) -> None:
        if call is None or self._plugin is None:
            # Nothing that it could be told without being asked concerns it.
            return
        envelope = scan(message, self._depth)
        if envelope.method == "tools/call":
            self._call_tool(self._plugin, message, envelope, call)
        elif envelope.method == "server/discover":
            version, capabilities = json_bytes([LATEST_MODERN]), b'{"tools":{}}'
            self._answer(call, b'"supportedVersions":' + version + b',"capabilities":' + capabilities + self._hints)
        elif envelope.method == "tools/list":
            self._answer(call, b'"tools":' + self._tools + self._hints)
        else:
            error = json_bytes({"code": METHOD_NOT_FOUND, "message": f"Method not found: `{envelope.method}`"})
            self._reply(call, b'{"jsonrpc":"2.0","id":' + call.id + b',"error":' + error + b"}")

    @property
    def _hints(self) -> bytes:
        assert self._plugin is not None
        info = {"name": self._plugin.manifest.name, "version": self._plugin.manifest.version}
        meta = json_bytes({SERVER_INFO: info})
        return b',"resultType":"complete","ttlMs":%d,"cacheScope":"public","_meta":' % _LIST_TTL_MS + meta

    def _call_tool(self, plugin: Plugin, message: bytes, envelope: Envelope, call: Call) -> None:
        span = envelope.arguments_span
        arguments = message[span[0] : span[1]] if span is not None else _EMPTY_OBJECT
        if not arguments.startswith(b"{"):
            arguments = _EMPTY_OBJECT
        caller = self._caller_of(call.sent[0] if call.sent is not None else None)
        call.link_state = plugin.call_tool(
            envelope.name or "", arguments, caller, partial(self._served, call), call.timeout_s
        )

    def _served(self, call: Call, text: str, failed: bool, error: TidegateError | None) -> None:
        call.link_state = None
        owner = self._owner
        if owner is None:
            return
        if error is not None:
            owner.call_failed(call, error)
            return
        if failed:
            result = b'{"content":[{"type":"text","text":' + json_bytes(text) + b'}],"isError":true,'
            owner.received(_complete(call, result + b'"resultType":"complete"}'), call)
            return
        try:
            result = self._checked(text.encode())
        except TidegateError as wrong:
            owner.call_failed(call, PluginGarbage(f"plugin `{self._backend.name}` failed: {wrong}"))
            return
        owner.received(_complete(call, result), call)

    def _checked(self, result: bytes) -> bytes:
        """What a guest answered, as a result of MCP. Raises: ParseError and its like, PluginGarbage."""
        alone = b'{"jsonrpc":"2.0","id":0,"result":'
        whole = alone + result + b"}"
        # Two levels are the message's own.
        span = scan(whole, self._depth).result_span
        if span != (len(alone), len(whole) - 1) or not result.lstrip().startswith(b"{"):
            raise PluginGarbage("its answer is not one JSON object")
        content = find_member(result, "content")
        if content is not None and result[content[0] : content[0] + 1] != b"[":
            raise PluginGarbage("`content` is no array")
        changes: list[tuple[str, bytes | None]] = [("resultType", b'"complete"')]
        if content is None:
            structured = find_member(result, "structuredContent")
            if structured is None or result[structured[0] : structured[0] + 1] != b"{":
                raise PluginGarbage("it has neither `content` nor an object as `structuredContent`")
            text = json_bytes(result[structured[0] : structured[1]].decode())
            changes.append(("content", b'[{"type":"text","text":' + text + b"}]"))
        return patch_object(result, changes)

    def _answer(self, call: Call, members: bytes) -> None:
        self._reply(call, _complete(call, b"{" + members + b"}"))

    def _reply(self, call: Call, message: bytes) -> None:
        """Never while it is being asked."""
        asyncio.get_running_loop().call_soon(self._deliver, call, message)

    def _deliver(self, call: Call, message: bytes) -> None:
        if self._owner is not None:
            self._owner.received(message, call)

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        running: PluginCall | None
        running, call.link_state = call.link_state, None  # type: ignore[assignment]  # only this link sets it
        if running is not None:
            running.cancel()

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        self._plugin = None

    def statistics(self) -> dict[str, object]:
        return self._plugin.statistics() if self._plugin is not None else {}


def _complete(call: Call, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":' + call.id + b',"result":' + result + b"}"
