"""A session server on a TCP or unix socket that works until a test gives it a fault; `act` then has the connection."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

Json = Any


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: FaultyStream) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.lines.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.server.lines.discard(self)

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            message = json.loads(line)
            if "id" in message and "method" in message:
                if self.server.fault is not None and message["method"] in self.server.only:
                    self.server.fault(self, message)
                else:
                    self.say(self.answer(message))

    def answer(self, message: Json) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": message["id"], **_outcome(message)}).encode() + b"\n"

    def say(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    def pour(self, piece: bytes) -> None:
        """For ever, as fast as it is taken."""
        if self.transport is not None and not self.transport.is_closing():
            if self.transport.get_write_buffer_size() < 1 << 20:
                self.transport.write(piece)
            asyncio.get_running_loop().call_later(0.001, self.pour, piece)


class FaultyStream:
    """Listens at `place`: a path, or "" for a free loopback port."""

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.fault: Callable[[Line, Json], None] | None = None
        self.only: tuple[str, ...] = ("tools/call",)
        self.lines: set[Line] = set()
        self._port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        if self.place:
            self._server = await loop.create_unix_server(lambda: Line(self), self.place)
        else:
            self._server = await loop.create_server(lambda: Line(self), "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    @property
    def table(self) -> str:
        return f'unix = "{self.place}"' if self.place else f'tcp = "127.0.0.1:{self._port}"'

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for line in list(self.lines):
            line.close()


def _outcome(message: Json) -> Json:
    method = message["method"]
    if method == "initialize":
        tools = {"tools": {"listChanged": True}}
        info = {"name": "bad", "version": "1"}
        return {"result": {"protocolVersion": "2025-11-25", "capabilities": tools, "serverInfo": info}}
    if method == "tools/list":
        return {"result": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}}
    if method == "tools/call":
        return {"result": {"content": [{"type": "text", "text": "did echo"}]}}
    if method == "ping":
        return {"result": {}}
    return {"error": {"code": -32601, "message": "Method not found"}}
