"""Where a connection comes from and where it came in, and whether its other end still exists."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Literal

Address = tuple[str, int] | str
"""(host, port) of TCP, or the path of a unix socket ("" for an unnamed one)."""

_SILENT_S: Final = 60
"""Seconds of silence after which the kernel asks whether a client is still there."""


def address_of(transport: asyncio.BaseTransport | None, end: Literal["peername", "sockname"]) -> Address:
    """A client on a unix socket has no name of its own; it gets the path it came in by."""
    if transport is None:
        return ""
    found = transport.get_extra_info(end) or transport.get_extra_info("sockname") or ""
    if isinstance(found, tuple):
        return (str(found[0]), int(found[1]))
    return found.decode(errors="surrogateescape") if isinstance(found, bytes) else str(found)


def probe_when_silent(transport: asyncio.BaseTransport) -> None:
    """Lets the kernel find clients that vanished without a word (power, radio)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_S)
