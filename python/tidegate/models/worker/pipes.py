"""The worker's two ends: lines that come, bytes that go. Both bounded, neither ever waits in the main loop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections import deque
from collections.abc import Callable
from typing import Final

from tidegate.models.worker.turns import Turns

_BLOCK: Final = 1 << 18
_SPARE_BYTES: Final = 4096
"""Set aside for when there is no memory for a block."""
_PIPE_BYTES: Final = 1 << 20
"""As much as an unprivileged process may ask for by default."""
_FULL_BYTES: Final = 1 << 20
"""That nobody has read yet: from here on nothing new is taken in and nothing new is computed."""


class LinesIn:
    """Hands on each line without its end; None for one that was longer than it may be, or than memory has room for."""

    def __init__(
        self,
        turns: Turns,
        descriptor: int,
        max_bytes: int,
        take: Callable[[bytes | None], None],
        ended: Callable[[], None],
    ) -> None:
        self._turns = turns
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._take = take
        self._ended = ended
        self._parts: list[bytes] = []
        """Of a line whose end has not come."""
        self._pending = 0
        self._skipping = False
        self._paused = True
        self._is_file = False
        self._spare = bytearray(_SPARE_BYTES)
        _widen(descriptor)

    def start(self) -> None:
        self._paused = False
        if self._is_file:
            self._turns.soon(self._read)
            return
        try:
            self._turns.when_readable(self._descriptor, self._read)
        except PermissionError:
            self._is_file = True
            self._turns.soon(self._read)

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            if not self._is_file:
                self._turns.when_readable(self._descriptor, None)

    def _read(self) -> None:
        if self._paused:
            return
        try:
            data = self._block()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        except MemoryError:
            self._give_up_line()
            return
        if not data:
            self.pause()
            if self._parts and not self._skipping:
                self._line(b"")  # the last one may lack its newline
            self._ended()
            return
        self.feed(data)
        if self._is_file and not self._paused:
            self._turns.soon(self._read)

    def _block(self) -> bytes:
        """Raises: MemoryError, when giving up the line that has begun would help, or something was read and is lost."""
        try:
            return os.read(self._descriptor, _BLOCK)
        except MemoryError:
            if self._parts:
                raise
        # What is never read would wake the loop for ever, and nobody would hear of it.
        count = os.readv(self._descriptor, [self._spare])
        return bytes(memoryview(self._spare)[:count])

    def feed(self, data: bytes) -> None:
        lines = data.split(b"\n")
        for line in lines[:-1]:
            self._line(line)
        rest = lines[-1]
        self._pending += len(rest)
        if self._pending > self._max_bytes:
            self._give_up_line()
        elif rest:
            self._parts.append(rest)

    def _give_up_line(self) -> None:
        """What there is of it, and what comes up to its end."""
        self._skipping = True
        self._parts.clear()

    def _line(self, last: bytes) -> None:
        too_long = self._skipping or self._pending + len(last) > self._max_bytes + 1
        try:
            line = b"" if too_long else b"".join([*self._parts, last])
        except MemoryError:
            too_long, line = True, b""
        self._parts.clear()
        self._pending = 0
        self._skipping = False
        if too_long:
            self._take(None)
        elif line.strip():
            self._take(line)


class BytesOut:
    """Writes as fast as they are read. `full` is called with True and False as too much is waiting, and no longer."""

    def __init__(self, turns: Turns, descriptor: int, full: Callable[[bool], None], lost: Callable[[], None]) -> None:
        self._turns = turns
        self._descriptor = descriptor
        self._full = full
        self._lost = lost
        self._waiting: deque[memoryview] = deque()
        self.waiting_bytes = 0
        self.when_empty: Callable[[], None] | None = None
        """Called when everything has gone."""
        self._was_full = False
        self._gone = False
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)
        _widen(descriptor)

    def write(self, data: bytes) -> None:
        if self._gone:
            return
        idle = not self._waiting
        self._waiting.append(memoryview(data))
        self.waiting_bytes += len(data)
        if idle and not self._flush():
            self._turns.when_writable(self._descriptor, self._writable)
        self._tell()

    def _writable(self) -> None:
        if self._flush():
            self._turns.when_writable(self._descriptor, None)
        self._tell()

    def _flush(self) -> bool:
        """Whether everything has gone."""
        while self._waiting:
            head = self._waiting[0]
            try:
                written = os.write(self._descriptor, head)
            except BlockingIOError:
                return False
            except OSError:
                self._gone = True
                self._waiting.clear()
                self.waiting_bytes = 0
                self._lost()
                return True
            self.waiting_bytes -= written
            if written < len(head):
                self._waiting[0] = head[written:]
            else:
                self._waiting.popleft()
        return True

    def _tell(self) -> None:
        full = self.waiting_bytes > _FULL_BYTES
        if full != self._was_full and (full or self.waiting_bytes < _FULL_BYTES // 2):
            self._was_full = full
            self._full(full)
        if not self._waiting and self.when_empty is not None:
            self.when_empty()


def _widen(descriptor: int) -> None:
    """A picture or a tensor goes through a pipe in few pieces, if it is one and the box allows that."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
