"""Reads the lists of a server, and reads them again when it says that they changed or nobody would tell."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Limits
from tidegate.errors import TidegateError, UpstreamClosed, UpstreamProtocol
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.listing import Kind, Listing, fetch_kind, offers, tells
from tidegate.pipeline.upstream.negotiate import own_meta
from tidegate.pipeline.upstream.offers import Offers
from tidegate.pipeline.upstream.slot import Slot
from tidegate.protocol.methods import LIST_METHOD

_UNTOLD_S: Final = 30.0
"""How old a list may be of a server that neither says when it changes nor how long it holds."""

_log = logging.getLogger("tidegate.upstream")


class ListsHost(Protocol):
    """A service, as its lists see it."""

    name: str
    config: Backend
    clock: Clock
    offers: Offers

    @property
    def limits(self) -> Limits: ...

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...

    def tell_changed(self, slot: Slot, kind: str) -> None:
        """Whoever is served from `slot` must read this list again."""


class Lists:
    """The lists of one service."""

    def __init__(self, host: ListsHost) -> None:
        self._host = host

    async def read(self, connection: Connection) -> Listing:
        """Everything that the server declared to have. Raises: UpstreamError."""
        kinds: dict[str, Kind] = {}
        warnings: list[str] = []
        failures: list[TidegateError] = []

        async def read_kind(kind: str) -> None:
            try:
                kinds[kind], said = await self._fetch(connection, kind)
                warnings.extend(said)
            except UpstreamProtocol as error:
                # Many servers with resources know no templates; a list that fails takes only itself away.
                if kind != "templates":
                    warnings.append(str(error))
            except TidegateError as error:
                # Raised below: a task group would wrap it, and the caller would not read the cause.
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for kind in LIST_METHOD:
                if offers(connection, kind):
                    tasks.start_soon(read_kind, kind, name=f"list {self._host.name} {kind}")
        if failures:
            raise failures[0]
        if connection.closed:
            raise UpstreamClosed(f"backend `{self._host.name}` closed the connection while it was asked what it offers")
        for warning in warnings[:20]:
            _log.warning("listing backend=%s %s", self._host.name, warning)
        return Listing(kinds, tuple(warnings[:100]))

    async def _fetch(self, connection: Connection, kind: str) -> tuple[Kind, list[str]]:
        dialect = connection.dialect
        params = {} if dialect is None or dialect.keeps_session else own_meta(connection.version)
        limit = self._host.limits.catalog_entries
        return await fetch_kind(connection, kind, params, self._host.config.start_timeout_s, limit)

    def refresh_old(self, slot: Slot) -> None:
        """Reads again what is past its time, of servers that do not tell of changes. Whoever asked meanwhile got
        the list as it was; if it turns out to differ, clients are told.
        """
        connection, offer = slot.connection, slot.offer
        if connection is None or offer is None:
            return
        age_s = self._host.clock.now_s() - slot.read_at_s
        if age_s < 1.0:
            return
        for kind, found in offer.listing.kinds.items():
            holds_s = found.ttl_ms / 1000 if found.ttl_ms else _UNTOLD_S
            if kind != "templates" and not tells(connection, kind) and age_s > holds_s and kind not in slot.refreshing:
                slot.read_at_s = self._host.clock.now_s()
                slot.refreshing.add(kind)
                self._host.spawn(self._refresh, slot, kind, True, name=f"refresh {self._host.name} {kind}")

    async def _refresh(self, slot: Slot, kind: str, only_if_changed: bool = False) -> None:
        """Reads one list again. Changes that arrive meanwhile are caught by one more round."""
        try:
            while True:
                slot.stale.discard(kind)
                connection = slot.connection
                if connection is None or slot.offer is None:
                    return
                fetched, _ = await self._fetch(connection, kind)
                read = {kind: fetched}
                if kind == "resources" and "templates" in slot.offer.listing.kinds:
                    read["templates"], _ = await self._fetch(connection, "templates")
                # Another list may have been read meanwhile.
                kinds = slot.offer.listing.kinds | read
                changed = kinds != slot.offer.listing.kinds
                slot.offer = slot.offer.with_listing(Listing(kinds, slot.offer.listing.warnings))
                self._host.offers.remember(slot)
                if changed or not only_if_changed:
                    self._host.tell_changed(slot, kind)
                if kind not in slot.stale:
                    return
        except TidegateError as error:
            _log.warning("refresh_failed backend=%s list=%s error=%s", self._host.name, kind, error)
        finally:
            slot.refreshing.discard(kind)

    def changed(self, slot: Slot, kind: str) -> None:
        """The server said so."""
        if kind in slot.refreshing:
            slot.stale.add(kind)
            return
        slot.refreshing.add(kind)
        self._host.spawn(self._refresh, slot, kind, name=f"refresh {self._host.name} {kind}")

    def catch_up(self, slot: Slot) -> None:
        """Lists may have changed between the time they were read and the time the server was heard."""
        for kind in slot.offer.listing.kinds if slot.offer is not None else ():
            if slot.connection is not None and tells(slot.connection, kind) and kind not in slot.refreshing:
                slot.refreshing.add(kind)
                self._host.spawn(self._refresh, slot, kind, True, name=f"refresh {self._host.name} {kind}")
