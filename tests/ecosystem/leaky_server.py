"""A server that says more than it should, on the official SDK, over stdio."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("people")
last: list[str] = [""]


@server.tool()
def look_up(name: str) -> dict[str, Any]:
    """What is known of a person."""
    last[0] = name
    if name != "Ada":
        raise ToolError(f"nobody is called {name}")
    return {
        "name": name,
        "since": 1843,
        "note": "write to ada@example.org, card 4111 1111 1111 1111",
        "iban": "DE89 3704 0044 0532 0130 00",
        "phone": "+1 212 555 0123",
    }


@server.tool()
def heard() -> dict[str, Any]:
    """How long the last name was that it was asked for."""
    return {"last_length": len(last[0])}


if __name__ == "__main__":
    server.run("stdio")
