"""A server on stdio that answers each call as late as the call says, and logs when it read it.

`python holding_server.py ERA NAME LOG`. Tools: `job` and `keep`. A call's arguments are `n`, which is logged, and
`delay_s`. A line of the log: time by the monotonic clock in ns, tool, n.
"""

from __future__ import annotations

import heapq
import json
import os
import selectors
import sys
import time
from typing import Any

Json = Any
READ_BYTES = 1 << 20
CAPABILITIES = {"tools": {}}


def answer(era: str, name: str, method: str, params: Json) -> Json:
    """The result of what is not a call; None for what this era does not have."""
    if era == "modern":
        more = {"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public"}
        if method == "server/discover":
            return {**more, "supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES}
    else:
        more = {}
        if method == "initialize":
            version = params["protocolVersion"]
            info = {"name": name, "version": "1"}
            return {"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": info}
        if method == "ping":
            return {}
    if method == "tools/list":
        return {**more, "tools": [{"name": tool, "inputSchema": {"type": "object"}} for tool in ("job", "keep")]}
    return None


def main() -> None:
    era, name, log_file = sys.argv[1:]
    kind = ',"resultType":"complete"' if era == "modern" else ""
    content = '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' + name + ' %d"}]' + kind + "}}\n"
    held: list[tuple[float, int, str]] = []
    rest = b""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    with open(log_file, "a", encoding="ascii") as log:  # noqa: PTH123 - as plain as it can be
        while True:
            wait_s = max(0.0, held[0][0] - time.monotonic()) if held else None
            written = []
            if selector.select(wait_s):
                data = os.read(0, READ_BYTES)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if "id" not in message or "method" not in message:
                        continue
                    own_id = json.dumps(message["id"])
                    params = message.get("params", {})
                    if message["method"] == "tools/call":
                        number = params["arguments"]["n"]
                        log.write(f"{time.monotonic_ns()} {params['name']} {number}\n")
                        due_s = time.monotonic() + params["arguments"]["delay_s"]
                        heapq.heappush(held, (due_s, number, content % (own_id, number)))
                        continue
                    result = answer(era, name, message["method"], params)
                    error = {"code": -32601, "message": "Method not found"}
                    end = {"error": error} if result is None else {"result": result}
                    written.append(json.dumps({"jsonrpc": "2.0", "id": message["id"], **end}) + "\n")
                log.flush()
            now_s = time.monotonic()
            while held and held[0][0] <= now_s:
                written.append(heapq.heappop(held)[2])
            out = "".join(written).encode()
            while out:
                out = out[os.write(1, out) :]


if __name__ == "__main__":
    main()
