"""The echo of `plugins.py` as a stdio server by the official Python SDK, as its own examples write one."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("bench")


@server.tool()
def echo(text: str) -> str:
    """Gives the text back."""
    return text


server.run("stdio")
