"""The least that a session server says. Its tool `misbehave` is each hostile child's own affair.

The children run as `python -S -E child.py`, so nothing but the standard library is there.
"""

import json
import os
import sys
from collections.abc import Callable

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "misbehave")]


def write(data: bytes) -> None:
    """All of it, past any buffer of Python's."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def text(message_id: object, words: str) -> bytes:
    result = {"content": [{"type": "text", "text": words}]}
    return json.dumps({"jsonrpc": "2.0", "id": message_id, "result": result}).encode() + b"\n"


def serve(misbehave: Callable[[object], None], called: Callable[[], None] = lambda: None) -> None:
    """Answers until stdin ends. `misbehave` gets the id of the call; `called` hears of every call."""
    for line in sys.stdin.buffer:
        message = json.loads(line)
        method, message_id = message.get("method"), message.get("id")
        if message_id is None:
            continue
        if method == "initialize":
            info = {"name": "bad", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            result = {"tools": TOOLS}
        elif method == "tools/call":
            called()
            if message["params"]["name"] == "misbehave":
                misbehave(message_id)
            else:
                write(text(message_id, "did echo"))
            continue
        else:
            error = {"code": -32601, "message": "Method not found"}
            write(json.dumps({"jsonrpc": "2.0", "id": message_id, "error": error}).encode() + b"\n")
            continue
        write(json.dumps({"jsonrpc": "2.0", "id": message_id, "result": result}).encode() + b"\n")
