"""A server with one of everything, on the official Python SDK, both eras on one endpoint.

    python everything_server.py --http PORT     Streamable HTTP on loopback, /mcp; prints the bound port (0: a free one)
    python everything_server.py --stdio

The conformance suite passes against it directly, so that whatever fails through a gateway is the gateway's doing.
"""

from __future__ import annotations

import argparse
import logging
import socket
from collections import deque
from typing import Any

import anyio
import uvicorn
from everything_content import PROMPTS, RESOURCES, TEMPLATES, complete, get_prompt, read_resource
from everything_questions import Ctx
from everything_tools import BUS, TABLE
from mcp import types
from mcp.server import NotificationOptions, Server
from mcp.server.caching import CacheHint
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.types import ASGIApp

NAME = "everything"
_STATE_KEY = b"a fixture: the same key in every process of this server"
_HINT = CacheHint(ttl_ms=60_000, scope="public")


class RecentEvents(EventStore):
    """The last events of all streams of this process, for `Last-Event-ID`. Bounded: the oldest are forgotten."""

    def __init__(self, keep: int = 1000) -> None:
        self._events: deque[tuple[int, str, types.JSONRPCMessage | None]] = deque(maxlen=keep)
        self._last = 0

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._last += 1
        self._events.append((self._last, stream_id, message))
        return str(self._last)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        after = int(last_event_id) if last_event_id.isdigit() else -1
        stream = next((stream_id for number, stream_id, _ in self._events if number == after), None)
        if stream is not None:
            for number, stream_id, message in list(self._events):
                if stream_id == stream and number > after and message is not None:
                    await send_callback(EventMessage(message, str(number)))
        return stream


class EverythingServer(Server[dict[str, Any]]):
    """The SDK's server, saying in both eras that its lists may change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        changing = notification_options or NotificationOptions(True, True, True)
        return super().create_initialization_options(changing, experimental_capabilities, extensions)


async def _list_tools(ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[tool for tool, _ in TABLE.values()])


async def _call_tool(ctx: Ctx, params: types.CallToolRequestParams) -> types.CallToolResult | types.InputRequiredResult:
    if params.name not in TABLE:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
    return await TABLE[params.name][1](ctx, params)


async def _list_resources(ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    """Two pages, so that whoever lists has to follow a cursor."""
    if params is None or params.cursor is None:
        return types.ListResourcesResult(resources=RESOURCES[:2], next_cursor="page-2")
    return types.ListResourcesResult(resources=RESOURCES[2:])


async def _list_templates(ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)


async def _list_prompts(ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=PROMPTS)


async def _nothing(ctx: Ctx, params: Any) -> types.EmptyResult:
    """Subscriptions and the log level are accepted and need no bookkeeping here."""
    return types.EmptyResult()


def build() -> EverythingServer:
    """One server object; every connection of this process is served by it."""
    server = EverythingServer(
        NAME,
        version="1.0.0",
        title="One of everything",
        instructions="For tests only.",
        cache_hints={
            "server/discover": _HINT,
            "tools/list": _HINT,
            "prompts/list": _HINT,
            "resources/list": _HINT,
            "resources/templates/list": _HINT,
            "resources/read": CacheHint(ttl_ms=0, scope="private"),
        },
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=_nothing,
        on_unsubscribe_resource=_nothing,
        on_subscriptions_listen=ListenHandler(BUS),
        on_list_prompts=_list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
    )
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _nothing)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity(keys=[_STATE_KEY]), default_audience=NAME))
    return server


async def _serve_stdio() -> None:
    server = build()
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def application() -> Starlette:
    """The server as an ASGI application, at /mcp."""
    return build().streamable_http_app(event_store=RecentEvents(), retry_interval=100)


def listen(app: ASGIApp, port: int) -> None:
    """Serves until a signal comes; prints the bound port."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description="A server with one of everything, for tests.")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--http", metavar="PORT", type=int, help="serve http://127.0.0.1:PORT/mcp; 0 picks a free port")
    how.add_argument("--stdio", action="store_true", help="serve stdin and stdout")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if options.stdio:
        anyio.run(_serve_stdio)
    else:
        listen(application(), options.http)


if __name__ == "__main__":
    main()
