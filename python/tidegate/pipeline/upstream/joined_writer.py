"""Writes to one server, joined: what is sent within one turn of the event loop costs one system call.

`stdio_child.py` and `stream.py` send by it. A lone caller's message goes out at once, and pays for no turn. Where
several calls are in flight, the first message of a turn goes out at once and those that follow leave together at
its end. A server that reads too slowly gets no more: its calls fail instead of filling memory.
"""

from __future__ import annotations

import asyncio

from tidegate.errors import Overloaded
from tidegate.pipeline.line import one_line
from tidegate.pipeline.upstream.link import Call, LinkOwner


class JoinedWriter:
    """The writing end of a transport, one line a message."""

    __slots__ = ("_backend", "_loop", "_max_unsent_bytes", "_queued", "_transport", "_turn", "queued_bytes")

    def __init__(self, transport: asyncio.WriteTransport, backend: str, max_unsent_bytes: int) -> None:
        self._transport = transport
        self._backend = backend
        self._max_unsent_bytes = max_unsent_bytes
        self._loop = asyncio.get_running_loop()
        self._queued: list[bytes] = []
        self.queued_bytes = 0
        """To be written at the end of this turn. Whoever else writes to the transport waits for that."""
        self._turn = False
        """Something was written in this turn."""

    def send(self, message: bytes, call: Call | None, owner: LinkOwner | None) -> None:
        """`Link.send`. `owner` is None once nobody wants to hear of failures."""
        transport = self._transport
        if transport.is_closing():
            return
        if self.queued_bytes + transport.get_write_buffer_size() > self._max_unsent_bytes:
            if call is not None and owner is not None:
                owner.call_failed(call, Overloaded(f"backend `{self._backend}` reads too slowly"))
            return
        data = one_line(message)
        if self._turn:
            self._queued.append(data)
            self.queued_bytes += len(data)
            return
        transport.write(data)
        if owner is not None and owner.in_flight > 1:
            # More is likely to follow in this turn.
            self._turn = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn = False
        self._flush()

    def _flush(self) -> None:
        """Hands everything to the transport."""
        if self._queued:
            queued, self._queued = self._queued, []
            self.queued_bytes = 0
            if not self._transport.is_closing():
                self._transport.write(b"".join(queued))

    def close(self) -> None:
        """Flushes, then closes."""
        self._flush()
        self._transport.close()
