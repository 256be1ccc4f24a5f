"""Writes to one server, joined: what is sent within one turn of the event loop costs one system call.

A lone caller's message goes out at once, and pays for no turn. Where several calls are in flight, the first
message of a turn goes out at once and those that follow leave together at its end.
"""

from __future__ import annotations

import asyncio


class JoinedWriter:
    """The writing end of a transport."""

    __slots__ = ("_loop", "_queued", "_queued_bytes", "_transport", "_turn")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._queued: list[bytes] = []
        self._queued_bytes = 0
        self._turn = False
        """Something was written in this turn."""

    def write(self, data: bytes, *, alone: bool) -> None:
        """`alone`: nothing else is in flight, so nothing is likely to follow."""
        if alone and not self._turn:
            self._transport.write(data)
        elif self._turn:
            self._queued.append(data)
            self._queued_bytes += len(data)
        else:
            self._turn = True
            self._transport.write(data)
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn = False
        self.flush()

    def flush(self) -> None:
        """Hands everything to the transport."""
        if self._queued:
            queued, self._queued = self._queued, []
            self._queued_bytes = 0
            if not self._transport.is_closing():
                self._transport.write(b"".join(queued))

    @property
    def unsent_bytes(self) -> int:
        return self._queued_bytes + self._transport.get_write_buffer_size()

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        """Flushes, then closes."""
        self.flush()
        self._transport.close()
