"""A raw HTTP client, byte by byte where a test wants it, and a server with a handler of the test's own.

Responses are read with h11, so the server is not checked by its own codec. Every wait is bounded.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import h11

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.http1 import HttpRequest, HttpServerProtocol
from tidegate.pipeline.codec import HttpDownstream, Relay

WAIT_S = 10.0
"""Bound of each wait; never reached when all is well."""

behind_relay = False
"""What stands before the protocols of a test: nothing, or a relay that knows no flow, and so only holds what it may."""


def relay_of(limits: Limits, clock: Clock) -> Relay | None:
    if not behind_relay:
        return None
    relay = Relay(object(), lambda: None, (1.0,), clock.now_s(), True)
    relay.take_up(limits.in_flight, limits.header_bytes, limits.body_bytes, limits.result_bytes, limits.depth)
    return relay


@dataclass
class Reply:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Peer:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._h11 = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(WAIT_S):
            await self.writer.drain()

    async def interim(self) -> bytes:
        """Exactly one 1xx head."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def reply(self, method: str = "POST") -> Reply:
        """The next response; `method` is what it answers."""
        conn = self._h11
        if conn.our_state is h11.DONE and conn.their_state is h11.DONE:
            conn.start_next_cycle()
        conn.send(h11.Request(method=method, target="/", headers=[("host", "x"), ("content-length", "0")]))
        conn.send(h11.EndOfMessage())
        reply = Reply(0)
        async with asyncio.timeout(WAIT_S):
            while True:
                event = conn.next_event()
                if event is h11.NEED_DATA:
                    conn.receive_data(await self.reader.read(65536))
                elif isinstance(event, h11.Response):
                    reply.status = event.status_code
                    reply.headers = {name.decode(): value.decode() for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    reply.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return reply
                else:
                    raise AssertionError(f"no response: {event!r}")

    async def rest(self) -> bytes:
        """Everything until the server closes; what it sent before a reset counts."""
        received = b""
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                while data := await self.reader.read(65536):
                    received += data
        return received

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            async with asyncio.timeout(WAIT_S):
                await self.writer.wait_closed()

    def reset(self) -> None:
        self.writer.transport.abort()


@dataclass
class Site:
    """A server with one listener."""

    registry: ConnectionRegistry
    address: tuple[str, int] | str
    protocols: list[HttpServerProtocol]
    fronts: list[asyncio.Protocol]
    """What the event loop calls: `protocols`, or the relay's that stand before them."""
    peers: list[Peer] = field(default_factory=list)

    async def peer(
        self, *, tls: ssl.SSLContext | None = None, receive_buffer: int = 0, local: str | None = None
    ) -> Peer:
        async with asyncio.timeout(WAIT_S):
            if isinstance(self.address, str):
                reader, writer = await asyncio.open_unix_connection(self.address)
            elif receive_buffer:
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, self.address)
                reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
            else:
                host, port = self.address
                reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=local)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        return peer


@asynccontextmanager
async def serving(
    serve: Callable[[HttpRequest], None],
    *,
    limits: Limits | None = None,
    clock: Clock | None = None,
    unix: str = "",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Site]:
    limits = limits or Limits()
    clock = clock or Clock()
    registry = ConnectionRegistry(limits.connections, clock)
    protocols: list[HttpServerProtocol] = []
    fronts: list[asyncio.Protocol] = []
    relay = relay_of(limits, clock)

    def accept() -> asyncio.Protocol:
        protocols.append(HttpServerProtocol(serve, limits, clock, registry))
        fronts.append(HttpDownstream(relay, protocols[-1]) if relay is not None else protocols[-1])
        return fronts[-1]

    loop = asyncio.get_running_loop()
    if unix:
        server = await loop.create_unix_server(accept, unix)
        site = Site(registry, unix, protocols, fronts)
    else:
        server = await loop.create_server(accept, "127.0.0.1", 0, ssl=tls)
        host, port = server.sockets[0].getsockname()[:2]
        site = Site(registry, (host, port), protocols, fronts)
    try:
        yield site
    finally:
        server.close()
        for peer in site.peers:
            await peer.close()
        registry.abort()
        async with asyncio.timeout(WAIT_S):
            while len(registry) or registry.statistics()["refused_open"]:  # noqa: ASYNC110 - the state of a protocol has no event
                await asyncio.sleep(0)
            await server.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until the condition holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the state of a protocol has no event
            await asyncio.sleep(0)


def post(
    body: bytes = b"{}", *fields: str, path: str = "/mcp", version: str = "HTTP/1.1", length: int | None = None
) -> bytes:
    lines = [f"POST {path} {version}", "Host: localhost", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode() + body


def chunked_post(pieces: list[bytes], *fields: str) -> bytes:
    lines = ["POST /mcp HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", *fields, "", ""]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return "\r\n".join(lines).encode() + chunks + b"0\r\n\r\n"
