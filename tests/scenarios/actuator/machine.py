"""A simulated machine behind MCP, on the official SDK, both eras: it obeys every command, and writes each one down.

    python machine.py --log FILE            on stdin and stdout
    python machine.py --log FILE --http     http://127.0.0.1:PORT/mcp; prints the port

It checks nothing: whatever is asked of it, it does. Its own log tells what that was; nobody else writes there.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
from typing import Any

import anyio.lowlevel
import uvicorn
from mcp import types
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.stdio import stdio_server

ARGUMENTS: dict[str, list[str]] = {
    "move": ["joint", "to"],
    "wave": ["joint", "to"],
    "pour": ["valve", "to"],
    "drive": ["speed"],
    "stop": [],
    "rearm": [],
    "press": ["force"],
    "release": [],
}
"""Its tools. `wave` moves a joint just as `move` does."""


class Machine:
    """Where everything is, and the log."""

    def __init__(self, log: str) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._is: dict[str, Any] = {}

    async def obey(self, tool: str, arguments: dict[str, Any]) -> str:
        entry = {"at_ns": time.monotonic_ns(), "tool": tool, "arguments": arguments}
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        await anyio.lowlevel.checkpoint()
        subject = str(arguments.get("joint", arguments.get("valve", tool)))
        for name in ("to", "speed", "force"):
            if name in arguments:
                self._is[subject] = arguments[name]
                return f"{subject} is at {arguments[name]}"
        return f"done: {tool}"


def build(machine: Machine) -> Server[dict[str, Any]]:
    async def list_tools(ctx: ServerRequestContext[Any], params: Any) -> types.ListToolsResult:
        schema = {"type": "object"}
        return types.ListToolsResult(tools=[types.Tool(name=name, input_schema=schema) for name in ARGUMENTS])

    async def call_tool(ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        said = await machine.obey(params.name, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=said)])

    return Server("machine", version="1.0.0", on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(server: Server[dict[str, Any]]) -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def main() -> None:
    words = argparse.ArgumentParser(description="A machine that does what it is told.")
    words.add_argument("--log", required=True)
    words.add_argument("--http", action="store_true")
    asked = words.parse_args()
    server = build(Machine(asked.log))
    if not asked.http:
        anyio.run(serve_stdio, server)
        return
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        server.streamable_http_app(), log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
