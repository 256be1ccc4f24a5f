"""What a child writes on its stdout, cut into messages, at a pace that leaves the event loop to the others.

Answers to what it was asked cost it nothing. Everything else (notifications, garbage, lines without an end) it may send
in bursts and at a bounded rate; a child that sends more is not read from for a while, so that the pipe fills and it
has to wait. However much comes at once, a turn of the loop is given to a small portion of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

from tidegate.clock import Clock
from tidegate.pipeline.codec import LineSplitter
from tidegate.pipeline.token_bucket import TokenBucket
from tidegate.pipeline.upstream.link import LinkOwner

_PORTION: Final = 64
"""Messages handed on in one turn: some 0.3 ms."""
_UNASKED_PER_S: Final = 2000.0
_UNASKED_BURST: Final = 4000
"""Progress of many calls stays far below."""
_BYTES_EACH: Final = 4096
"""So many bytes that were not asked for count as one message: at that rate 8 MB/s."""
_MOST_PAUSE_S: Final = 1.0
_LINE_END_BYTES: Final = 2


class Lines(Protocol):
    """What cuts lines."""

    @property
    def pending(self) -> int:
        """Bytes of a line that has not ended."""


class Stdout(asyncio.Protocol):
    """The reading end of the pipe."""

    def __init__(self, owner: LinkOwner, max_bytes: int, ended: Callable[[], None]) -> None:
        self._owner = owner
        self._limit = max_bytes
        self._ended = ended
        self.lines: Lines = LineSplitter(max_bytes)
        """What has begun and not ended: of this, or of whatever cuts lines before it."""
        self._rest: deque[bytes | None] = deque()
        """Messages that came with those of an earlier turn. While there are any, nothing is read."""
        self._unasked = TokenBucket(Clock(), _UNASKED_PER_S, _UNASKED_BURST)
        self._transport: asyncio.ReadTransport | None = None
        self._timer: asyncio.Handle | None = None
        """Reads on, when the loop or the child has had its pause."""
        self._closed = False
        self.pauses = 0
        """How often the child was too fast."""
        self.at_end = False

    @property
    def within_message(self) -> bool:
        """It has begun a line that it has not ended."""
        return self.lines.pending > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.ReadTransport, transport)  # uvloop's are no subclasses
        if self._closed:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        splitter = self.lines
        assert isinstance(splitter, LineSplitter)
        before = splitter.pending
        lines = splitter.feed(data)
        if len(lines) == 1 and not before and lines[0] is not None and len(data) - len(lines[0]) <= _LINE_END_BYTES:
            # By far the most frequent: one message and nothing else. The same as below, in fewer steps.
            if not self._owner.received(lines[0], None) and not self._closed:
                owe_s = self._unasked.spend(1 + len(data) / _BYTES_EACH)
                if owe_s > 0:
                    self._pause(owe_s)
            return
        kept = sum(len(line) + 2 for line in lines if line is not None)
        self.take(lines, max(0, before + len(data) - splitter.pending - kept))

    def take(self, lines: list[bytes | None], thrown_away: int) -> None:
        """What came at once; `thrown_away`: bytes that were no part of any line."""
        if self._closed:
            return
        portion = lines if len(lines) <= _PORTION else lines[:_PORTION]
        owe_s = self._hand_on(portion, thrown_away)
        if len(lines) > _PORTION:
            self._rest.extend(lines[_PORTION:])
        if self._rest or owe_s > 0:
            self._pause(owe_s)

    def no_memory(self, size: int) -> None:
        """For so many bytes. Where the next message begins is lost."""
        raise MemoryError(f"no memory is left for {size} bytes of a server")

    def _hand_on(self, lines: list[bytes | None], thrown_away: int) -> float:
        """Seconds until the child may say more."""
        owner = self._owner
        unasked, unasked_bytes = 0, thrown_away
        for line in lines:
            if line is None:
                owner.oversized(self._limit)
                unasked += 1
            elif not owner.received(line, None):
                unasked += 1
                unasked_bytes += len(line)
            if self._closed:
                return 0.0
        if not unasked and thrown_away < _BYTES_EACH:
            return 0.0
        return self._unasked.spend(unasked + unasked_bytes / _BYTES_EACH)

    def _pause(self, owe_s: float) -> None:
        if self._transport is None:
            return
        if self._timer is None:
            self._transport.pause_reading()
        loop = asyncio.get_running_loop()
        if owe_s > 0:
            self.pauses += 1
            self._timer = loop.call_later(min(owe_s, _MOST_PAUSE_S), self._go_on)
        else:
            self._timer = loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        rest = self._rest
        portion = [rest.popleft() for _ in range(min(_PORTION, len(rest)))]
        owe_s = self._hand_on(portion, 0) if portion else 0.0
        if self._closed:
            return
        if rest or owe_s > 0:
            self._pause(owe_s)
        else:
            self._timer = None
            if self._transport is not None:
                self._transport.resume_reading()

    def hurry(self) -> None:
        """The child has exited: what it had still written is read at once."""
        if self._timer is None or self._closed:
            return
        self._timer.cancel()
        self._unasked = TokenBucket(Clock(), 0, 1)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._rest and not self._closed:
            self._hand_on([self._rest.popleft()], 0)
        self.at_end = True
        self._transport = None
        self._ended()

    def close(self) -> None:
        """Nobody wants to hear more."""
        self._closed = True
        self._rest.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.close()
