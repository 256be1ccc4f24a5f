"""All open listeners, and how they become those of another configuration.

`bind` opens what is new before anything else of a reload is applied, so that an address that cannot be had refuses
all of it; `switch` then puts them into force at once. A listener whose address stays keeps its socket and its
connections. One that is gone accepts nothing more; its connections finish what they are at.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from tidegate.clock import Clock
from tidegate.config.snapshot import Listen
from tidegate.errors import ConfigError
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.listener import listen_tcp, listen_unix, refuse_public

_log = logging.getLogger("tidegate.listeners")

_ADMIN_CONNECTIONS: Final = 64
_LOOK_S: Final = 0.05
"""How often the connections of a listener that is gone are looked at, while any is left."""

Make = Callable[[str, ConnectionRegistry], Callable[[], asyncio.Protocol]]
"""(role, registry) → what makes the protocol of one connection."""
Passed = Callable[[str, str], socket.socket | None]
"""(role, address) → the socket that the service manager passed for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one listener is for, and where, as the configuration has it."""

    role: str
    """http, tcp, unix or admin."""
    address: str
    number: int
    """Port 0 may stand there several times."""


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """One open socket."""

    place: Place
    server: asyncio.Server
    where: str
    """`host:port` as bound, or the path."""
    registry: ConnectionRegistry
    ours: bool
    """Bound here, not passed by a service manager."""


def places_of(listen: Listen) -> list[Place]:
    """Where `listen` wants listeners, in order."""
    found: list[Place] = []
    for role, addresses in (
        ("http", listen.http),
        ("tcp", listen.tcp),
        ("unix", (listen.unix,)),
        ("admin", (listen.admin,)),
    ):
        for address in addresses:
            if address:
                number = sum(place.role == role and place.address == address for place in found)
                found.append(Place(role, address, number))
    return found


class Listeners:
    """The listeners of one daemon."""

    def __init__(self, make: Make, registry: ConnectionRegistry, clock: Clock, passed: Passed) -> None:
        """`registry`: of all clients' connections. Those of operators do not count there."""
        self._make = make
        self._registry = registry
        self._clock = clock
        self._passed = passed
        self._open: dict[Place, Listener] = {}
        self._leaving: set[Listener] = set()

    async def bind(self, listen: Listen, *, needs_token: bool) -> dict[Place, Listener]:
        """The listeners that `listen` has and that are not open yet, open. Raises: ConfigError, and then none is."""
        opened: dict[Place, Listener] = {}
        try:
            for place in places_of(listen):
                public = listen.allow_public or (needs_token and place.role != "admin")
                if place not in self._open:
                    opened[place] = await self._bind(place, listen, public=public)
                elif place.role != "unix":
                    refuse_public(place.address, public=public)
        except BaseException:
            self.close_again(opened)
            raise
        return opened

    def close_again(self, opened: dict[Place, Listener]) -> None:
        """What `bind` opened is not to be used after all."""
        for listener in opened.values():
            self._close(listener)

    async def _bind(self, place: Place, listen: Listen, *, public: bool) -> Listener:
        if place.role == "admin":
            registry = ConnectionRegistry(_ADMIN_CONNECTIONS, self._clock, for_operators=True)
        else:
            registry = ConnectionRegistry(self._registry.limit, self._clock, within=self._registry)
        make = self._make(place.role, registry)
        passed = self._passed(place.role, place.address)
        try:
            if place.role == "unix":
                server, where = await listen_unix(make, place.address, listen.unix_mode, passed), place.address
            else:
                server, where = await listen_tcp(make, place.address, public=public, inherited=passed)
        except ConfigError as error:
            if passed is not None:
                passed.close()
            own = next((other for other in self._open.values() if _same_port(other.where, place.address)), None)
            if own is None:
                raise
            raise ConfigError(
                f"cannot listen on `{place.address}`: this gateway has that port itself, for `listen.{own.place.role}` "
                f"at `{own.where}`; a port changes hands only when the gateway is started again"
            ) from error
        return Listener(place, server, where, registry, passed is None)

    def switch(self, listen: Listen, opened: dict[Place, Listener]) -> list[Listener]:
        """From now on exactly those of `listen`. The ones that are gone, for `leave`: they accept nothing more."""
        before = {**self._open, **opened}
        self._open = {place: before.pop(place) for place in places_of(listen)}
        for place, listener in self._open.items():
            listener.registry.limit = _ADMIN_CONNECTIONS if place.role == "admin" else self._registry.limit
            if place.role == "unix" and listener.ours and place not in opened:
                _set_mode(place.address, listen.unix_mode)
        for listener in before.values():
            self._close(listener)
            self._leaving.add(listener)
        return list(before.values())

    async def leave(self, listener: Listener, drain_s: float) -> None:
        """Lets the connections of a listener that is gone finish, and cuts what is left after `drain_s`."""
        listener.registry.drain()
        with anyio.move_on_after(drain_s):
            while len(listener.registry):  # noqa: ASYNC110  bounded, and nobody is told of the last one
                await anyio.sleep(_LOOK_S)
        listener.registry.abort()
        self._leaving.discard(listener)

    def close_to_clients(self) -> None:
        """No new connections; those there are go on. The operators' listener stays."""
        for place, listener in self._open.items():
            if place.role != "admin":
                listener.server.close()

    def close(self) -> None:
        """The end: of the files, too, that our own unix sockets are."""
        for listener in [*self._open.values(), *self._leaving]:
            if listener.place.role == "admin":
                listener.registry.abort()
        for listener in self._open.values():
            self._close(listener)
        self._open.clear()

    @staticmethod
    def _close(listener: Listener) -> None:
        listener.server.close()
        if listener.place.role == "unix" and listener.ours:
            # Only our own: what the service manager passed, or what stands at a path that could not be bound, is not.
            Path(listener.place.address).unlink(missing_ok=True)

    @property
    def accepting(self) -> bool:
        """Whether clients have a way in."""
        return any(place.role != "admin" for place in self._open)

    def bound(self, role: str) -> list[str]:
        """Where the listeners for `role` are, in their order."""
        return [listener.where for place, listener in self._open.items() if place.role == role]


def _set_mode(path: str, mode: int) -> None:
    try:
        Path(path).chmod(mode)
    except OSError as error:
        # Somebody took the file away. That is no reason to stop halfway.
        _log.warning("unix_socket_lost path=%s error=%s", path, error.strerror)


def _same_port(bound: str, address: str) -> bool:
    return ":" in bound and bound.rpartition(":")[2] == address.rpartition(":")[2]
