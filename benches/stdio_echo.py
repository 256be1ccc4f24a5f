"""The echo of `plugins.py` as a stdio server in plain Python: 2026-07-28, one message at a time."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOLS = [{"name": "echo", "description": "Gives the text back.", "inputSchema": {"type": "object"}}]
LASTING = {"resultType": "complete", "ttlMs": 600000, "cacheScope": "public"}
OWN = {"capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"}}


def result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "tools/call":
        return {"resultType": "complete", "content": [{"type": "text", "text": params["arguments"]["text"]}]}
    if method == "tools/list":
        return {"tools": TOOLS, **LASTING}
    return {"supportedVersions": ["2026-07-28"], **OWN, **LASTING}


for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message:
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result(message["method"], message.get("params", {}))}
        sys.stdout.buffer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
        sys.stdout.buffer.flush()
