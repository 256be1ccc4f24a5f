"""What a child writes on its stderr: no protocol, but words for people. A bounded tail of it is kept and logged.

A child that floods it is read slowly, so that its noise costs it time, not us.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from typing import Final, cast

from tidegate.clock import Clock
from tidegate.pipeline.token_bucket import TokenBucket

_log = logging.getLogger("tidegate.child")

_LINES: Final = 100
_LINE_BYTES: Final = 500
"""Together 50 kB a child."""
_BYTES_PER_S: Final = 2 << 20
_BURST_BYTES: Final = 1 << 20
_LOGGED_PER_S: Final = 10.0
_LOGGED_BURST: Final = 100
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
"""What would steer the terminal that the log is shown on; tabs are harmless."""


class Stderr(asyncio.Protocol):
    """The reading end of the pipe, and the tail."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._tail: deque[bytes] = deque(maxlen=_LINES)
        self._rest = b""
        """Begins a line that has not ended."""
        self._bytes = TokenBucket(Clock(), _BYTES_PER_S, _BURST_BYTES)
        self._logged = TokenBucket(Clock(), _LOGGED_PER_S, _LOGGED_BURST)
        self._left_out = 0
        self._transport: asyncio.ReadTransport | None = None
        self._timer: asyncio.Handle | None = None
        self._closed = False
        self.pid = 0
        self.at_end = False

    def lines(self, most: int = _LINES) -> list[str]:
        """The last ones, also one that has not ended."""
        raw = [*self._tail, self._rest] if self._rest.strip() else list(self._tail)
        return [line.decode("utf-8", "replace") for line in raw[-most:]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.ReadTransport, transport)  # uvloop's are no subclasses
        if self._closed:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        # However many lines came, only as many are looked at as are kept.
        pieces = data.rsplit(b"\n", _LINES)
        skipped = pieces[0].count(b"\n") if len(pieces) > _LINES else 0
        if skipped:
            pieces[0] = pieces[0][pieces[0].rfind(b"\n") + 1 :]
        else:
            pieces[0] = self._rest + pieces[0][:_LINE_BYTES]
        self._left_out += skipped
        self._rest = pieces.pop()[:_LINE_BYTES]
        for piece in pieces:
            line = piece[:_LINE_BYTES].rstrip()
            if line:
                self._tail.append(line)
                self._log_line(line)
        owe_s = self._bytes.spend(len(data))
        if owe_s > 0 and self._transport is not None:
            self._transport.pause_reading()
            self._timer = asyncio.get_running_loop().call_later(owe_s, self._read_on)

    def _log_line(self, line: bytes) -> None:
        if not _log.isEnabledFor(logging.INFO):
            return
        if not self._logged.take_nowait():
            self._left_out += 1
            return
        if self._left_out:
            self._log(f"({self._left_out} lines left out)")
            self._left_out = 0
        self._log(_CONTROL.sub("\ufffd", line.decode("utf-8", "replace")))

    def _log(self, text: str) -> None:
        _log.info("stderr backend=%s pid=%d %s", self._backend, self.pid, text, extra={"backend": self._backend})

    def _read_on(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._transport.resume_reading()

    def hurry(self) -> None:
        """The child has exited: its last words are read at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_line()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.at_end = True
        self._transport = None

    def _end_line(self) -> None:
        line, self._rest = self._rest.rstrip(), b""
        if line:
            self._tail.append(line)
            self._log_line(line)
        if self._left_out and _log.isEnabledFor(logging.INFO):
            self._log(f"({self._left_out} lines left out)")
            self._left_out = 0

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()
