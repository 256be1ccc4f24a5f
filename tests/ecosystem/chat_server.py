"""A server of the official Python SDK, on stdio, with a tool of the shape of `chat` that repeats what it was asked."""

from __future__ import annotations

from typing import Any, TypedDict

from mcp.server.mcpserver import MCPServer


class Said(TypedDict):
    role: str
    content: str
    model: str
    stop_reason: str


server = MCPServer("chat")


@server.tool()
def chat(messages: list[dict[str, Any]], system: str = "", max_tokens: int = 256) -> Said:
    """Repeats the last message."""
    content = f"{max_tokens}: {messages[-1]['content']}"
    return {"role": "assistant", "content": content, "model": "parrot", "stop_reason": "end"}


if __name__ == "__main__":
    server.run("stdio")
