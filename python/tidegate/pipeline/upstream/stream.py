"""A server at the other end of a byte stream: newline-delimited JSON-RPC over TCP or a unix socket.

The framing is that of the stdio binding (2026-07-28, transports "Custom Transports"), and read as a child's stdout is.
"""

from __future__ import annotations

import asyncio
from typing import cast

from tidegate.errors import NoMemory, TidegateError, UpstreamClosed, UpstreamUnreachable
from tidegate.pipeline.codec import LineUpstream
from tidegate.pipeline.upstream.child.stdout import Stdout
from tidegate.pipeline.upstream.joined_writer import JoinedWriter
from tidegate.pipeline.upstream.link import Call, LineRelay, LinkOwner


class StreamLink(asyncio.Protocol):
    """A TCP or unix socket connection to a server."""

    cancels_by_closing = False

    def __init__(
        self,
        backend: str,
        address: tuple[str, int] | str,
        *,
        max_bytes: int,
        write_buffer_bytes: int,
        connect_timeout_s: float,
        relay: LineRelay | None = None,
    ) -> None:
        self._backend = backend
        self._address = address
        self._max_bytes = max_bytes
        self._write_buffer_bytes = write_buffer_bytes
        self._connect_timeout_s = connect_timeout_s
        self._relay = relay
        self._relayed: LineUpstream | None = None
        self._owner: LinkOwner | None = None
        self._inbox: Stdout | None = None
        """Reads at a pace that leaves the loop to others."""
        self._writer: JoinedWriter | None = None

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._inbox = Stdout(owner, self._max_bytes, self._ended)
        self._relayed = self._relay.lines(self, self._max_bytes) if self._relay is not None else None
        protocol: asyncio.Protocol = self
        if self._relayed is not None:
            self._inbox.lines = self._relayed
            protocol = cast(asyncio.Protocol, self._relayed)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if isinstance(self._address, str):
                    await loop.create_unix_connection(lambda: protocol, self._address)
                else:
                    await loop.create_connection(lambda: protocol, *self._address)
        except (OSError, TimeoutError) as error:
            cause = str(error) or "it did not answer in time"
            raise UpstreamUnreachable(f"backend `{self._backend}` cannot be reached: {cause}") from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast(asyncio.WriteTransport, transport)  # uvloop's are no subclasses
        self._writer = JoinedWriter(writing, self._backend, self._write_buffer_bytes)
        if self._inbox is not None:
            self._inbox.connection_made(transport)
        if self._relayed is not None and self._owner is not None:
            self._owner.relay_by(self._relayed.upstream, writing.write, self._writer)

    def data_received(self, data: bytes) -> None:
        assert self._inbox is not None
        try:
            self._inbox.data_received(data)
        except MemoryError:
            self.no_memory(len(data))

    def take(self, lines: list[bytes | None], thrown_away: int) -> None:
        """From the relay: what is not its own."""
        assert self._inbox is not None
        self._inbox.take(lines, thrown_away)

    def no_memory(self, size: int) -> None:
        """For so many bytes. Where the next message begins is lost."""
        self._fail(NoMemory(f"no memory is left for what backend `{self._backend}` says"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._writer = None
        if self._inbox is not None:
            self._inbox.connection_lost(exc)
        if self._owner is not None:
            cause = f": {exc}" if exc else ""
            self._owner.lost(UpstreamClosed(f"backend `{self._backend}` closed the connection{cause}"))

    def send(self, message: bytes, call: Call | None) -> None:
        if self._writer is not None:
            self._writer.send(message, call, self._owner)

    def _ended(self) -> None:
        """The reading end; that the connection ended is told by `connection_lost`."""

    def _fail(self, error: TidegateError) -> None:
        owner, self._owner = self._owner, None
        if self._inbox is not None:
            self._inbox.close()
        if owner is not None:
            owner.lost(error)

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        pass

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def statistics(self) -> dict[str, object]:
        return {"connected": self._writer is not None}
