"""A session server with one tool, `echo`, on stdin and stdout (as a program) or on TCP (in the test's own loop).

`echo` answers with its argument `text` and the server's own pid, after `delay_s`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

PLAIN_SERVER = (sys.executable, "-S", __file__)


def outcome(message: dict[str, Any]) -> dict[str, Any]:
    method = message["method"]
    if method == "initialize":
        info = {"name": "plain", "version": "1"}
        capabilities: dict[str, Any] = {"tools": {}, "resources": {}}
        return {"result": {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}}
    if method == "tools/list":
        return {"result": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}}
    if method == "resources/list":
        return {"result": {"resources": []}}
    if method == "tools/call":
        text = f"{message['params'].get('arguments', {}).get('text', '')} {os.getpid()}"
        return {"result": {"content": [{"type": "text", "text": text}]}}
    if method == "ping":
        return {"result": {}}
    return {"error": {"code": -32601, "message": "Method not found"}}


def delay_s(message: dict[str, Any]) -> float:
    return float(message.get("params", {}).get("arguments", {}).get("delay_s", 0.0))


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome(message)}).encode() + b"\n"


class PlainTcp:
    """The same on a free loopback port."""

    def __init__(self) -> None:
        self.address = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(_Connection, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "id" in message:
                later_s = delay_s(message)
                if later_s:
                    asyncio.get_running_loop().call_later(later_s, self._transport.write, encode(message))
                else:
                    self._transport.write(encode(message))


def main() -> None:
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" in message:
            sys.stdout.buffer.write(encode(message))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
