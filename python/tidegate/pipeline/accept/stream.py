"""Clients on byte streams: TCP and unix sockets. Newline-delimited JSON-RPC, or MessagePack by the first byte.

A MessagePack map begins with 0x80…0x8f, 0xde or 0xdf, which begins no JSON text, so the first byte decides
the framing for the whole connection. The messages are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from tidegate.config.snapshot import Limits
from tidegate.errors import NoMemory, TidegateError
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.descriptors import descriptor_of
from tidegate.pipeline.codec import LineSplitter, MsgpackSplitter, StreamDownstream, json_to_msgpack
from tidegate.pipeline.line import one_line


class Talk(Protocol):
    """A conversation, as the stream sees it."""

    def receive(self, message: bytes | None) -> None: ...

    def garbage(self, error: TidegateError) -> None: ...

    def end(self) -> None: ...

    @property
    def busy(self) -> bool:
        """Whether a request is still to be answered."""


class StreamServerProtocol(asyncio.Protocol):
    """One client connection."""

    def __init__(
        self,
        limits: Limits,
        registry: ConnectionRegistry,
        begin: Callable[[StreamServerProtocol], Talk | None],
    ) -> None:
        self._limits = limits
        self._registry = registry
        self._begin = begin
        self._talk: Talk | None = None
        self._splitter: LineSplitter | MsgpackSplitter | None = None
        self._packed = False
        self._admitted = False
        self._draining = False
        self.relayed: StreamDownstream | None = None
        """Stands before this, cuts the lines, and relays what it can."""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._admitted = self._registry.admit(self, descriptor_of(transport))
        if self._admitted:
            self._talk = self._begin(self)
        if self._talk is None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        talk = self._talk
        if talk is None:
            return
        if self._splitter is None:
            first = data[0]
            self._packed = 0x80 <= first <= 0x8F or first in (0xDE, 0xDF)
            limits = self._limits
            self._splitter = (
                MsgpackSplitter(limits.line_bytes, limits.depth) if self._packed else LineSplitter(limits.line_bytes)
            )
        try:
            messages = self._splitter.feed(data)
        except TidegateError as error:
            # Where one MessagePack value ends is lost, so the connection is, too.
            talk.garbage(error)
            self.close()
            return
        except MemoryError:
            self.no_memory(len(data))
            return
        for message in messages:
            self.take(message)

    def take(self, message: bytes | None) -> None:
        """One message; None for one over the limit."""
        talk = self._talk
        if talk is not None:
            try:
                talk.receive(message)
            except MemoryError:
                self.no_memory(len(message or b""))

    def no_memory(self, size: int) -> None:
        """What was lost cannot be told apart from what was not, so the connection ends."""
        talk = self._talk
        if talk is None:
            return
        self._registry.shed_messages.refuse("no memory is left for large ones")
        talk.garbage(NoMemory(f"no memory is left for a message of {size} bytes and more"))
        self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._admitted:
            self._registry.leave(self)
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.end()

    def write_line(self, line: bytes) -> None:
        """What the relay has to say to a client that has much unread."""
        self.write(line[:-1])

    def write(self, message: bytes) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > self._limits.write_buffer_bytes:
            # A client that does not read must not cost memory without end.
            transport.abort()
            return
        transport.write(json_to_msgpack(message) if self._packed else one_line(message))
        if self._draining:
            self.drain()

    @property
    def alive(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def drain(self) -> None:
        """Closes as soon as nothing is to be answered any more."""
        self._draining = True
        if self.relayed is not None:
            self.relayed.stand_back()
        if self._talk is None or not self._talk.busy:
            self.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
