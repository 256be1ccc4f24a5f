"""The other backend: a plain session server on a TCP stream that answers everything at once."""

from __future__ import annotations

import asyncio
import json

CONTENT = {"content": [{"type": "text", "text": "steady"}]}


class SteadyServer:
    """Listens on a free loopback port."""

    def __init__(self) -> None:
        self.address = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "id" not in message:
                    continue
                writer.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **_outcome(message)}).encode() + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def _outcome(message: dict[str, object]) -> dict[str, object]:
    method = message["method"]
    if method == "initialize":
        info = {"name": "good", "version": "1"}
        return {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}}
    if method == "tools/list":
        return {"result": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}}
    if method == "tools/call":
        return {"result": CONTENT}
    if method == "ping":
        return {"result": {}}
    return {"error": {"code": -32601, "message": "Method not found"}}
