"""sd_notify(3): what the daemon tells the service manager, as datagrams of `KEY=value` lines.

`Contract` says what; this says it. Sending never blocks the loop: what finds the manager's queue full is kept, in
order, and sent a moment later. A manager that is gone is no reason to stop.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

_log = logging.getLogger("tidegate.systemd")

RETRY_S: Final = 0.1
"""After the manager's queue was full."""
VALUE_BYTES: Final = 1024
"""The manager reads 4096 bytes of a datagram, and one line of a terminal shows far less."""
_KEPT: Final = 32
"""Datagrams kept for a manager that does not read; the oldest go first."""


def socket_address(text: str) -> str | None:
    """The address of `$NOTIFY_SOCKET`; `@name` is an abstract one. None: nothing that a process can send to."""
    if text.startswith("/"):
        return text
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]
    return None


class Notifier:
    """One datagram socket to the manager."""

    def __init__(self, address: str, later: Callable[[float, Callable[[], None]], object]) -> None:
        """`later(seconds, step)`: the loop's `call_later`."""
        self._address = address
        self._later = later
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._unsent: deque[bytes] = deque(maxlen=_KEPT)
        self._retrying = False

    def send(self, **fields: str) -> None:
        """Tells `fields` in one datagram, now or after those that the manager had no room for yet."""
        self._unsent.append("\n".join(f"{key}={_one_line(value)}" for key, value in fields.items()).encode())
        if not self._retrying:
            self._flush()

    def _flush(self) -> None:
        self._retrying = False
        while self._unsent:
            try:
                self._socket.sendto(self._unsent[0], self._address)
            except BlockingIOError:
                self._retrying = True
                self._later(RETRY_S, self._flush)
                return
            except OSError as error:
                # It is starting anew, or gone. The next thing to say is tried again.
                _log.info("not_notified error=%s", error)
            self._unsent.popleft()

    def close(self) -> None:
        """What the manager had no room for is not waited for."""
        self._unsent.clear()
        self._socket.close()


def _one_line(value: str) -> str:
    """A line feed would begin another key, and what is no UTF-8 is dropped by the manager."""
    line = " ".join(value.encode("utf-8", "replace").decode().split())
    return line.encode()[:VALUE_BYTES].decode("utf-8", "ignore")
