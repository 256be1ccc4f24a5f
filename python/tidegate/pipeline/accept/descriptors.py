"""How many file descriptors are left. Some are kept for what is more than one more client.

The kernel gives each new descriptor the lowest free number, so a number near the limit says that few are left. What is
kept back is for servers: a child costs six while it starts, a call to an HTTP server one, and for operators.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Final

_KEPT: Final = 96
"""At most; a quarter where the limit is small."""
_BESIDE_CLIENTS: Final = 1024
"""Servers, children, files, when the limit is raised to what the configuration needs."""


def make_room(connections: int) -> None:
    """Raises the process's own limit, as far as it may, to what so many client connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _BESIDE_CLIENTS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def limit() -> int:
    """How many this process may have; it can be changed from outside while it runs."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def kept(of: int) -> int:
    return min(_KEPT, of // 4)


def few_left(descriptor: int, share: int = 1) -> bool:
    """Whether `descriptor`, the newest one, is among those that are kept; with `share` 2 in the last half of them."""
    most = limit()
    return most != resource.RLIM_INFINITY and descriptor >= most - kept(most) // share


def descriptor_of(transport: asyncio.BaseTransport | None) -> int:
    sock = transport.get_extra_info("socket") if transport is not None else None
    return sock.fileno() if sock is not None else -1
