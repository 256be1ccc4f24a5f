"""The sockets clients come in by: bound or inherited, announced, and closed again.

Port 0 picks a free one. A stale unix socket is replaced; one that a running daemon answers on is not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from tidegate.config.address import format_host_port, is_loopback, parse_host_port
from tidegate.config.paths import prepare_unix_directory
from tidegate.errors import ConfigError

_BACKLOG = 512


async def listen_tcp(
    make: Callable[[], asyncio.Protocol], address: str, *, public: bool, inherited: socket.socket | None = None
) -> tuple[asyncio.Server, str]:
    """A listening server and its `host:port`. `public` allows a non-loopback host. Raises: ConfigError.

    `inherited` already listens at `address`, and nothing is bound.
    """
    host, port = parse_host_port(address)
    refuse_public(address, public=public)
    loop = asyncio.get_running_loop()
    try:
        if inherited is not None:
            server = await loop.create_server(make, sock=inherited, backlog=_BACKLOG)
        else:
            server = await loop.create_server(make, host, port, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on `{address}`: {error.strerror or error}; is a tidegate running already? "
            "Choose another address, or port 0 for a free one"
        ) from error
    bound = server.sockets[0].getsockname()
    return server, format_host_port(bound[0], bound[1])


def refuse_public(address: str, *, public: bool) -> None:
    """Raises: ConfigError, for a `host:port` that others can reach where `public` does not allow it."""
    if not public and not is_loopback(parse_host_port(address)[0]):
        raise ConfigError(
            f"`{address}` can be reached from other machines, and no client needs a token: add a client with "
            "`tidegate token new`, bind 127.0.0.1, or set `listen.allow_public = true`"
        )


async def listen_unix(
    make: Callable[[], asyncio.Protocol], path: str, mode: int, inherited: socket.socket | None = None
) -> asyncio.Server:
    """A listening server on a unix socket with file mode `mode`. Raises: ConfigError.

    `inherited` already listens at `path`; its mode and its end are the business of whoever made it.
    """
    loop = asyncio.get_running_loop()
    if inherited is not None:
        return await loop.create_unix_server(make, sock=inherited, backlog=_BACKLOG)
    prepare_unix_directory(path)
    try:
        _remove_stale(path)
        # Bound under a strict mask: the socket is never open to others, not even for a moment.
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(old)
        Path(path).chmod(mode)  # noqa: ASYNC240  one system call, at start
        return await loop.create_unix_server(make, sock=sock, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on `{path}`: {error.strerror or error}; choose another with `--unix`"
        ) from error


def _remove_stale(path: str) -> None:
    place = Path(path)
    if not place.exists():
        return
    if not place.is_socket():
        raise ConfigError(f"`{path}` exists and is no socket; choose another with `--unix`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            place.unlink()
            return
    raise ConfigError(f"a gateway is already running on `{path}`; stop it, or choose another with `--unix`")


def peer_uid(transport: asyncio.BaseTransport) -> int | None:
    """The user at the other end of a unix socket, by the kernel's word."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
