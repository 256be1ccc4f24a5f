"""`forwarder.py PORT BACKEND_PORT`: bytes from here to there and back on uvloop's protocol callbacks, and nothing else.

What any hop on this event loop costs before it looks at a single byte: each client connection has an upstream
connection of its own, opened when it arrives. One line on stdout once it listens.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop


class Side(asyncio.Protocol):
    """One end of a pair; what it reads its peer writes."""

    def __init__(self, peer: Side | None = None) -> None:
        self._transport: asyncio.Transport | None = None
        self._early = b""
        self.peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's are not subclasses
        if self._early:
            self.write(self._early)

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._early += data
        else:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.close()


class Downstream(Side):
    """A client's connection."""

    def __init__(self, backend_port: int) -> None:
        super().__init__()
        self._backend_port = backend_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        upstream = self.peer = Side(self)
        loop = asyncio.get_running_loop()
        self._opening = asyncio.ensure_future(loop.create_connection(lambda: upstream, "127.0.0.1", self._backend_port))


async def forward(port: int, backend_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Downstream(backend_port), "127.0.0.1", port, backlog=1024)
    print("listens", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(forward(int(sys.argv[1]), int(sys.argv[2])))
