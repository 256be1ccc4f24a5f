"""Makes the link to a server for the transport it is reached by. What a transport needs is imported when first used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Limits
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.builtin import BuiltinLink
from tidegate.pipeline.upstream.link import HttpRelay, LineRelay, Link

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.capability import Host as Capabilities
    from tidegate.pipeline.upstream.http_client import HttpClient
    from tidegate.pipeline.upstream.wasm_plugin import Load
    from tidegate.sandbox.guest import Caller


class Relay(LineRelay, HttpRelay, Protocol):
    """The relay, as links of all kinds see it."""


class Links:
    """Links of one gateway; those over HTTP share their connections."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        relay: Relay | None = None,
        *,
        max_in_flight: int,
        plugins: tuple[Load, Callable[[str, ClientView], Caller]] | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        """`max_in_flight`: requests that any one backend may have in flight. `plugins`: how WASM plugins are loaded,
        and in whose name that of a backend is called; None: there are none. `capabilities`: what serves those; None:
        there are none.
        """
        self._plugins = plugins
        self._capabilities = capabilities
        self._limits = limits
        self._clock = clock
        self._relay = relay
        self._max_in_flight = max_in_flight
        self._http: HttpClient | None = None

    def take_up(self, limits: Limits, *, max_in_flight: int) -> None:
        """Other bounds for the links that are made from now on; those over HTTP have them at once."""
        self._limits = limits
        self._max_in_flight = max_in_flight
        if self._http is not None:
            self._http.take_up(limits, max_connections_per_origin=self._room)

    @property
    def _room(self) -> int:
        """Streams and calls that stay open must leave room for the calls, and calls for their cancellation."""
        return 2 * self._max_in_flight + self._limits.suspended + 8

    def make(self, backend: Backend, transport: str) -> Link:
        """A link that is still to be opened. `transport`: as negotiated, which may differ from the configured one."""
        limits = self._limits
        if transport == "builtin":
            return BuiltinLink(backend.name, self._clock)
        if transport == "capability" and self._capabilities is not None:
            from tidegate.pipeline.upstream.capability import CapabilityLink

            return CapabilityLink(backend, self._capabilities)
        if transport == "wasm" and self._plugins is not None:
            from tidegate.pipeline.upstream.wasm_plugin import WasmPluginLink

            load, caller_of = self._plugins
            return WasmPluginLink(
                backend,
                load,
                partial(caller_of, backend.name),
                max_bytes=limits.result_bytes,
                depth=limits.depth,
                relay=self._relay,
            )
        if transport == "stdio":
            from tidegate.pipeline.upstream.stdio_child import StdioChild

            return StdioChild(
                backend,
                max_bytes=limits.result_bytes,
                write_buffer_bytes=limits.write_buffer_bytes,
                relay=self._relay,
            )
        if transport in ("tcp", "unix"):
            from tidegate.config.address import parse_host_port
            from tidegate.pipeline.upstream.stream import StreamLink

            return StreamLink(
                backend.name,
                backend.address if transport == "unix" else parse_host_port(backend.address),
                max_bytes=limits.result_bytes,
                write_buffer_bytes=limits.write_buffer_bytes,
                connect_timeout_s=backend.start_timeout_s,
                relay=self._relay,
            )
        if self._http is None:
            from tidegate.pipeline.upstream.http_client import HttpClient

            self._http = HttpClient(limits, self._clock, self._relay, max_connections_per_origin=self._room)
        if transport == "sse":
            from tidegate.pipeline.upstream.sse_legacy import SseLegacyLink

            return SseLegacyLink(backend, self._http, max_bytes=limits.result_bytes)
        if transport == "openai":
            from tidegate.pipeline.upstream.openai_link import OpenAILink

            return OpenAILink(backend, self._http, self._clock, max_bytes=limits.result_bytes, depth=limits.depth)
        from tidegate.pipeline.upstream.streamable_http import StreamableHttpLink

        return StreamableHttpLink(backend, self._http, max_bytes=limits.result_bytes, relay=self._relay)

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()
