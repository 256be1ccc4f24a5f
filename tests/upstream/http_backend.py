"""A server that says exactly the bytes a test wants, and a receiver that remembers what it is told.

Requests are read with h11, so the client is not checked by its own codec. Every wait is bounded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import h11

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import TidegateError
from tidegate.pipeline.upstream.connection_pool import AddressGuard
from tidegate.pipeline.upstream.http_client import HttpClient

WAIT_S = 10.0
"""Bound of each wait; never reached when all is well."""


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Served:
    """One connection, as the server has it."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.writer = writer
        self._reader = reader
        self._h11 = h11.Connection(h11.SERVER)

    async def asked(self) -> Asked | None:
        """The next request; None when the client has closed."""
        conn = self._h11
        asked: Asked | None = None
        if conn.their_state is h11.DONE:
            conn.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            conn.send(h11.EndOfMessage())
            conn.start_next_cycle()
        async with asyncio.timeout(WAIT_S):
            while True:
                event = conn.next_event()
                if event is h11.NEED_DATA:
                    try:
                        conn.receive_data(await self._reader.read(65536))
                    except ConnectionError:
                        return None
                elif isinstance(event, h11.Request):
                    headers = {name.decode(): value.decode() for name, value in event.headers}
                    asked = Asked(event.method.decode(), event.target.decode(), headers, b"")
                elif isinstance(event, h11.Data) and asked is not None:
                    asked.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return asked
                else:
                    return None

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                await self.writer.drain()

    async def gone(self) -> bool:
        """Waits until the client has closed; False if it says something instead."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True


@dataclass
class Backend:
    url: str
    opened: int = 0
    failures: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def backend(
    script: Callable[[Served], Awaitable[None]], *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Backend]:
    """Runs `script` once per connection and closes the connection after it."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        site.opened += 1
        try:
            await script(Served(site.opened, reader, writer))
        except Exception as error:
            site.failures.append(error)
        finally:
            tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    name = "localhost" if tls else f"[{host}]" if ":" in host else host
    site = Backend(f"{'https' if tls else 'http'}://{name}:{port}/mcp")
    try:
        yield site
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()
    assert not site.failures


class Heard:
    """A `ResponseReceiver`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.ends = 0
        self.error: TidegateError | None = None
        self.on_end: Callable[[], None] | None = None
        self.on_piece: Callable[[], None] | None = None
        self._over = asyncio.Event()
        self._piece = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def response_started(self, status: int, headers: dict[str, str]) -> None:
        assert not self.status
        assert not self.over
        self.status, self.headers = status, headers

    def body_received(self, data: bytes) -> None:
        assert self.status
        assert data
        assert not self.over
        self.pieces.append(data)
        self._piece.set()
        if self.on_piece is not None:
            self.on_piece()

    def response_ended(self) -> None:
        assert self.status
        assert not self.over
        self.ends += 1
        self._over.set()
        if self.on_end is not None:
            self.on_end()

    def request_failed(self, error: TidegateError) -> None:
        assert not self.over
        self.error = error
        self._over.set()

    async def end(self) -> Heard:
        async with asyncio.timeout(WAIT_S):
            await self._over.wait()
        return self

    async def piece(self) -> bytes:
        """All that has come of the body, once something has."""
        async with asyncio.timeout(WAIT_S):
            await self._piece.wait()
        self._piece.clear()
        return self.body


@asynccontextmanager
async def http_client(
    *,
    limits: Limits | None = None,
    clock: Clock | None = None,
    connections: int = 64,
    queued: int = 256,
    connect_timeout_s: float = 10.0,
    ca_file: str = "",
    guard: AddressGuard | None = None,
) -> AsyncIterator[HttpClient]:
    client = HttpClient(
        limits or Limits(),
        clock or Clock(),
        max_connections_per_origin=connections,
        max_queued_per_origin=queued,
        connect_timeout_s=connect_timeout_s,
        ca_file=ca_file,
        guard=guard,
    )
    try:
        yield client
    finally:
        async with asyncio.timeout(WAIT_S):
            await client.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until the condition holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the state of a protocol has no event
            await asyncio.sleep(0)


def answer(body: bytes = b"ok", *fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body
