"""The official SDK's server held to one era, on stdin and stdout or on loopback HTTP.

The SDK serves both eras wherever it can. A server that knows one of them only is what most users have, so the other
one is taken away here, below the handlers: the SDK's own loops and endpoints for a single era are used, two of which
it keeps to itself. `test_servers.py` shows that each really refuses the other era.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn
from asking import Ctx
from journal import POLL_S, Journal
from mcp import types
from mcp.server import NotificationOptions, Server
from mcp.server._streamable_http_modern import handle_modern_request
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.runner import _serve_modern_stream, serve_loop
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged
from offers import Offers, session_of
from starlette.applications import Starlette
from starlette.routing import Route

WATCHED = ("watched", "other")
_STATE_KEY = b"a fixture: the same key in every process of this server"


class Changes:
    """Watches the journal's folder and tells whoever listens, in the way of the era."""

    def __init__(self, offers: Offers) -> None:
        self.offers = offers
        self.bus = InMemorySubscriptionBus()
        self.sessions: dict[str, ServerSession] = {}

    async def note_session(self, ctx: Ctx, call_next: Callable[[Ctx], Awaitable[Any]]) -> Any:
        """Middleware: sessions are told of changes from their `initialized` on."""
        if ctx.method == "notifications/initialized":
            self.sessions[session_of(ctx)] = ctx.session
        return await call_next(ctx)

    async def watch(self) -> None:
        journal = self.offers.journal
        seen = {name: journal.read(name) for name in ("tools", *WATCHED)}
        while True:
            await anyio.sleep(POLL_S)
            for name, before in seen.items():
                now = journal.read(name)
                if now != before:
                    seen[name] = now
                    await self.tell(name)

    async def tell(self, name: str) -> None:
        uri = f"eras://{name}"
        await self.bus.publish(ToolsListChanged() if name == "tools" else ResourceUpdated(uri=uri))
        for key, session in list(self.sessions.items()):
            try:
                if name == "tools":
                    await session.send_tool_list_changed()
                elif uri in self.offers.subscribed.get(key, set()):
                    await session.send_resource_updated(uri)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.sessions.pop(key)


class EraServer(Server[dict[str, Any]]):
    """Says in both eras that its lists may change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        changing = notification_options or NotificationOptions(True, True, True)
        return super().create_initialization_options(changing, experimental_capabilities, extensions)


def build(era: str, journal: Journal) -> EraServer:
    offers = Offers(journal)
    changes = Changes(offers)

    @asynccontextmanager
    async def lifespan(_: Server[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        async with anyio.create_task_group() as group:
            group.start_soon(changes.watch, name="watch journal")
            yield {}
            group.cancel_scope.cancel()

    server = EraServer(
        f"{era}-only",
        version="1.0.0",
        instructions=f"speaks the {era} era only",
        lifespan=lifespan,
        on_list_tools=offers.list_tools,
        on_call_tool=offers.call_tool,
        on_list_prompts=offers.list_prompts,
        on_get_prompt=offers.get_prompt,
        on_list_resources=offers.list_resources,
        on_list_resource_templates=offers.list_templates,
        on_read_resource=offers.read_resource,
        on_completion=offers.complete,
    )
    if era == "session":
        server.add_request_handler("resources/subscribe", types.SubscribeRequestParams, offers.subscribe)
        server.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, offers.unsubscribe)
        server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, offers.roots_changed
        )
        server.middleware.append(changes.note_session)
    else:
        listen = ListenHandler(changes.bus)
        server.add_request_handler("subscriptions/listen", types.SubscriptionsListenRequestParams, listen)
        security = RequestStateSecurity(keys=[_STATE_KEY])
        server.middleware.append(RequestStateBoundary(security, default_audience="stateless-only"))
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, offers.set_level)
    return server


# -- stdio ------------------------------------------------------------------------------------------------------------


async def _serve_stdio(era: str, server: EraServer) -> None:
    async with server.lifespan(server) as state, stdio_server() as (incoming, outgoing):
        if era == "session":
            options = server.create_initialization_options()
            await serve_loop(server, incoming, outgoing, lifespan_state=state, init_options=options)
        else:
            await _serve_modern_stream(server, incoming, outgoing, lifespan_state=state, raise_exceptions=False)


# -- HTTP -------------------------------------------------------------------------------------------------------------


class SessionsOnly(StreamableHTTPSessionManager):
    """Every request goes to the sessions, whatever revision its header names."""

    async def _handle_request(self, scope: Any, receive: Any, send: Any) -> None:
        await self._handle_stateful_request(scope, receive, send)


def _session_app(server: EraServer) -> Starlette:
    manager = SessionsOnly(server)
    return Starlette(routes=[Route("/mcp", endpoint=StreamableHTTPASGIApp(manager))], lifespan=lambda _: manager.run())


def _stateless_app(server: EraServer) -> Starlette:
    state: list[Any] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.lifespan(server) as entered:
            state.append(entered)
            yield

    class Endpoint:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await handle_modern_request(server, None, False, state[0], scope, receive, send)

    return Starlette(routes=[Route("/mcp", endpoint=Endpoint())], lifespan=lifespan)


def _serve_http(era: str, server: EraServer) -> None:
    app = _session_app(server) if era == "session" else _stateless_app(server)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def main(era: str) -> None:
    parser = argparse.ArgumentParser(description=f"A server that speaks the {era} era only, for tests.")
    parser.add_argument("transport", choices=("stdio", "http"), help="http picks a free port and prints it")
    parser.add_argument("journal", help="the folder shared with the test")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    server = build(era, Journal(options.journal))
    if options.transport == "stdio":
        anyio.run(_serve_stdio, era, server)
    else:
        _serve_http(era, server)
