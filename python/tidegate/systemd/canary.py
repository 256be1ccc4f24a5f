"""A client of our own: one stream connection from the daemon to itself, on which a request makes the round trip.

The far end is served by the very protocol that TCP and unix clients get: loop, socket, framing, scan, era, answer. The
request is a `ping` in the words of the stateless era, which has no such method. So the era answers it with an
error, and nothing behind it is touched: no server is started for it, no limit is used up and no counter moves. What
comes back is compared by id only; that it comes back is the point.

It has a registry to itself: a gateway whose clients use up all connections is busy, not dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable
from typing import Final

from tidegate.protocol.meta_keys import CLIENT_CAPABILITIES, PROTOCOL_VERSION
from tidegate.protocol.revisions import LATEST_MODERN

_log = logging.getLogger("tidegate.systemd")

_META: Final = {PROTOCOL_VERSION: LATEST_MODERN, CLIENT_CAPABILITIES: {}}
_MOST_BYTES: Final = 64 * 1024
"""An answer has some hundred."""


class Canary:
    """Asks over one connection that stays open, so that asking needs no free file descriptor."""

    def __init__(
        self,
        serve: Callable[[], asyncio.Protocol],
        *,
        spawn: Callable[..., None],
        answered: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        """`serve` makes the protocol of the serving end; `spawn` starts a named task."""
        self._serve = serve
        self._spawn = spawn
        self._answered = answered
        self._lost = lost
        self._near: socket.socket | None = None
        self._received = b""
        self._id = 0

    def ask(self) -> None:
        """Sends one request; `answered` is called when it was answered, `lost` when it cannot be."""
        if self._near is None:
            self._spawn(self._open, name="canary")
        else:
            self._send()

    async def _open(self) -> None:
        try:
            near, far = socket.socketpair()
            near.setblocking(False)
            far.setblocking(False)
            self._near, self._received = near, b""
            loop = asyncio.get_running_loop()
            loop.add_reader(near, self._readable)
            await loop.connect_accepted_socket(self._serve, far)
        except OSError as error:
            _log.warning("canary_not_opened error=%s", error)
            self._broken()
            return
        self._send()

    def _send(self) -> None:
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": "ping", "params": {"_meta": _META}}
        assert self._near is not None
        try:
            self._near.send(json.dumps(request).encode() + b"\n")
        except OSError:
            self._broken()

    def _readable(self) -> None:
        assert self._near is not None
        try:
            data = self._near.recv(_MOST_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        *lines, self._received = (self._received + data).split(b"\n")
        if not data or len(self._received) > _MOST_BYTES:
            self._broken()
            return
        for line in lines:
            answer = json.loads(line)
            if isinstance(answer, dict) and answer.get("id") == self._id:
                self._answered()

    def _broken(self) -> None:
        self.close()
        self._lost()

    def close(self) -> None:
        near, self._near = self._near, None
        if near is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                asyncio.get_running_loop().remove_reader(near)
            near.close()
