"""One configured backend at run time: the connections that serve it, and how they come and go.

A backend may be reached over several connections at once, each in a slot of its own:

- `stateless`: for every client that keeps no session, when the server speaks that era;
- `shared`: one session for all clients that a server cannot need to ask anything;
- one more for each session's client whose declared abilities (sampling, elicitation, roots, tasks) a shared
  session would mix up with another's, and `Lanes` for such clients that keep no session. `isolation = "shared"`
  gives nobody a connection of its own, "session" everybody.

A slot opens when first needed and opens again by itself when it is lost. What the server offers (`Listing`)
is read once per opening and again whenever the server says that it changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Limits
from tidegate.errors import (
    Overloaded,
    TidegateError,
    UpstreamClosed,
    UpstreamError,
    UpstreamProtocol,
    UpstreamUnreachable,
)
from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import ClientView, SessionPort
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.following import Following
from tidegate.pipeline.upstream.lanes import Lanes, Lease, Wanted
from tidegate.pipeline.upstream.link import Link
from tidegate.pipeline.upstream.listing import Kind, Listing, fetch_kind, offers, tells
from tidegate.pipeline.upstream.negotiate import HandshakeRefused, handshake, own_meta, probe
from tidegate.pipeline.upstream.slot import Fail, Slot, Use
from tidegate.pipeline.upstream.slot_statistics import slot_statistics
from tidegate.protocol.methods import LIST_METHOD

_log = logging.getLogger("tidegate.upstream")

_MAX_WAITING = 1024
"""Requests that may wait for one slot to open."""
_GRAIN_S = 0.05
_SETTLED_S = 10.0
"""A connection that lived this long ended by an accident, not by a fault that repeats."""
_QUICK_RESTARTS = 3
_UNTOLD_S = 30.0
"""How old a list may be of a server that neither says when it changes nor how long it holds."""
_HTTP_NOT_STREAMABLE = (400, 404, 405)
"""Statuses that send a client on to the transport of 2024-11-05."""


class ServiceOwner(Protocol):
    """The gateway, as its services see it."""

    limits: Limits
    clock: Clock

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...

    def make_link(self, backend: Backend, transport: str) -> Link: ...

    def list_changed(self, service: Service, slot: Slot, kind: str) -> None: ...

    def resource_updated(self, service: Service, slot: Slot, message: bytes, envelope: Envelope) -> None: ...

    def logged(self, service: Service, slot: Slot, message: bytes, envelope: Envelope) -> None: ...

    def slot_changed(self, service: Service, slot: Slot) -> None:
        """It opened, failed or was lost."""

    def is_followed(self, service: Service, slot: Slot) -> bool:
        """Whether a client wants to hear of changes on it."""


class Service:
    """A backend and its slots."""

    def __init__(self, config: Backend, owner: ServiceOwner) -> None:
        self.config = config
        self.name = config.name
        self.slots: dict[str, Slot] = {}
        self.keeps_session: bool | None = None
        """Whether the server can be greeted by `initialize`; None until tried."""
        self.stateless: bool | None = None
        """Whether the server answers without a session; None until tried."""
        self._owner = owner
        self._transport: str = config.transport
        self._stopped = False
        self.clock = owner.clock
        self.deadlines = Deadlines(owner.clock, _GRAIN_S, lingers=True)
        """Of the calls on all connections. A call is over long before its deadline."""
        self.following = Following(config.call_timeout_s, self._catch_up)
        self._lanes = Lanes(
            self,
            owner.clock,
            most=config.max_connections,
            idle_s=owner.limits.session_idle_s,
            wait_s=config.call_timeout_s,
        )

    # -- getting a connection -----------------------------------------------------------------------------

    def slot_key(self, client: ClientView) -> str:
        """Which slot serves `client`, as far as is known by now."""
        if client.stateless:
            if self.stateless is not False:
                return "stateless"
        elif self.keeps_session is False:
            return "stateless"
        isolation = self.config.isolation
        alone = client.needs_own_session if isolation == "auto" else isolation == "session"
        return client.own_key if alone and client.own_key else "shared"

    def serves(self, slot: Slot, client: ClientView) -> bool:
        return slot.key == self.slot_key(client)

    def slot_for(self, client: ClientView) -> Slot:
        key = self.slot_key(client)
        slot = self.slots.get(key)
        if slot is None:
            if key != client.own_key:
                slot = self.slots[key] = Slot(key, None)
            elif client.stateless:
                slot = self._lanes.main(client)
            elif self._lanes.has_room():
                slot = self.slots[key] = Slot(key, client)
                slot.used_at_s = self._owner.clock.now_s()
            else:
                slot = self._lanes.full(client)
        return slot

    def acquire(self, client: ClientView, use: Use, fail: Fail) -> None:
        """Calls `use` with an open slot, at once if there is one, or `fail`."""
        slot = self.slot_for(client)
        connection = slot.connection
        if connection is not None and slot.client is None and not connection.closed:
            use(slot, connection)
        else:
            self.use_slot(slot, client, use, fail)

    def acquire_askable(self, client: ClientView, use: Lease, fail: Fail, wanted: Wanted | None = None) -> None:
        """As `acquire`, for a request whose client the server may ask something: its questions can be told apart
        from those of other requests. One that is no longer `wanted` loses its place among those who wait.
        """
        if client.stateless and self._transport != "http" and self.slot_key(client) == client.own_key:
            self._lanes.lease(client, use, fail, wanted)
        else:
            self.acquire(client, lambda slot, connection: use(slot, connection, _not_leased), fail)

    def full(self) -> Overloaded:
        """Why a request is not given to a connection that has `max_in_flight` of them."""
        return Overloaded(f"backend `{self.name}` has {self.config.max_in_flight} requests in flight, its limit")

    def use_slot(self, slot: Slot, client: ClientView, use: Use, fail: Fail) -> None:
        if slot.client is not None:
            slot.used_at_s = self._owner.clock.now_s()
        connection = slot.connection
        if connection is not None and not connection.closed:
            use(slot, connection)
            return
        if self._stopped:
            fail(self._over())
            return
        if not slot.opening and slot.error is not None and self._owner.clock.now_s() < slot.retry_at_s:
            fail(slot.error)
            return
        if slot.closed:
            # Nobody opens it again.
            fail(slot.error or self._over())
            return
        if len(slot.waiting) >= _MAX_WAITING:
            fail(Overloaded(f"too many requests wait for backend `{self.name}` to start"))
            return
        slot.waiting.append((client, use, fail))
        self._open_soon(slot)

    def _open_soon(self, slot: Slot) -> None:
        # While its loss is being told to those who were served, the lost connection is still there.
        if not slot.opening and not self._stopped and not slot.closed and slot.connection is None:
            slot.opening = True
            self._owner.spawn(self._open, slot, name=f"open {self.name}/{slot.serves}")

    @property
    def _opening_s(self) -> float:
        """How long finding out what the server speaks, greeting it and reading its lists may take."""
        return self.config.start_timeout_s + self.config.probe_timeout_s

    async def _open(self, slot: Slot) -> None:
        try:
            async with asyncio.timeout(self._opening_s):
                opened = await self._connect(slot)
                if opened is not None and opened.closed:
                    await opened.aclose()
                    raise opened.lost_by or UpstreamClosed(f"backend `{self.name}` closed the connection at once")
                if opened is not None and slot.key == (slot.group or slot.key):
                    # A further lane offers what the first one does.
                    if not opened.keeps_session:
                        await self.following.begin(slot, opened)
                    await self._hear_out(slot, opened)
        except Exception as error:
            if not isinstance(error, (TimeoutError, TidegateError)):
                # Whatever a server made go wrong here, those who wait for it must hear.
                _log.exception("open_failed backend=%s slot=%s", self.name, slot.serves)
            self._open_failed(slot, self._why(error))
        else:
            slot.opening = False
            if opened is not None:
                await self._put(slot, opened)
            else:
                # The server turned out to be of the other era: whoever waits is served from that slot.
                waiting, slot.waiting = slot.waiting, []
                self.slots.pop(slot.key, None)
                self._lanes.forget(slot)
                for client, use, fail in waiting:
                    self.acquire(client, use, fail)

    def _turn_away(self, slot: Slot) -> None:
        """Nobody waits for ever for a slot that will not open."""
        waiting, slot.waiting = slot.waiting, []
        for _, _, fail in waiting:
            fail(self._over())

    def _over(self) -> TidegateError:
        if self._stopped:
            why = "it was removed from the configuration, or the gateway is shutting down"
            return UpstreamClosed(f"backend `{self.name}` is not served any more: {why}")
        return UpstreamClosed(f"backend `{self.name}` is not served on this connection any more")

    async def _put(self, slot: Slot, connection: Connection) -> None:
        """The connection is ready; whether anybody may still use it is another question."""
        if slot.closed or self._stopped:
            self._turn_away(slot)
            await connection.aclose()
        else:
            self._opened(slot, connection)

    def _opened(self, slot: Slot, connection: Connection) -> None:
        again = slot.generation > 0
        slot.connection = connection
        slot.error = None
        slot.level = None
        slot.opened_at_s = slot.read_at_s = self._owner.clock.now_s()
        slot.generation += 1
        waiting, slot.waiting = slot.waiting, []
        self.following.opened(slot)
        self._owner.slot_changed(self, slot)
        if again:
            for kind in ("tools", "prompts", "resources"):
                self._owner.list_changed(self, slot, kind)
        for kind in connection.changed_early:
            self.list_changed(connection, kind)
        for _, use, fail in waiting:
            try:
                use(slot, connection)
            except Exception as error:
                # One request that goes wrong must not strand those behind it.
                _log.exception("request_failed backend=%s slot=%s", self.name, slot.serves)
                fail(TidegateError(f"the gateway failed over this request: {error}"))

    def _why(self, error: BaseException) -> TidegateError:
        """What those who wait are told of an opening that ended so."""
        if isinstance(error, TidegateError):
            return error
        if isinstance(error, (TimeoutError, asyncio.CancelledError)):
            return UpstreamUnreachable(
                f"backend `{self.name}` was not ready within {self._opening_s:g} s, its `start_timeout_s` and "
                "`probe_timeout_s` together"
            )
        return UpstreamProtocol(f"backend `{self.name}` could not be opened: {error}")

    def _keep_failed(self, slot: Slot, error: BaseException) -> None:
        """A link that was found out for another slot could not be opened for this one."""
        slot.opening = False
        if slot.waiting or slot.generation:
            # Who came meanwhile; and its own next attempt may have been left out for this one.
            self._open_failed(slot, self._why(error))

    def _open_failed(self, slot: Slot, error: TidegateError) -> None:
        slot.opening = False
        slot.error = error
        delay_s = slot.backoff.next_s()
        slot.retry_at_s = self._owner.clock.now_s() + delay_s
        _log.warning(
            "backend_unavailable backend=%s slot=%s attempt=%d error=%s",
            self.name,
            slot.serves,
            slot.backoff.attempt,
            error,
        )
        had = bool(slot.listing.kinds)
        if had:
            slot.listing = Listing()
            slot.generation += 1
        waiting, slot.waiting = slot.waiting, []
        self._owner.slot_changed(self, slot)
        if had:
            for kind in ("tools", "prompts", "resources"):
                self._owner.list_changed(self, slot, kind)
        for _, _, fail in waiting:
            fail(error)
        if not slot.closed and not self._stopped:
            asyncio.get_running_loop().call_later(delay_s, self._open_soon_if_wanted, slot)

    def _open_soon_if_wanted(self, slot: Slot) -> None:
        if slot.connection is None and self.slots.get(slot.key) is slot:
            self._open_soon(slot)

    # -- opening --------------------------------------------------------------------------------------------

    async def _connect(self, slot: Slot) -> Connection | None:
        """A connection for `slot`, or None when the server turned out to need another slot."""
        config = self.config
        if slot.key == "stateless":
            connection = await self._linked(slot)
            try:
                if await probe(connection, config.probe_timeout_s):
                    self.stateless = True
                    return connection
            except UpstreamClosed:
                # Some old servers leave at a request they do not know.
                pass
            except BaseException:
                await connection.aclose()
                raise
            self.stateless = False
            if self.keeps_session is False:
                # It was of the other era when it was last tried.
                self.keeps_session = None
            await self._keep(connection, self.slot_for(slot.waiting[0][0]) if slot.waiting else None)
            return None
        connection = await self._linked(slot)
        try:
            await handshake(connection, slot.client, config.start_timeout_s)
        except HandshakeRefused as refused:
            await connection.aclose()
            if self._transport == "http" and refused.data in _HTTP_NOT_STREAMABLE and self.stateless is not True:
                return await self._connect_older(slot, refused)
            await self._try_stateless(slot, refused)
            return None
        except BaseException:
            await connection.aclose()
            raise
        self.keeps_session = True
        return connection

    async def _linked(self, slot: Slot) -> Connection:
        link = self._owner.make_link(self.config, self._transport)
        session: SessionPort | None = slot.client.session if slot.client is not None else None
        connection = Connection(self.name, link, self, depth=self._owner.limits.depth, session=session)
        try:
            await link.open(connection)
        except BaseException:
            # A stream that was begun, say.
            await connection.aclose()
            raise
        return connection

    async def _keep(self, connection: Connection, slot: Slot | None) -> None:
        """The probed link belongs to a legacy server: it is greeted, for whoever waits first."""
        if slot is None:
            slot = self.slots.setdefault("shared", Slot("shared", None))
        if connection.closed or slot.connection is not None or slot.opening or slot.closed:
            await connection.aclose()
            return
        slot.opening = True
        connection.session = slot.client.session if slot.client is not None else None
        try:
            await handshake(connection, slot.client, self.config.start_timeout_s)
            await self._read_listing(slot, connection)
        except HandshakeRefused as refused:
            if self._transport == "http" and refused.data in _HTTP_NOT_STREAMABLE:
                slot.opening = False
                if slot.waiting:
                    # It tries the older transport.
                    self._open_soon(slot)
                await connection.aclose()
                return
            self.stateless = None
            self._keep_failed(slot, refused)
            await connection.aclose()
            raise
        except BaseException as error:
            self._keep_failed(slot, error)
            await connection.aclose()
            raise
        slot.opening = False
        self.keeps_session = True
        await self._put(slot, connection)

    async def _connect_older(self, slot: Slot, refused: TidegateError) -> Connection | None:
        self._transport = "sse"
        connection = None
        try:
            connection = await self._linked(slot)
            await handshake(connection, slot.client, self.config.start_timeout_s)
        except BaseException as error:
            self._transport = "http"
            if connection is not None:
                await connection.aclose()
            if not isinstance(error, UpstreamError):
                raise
            # One that has the older transport said there why not.
            await self._try_stateless(slot, refused if connection is None else error)
            return None
        self.keeps_session = True
        return connection

    async def _try_stateless(self, slot: Slot, refused: TidegateError) -> None:
        """A server that refused the handshake may keep no sessions. Raises: `refused`, if it is none of those."""
        if self.stateless is not True:
            connection = await self._linked(slot)
            try:
                if not await probe(connection, self.config.probe_timeout_s):
                    raise refused
            except BaseException:
                await connection.aclose()
                raise
            await self._keep_stateless(connection)
        self.stateless = True
        self.keeps_session = False

    async def _keep_stateless(self, connection: Connection) -> None:
        """The probed link serves every client of such a server."""
        slot = self.slots.setdefault("stateless", Slot("stateless", None))
        if connection.closed or slot.connection is not None or slot.opening or slot.closed:
            await connection.aclose()
            return
        connection.session = None
        slot.opening = True
        try:
            await self.following.begin(slot, connection)
            await self._hear_out(slot, connection)
        except BaseException as error:
            self._keep_failed(slot, error)
            raise
        slot.opening = False
        await self._put(slot, connection)

    # -- what the server offers -----------------------------------------------------------------------------

    async def _hear_out(self, slot: Slot, connection: Connection) -> None:
        """Reads what the server offers; one that cannot say it is not kept."""
        try:
            await self._read_listing(slot, connection)
        except BaseException:
            self._owner.spawn(connection.aclose, name=f"close {self.name}/{slot.serves}")
            raise

    async def _read_listing(self, slot: Slot, connection: Connection) -> None:
        kinds: dict[str, Kind] = {}
        warnings: list[str] = []
        failures: list[TidegateError] = []

        async def read(kind: str) -> None:
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
                    tasks.start_soon(read, kind, name=f"list {self.name} {kind}")
        if failures:
            raise failures[0]
        if connection.closed:
            raise UpstreamClosed(f"backend `{self.name}` closed the connection while it was asked what it offers")
        slot.listing = Listing(kinds, tuple(warnings[:100]))
        for warning in warnings[:20]:
            _log.warning("listing backend=%s %s", self.name, warning)

    async def _fetch(self, connection: Connection, kind: str) -> tuple[Kind, list[str]]:
        dialect = connection.dialect
        params = {} if dialect is None or dialect.keeps_session else own_meta(connection.version)
        limit = self._owner.limits.catalog_entries
        return await fetch_kind(connection, kind, params, self.config.start_timeout_s, limit)

    def refresh_old(self, slot: Slot) -> None:
        """Reads again what is past its time, of servers that do not tell of changes. Whoever asked meanwhile got
        the list as it was; if it turns out to differ, clients are told.
        """
        connection = slot.connection
        if connection is None:
            return
        age_s = self._owner.clock.now_s() - slot.read_at_s
        if age_s < 1.0:
            return
        for kind, found in slot.listing.kinds.items():
            holds_s = found.ttl_ms / 1000 if found.ttl_ms else _UNTOLD_S
            if kind != "templates" and not tells(connection, kind) and age_s > holds_s and kind not in slot.refreshing:
                slot.read_at_s = self._owner.clock.now_s()
                slot.refreshing.add(kind)
                self._owner.spawn(self._refresh, slot, kind, True, name=f"refresh {self.name} {kind}")

    async def _refresh(self, slot: Slot, kind: str, only_if_changed: bool = False) -> None:
        """Reads one list again. Changes that arrive meanwhile are caught by one more round."""
        try:
            while True:
                slot.stale.discard(kind)
                connection = slot.connection
                if connection is None:
                    return
                fetched, _ = await self._fetch(connection, kind)
                kinds = dict(slot.listing.kinds)
                kinds[kind] = fetched
                if kind == "resources" and "templates" in kinds:
                    kinds["templates"], _ = await self._fetch(connection, "templates")
                changed = kinds != slot.listing.kinds
                slot.listing = Listing(kinds, slot.listing.warnings)
                slot.generation += 1
                if changed or not only_if_changed:
                    self._owner.list_changed(self, slot, kind)
                if kind not in slot.stale:
                    return
        except TidegateError as error:
            _log.warning("refresh_failed backend=%s list=%s error=%s", self.name, kind, error)
        finally:
            slot.refreshing.discard(kind)

    # -- ConnectionOwner ------------------------------------------------------------------------------------

    def _slot_of(self, connection: Connection) -> Slot | None:
        return next((slot for slot in self.slots.values() if slot.connection is connection), None)

    def list_changed(self, connection: Connection, kind: str) -> None:
        slot = self._slot_of(connection)
        if slot is None:
            connection.changed_early.add(kind)
            return
        if kind in slot.refreshing:
            slot.stale.add(kind)
            return
        slot.refreshing.add(kind)
        self._owner.spawn(self._refresh, slot, kind, name=f"refresh {self.name} {kind}")

    def listening(self, connection: Connection) -> None:
        slot = self._slot_of(connection)
        if slot is not None:
            self._catch_up(slot)

    def _catch_up(self, slot: Slot) -> None:
        """Lists may have changed between the time they were read and the time the server was heard."""
        for kind in slot.listing.kinds:
            if slot.connection is not None and tells(slot.connection, kind) and kind not in slot.refreshing:
                slot.refreshing.add(kind)
                self._owner.spawn(self._refresh, slot, kind, True, name=f"refresh {self.name} {kind}")

    def resource_updated(self, connection: Connection, message: bytes, envelope: Envelope) -> None:
        slot = self._slot_of(connection)
        if slot is not None:
            self._owner.resource_updated(self, slot, message, envelope)

    def logged(self, connection: Connection, message: bytes, envelope: Envelope) -> None:
        slot = self._slot_of(connection)
        if slot is not None:
            self._owner.logged(self, slot, message, envelope)

    def connection_lost(self, connection: Connection, error: TidegateError) -> None:
        slot = self._slot_of(connection)
        if slot is None:
            return
        slot.connection = None
        slot.listen = None
        slot.error = error
        slot.restarts += 1
        self._owner.spawn(connection.link.aclose, name=f"close {self.name}/{slot.serves}")
        if slot.closed or self._stopped:
            self._turn_away(slot)
            return
        _log.warning("backend_lost backend=%s slot=%s error=%s", self.name, slot.serves, error)
        now_s = self._owner.clock.now_s()
        if now_s - slot.opened_at_s > _SETTLED_S:
            slot.backoff.reset()
        delay_s = slot.backoff.next_s()
        # A request after a loss need not wait for the timer, unless the server keeps dying: then each request
        # would start it once more.
        slot.retry_at_s = now_s + delay_s if slot.backoff.attempt > _QUICK_RESTARTS else 0.0
        self._owner.slot_changed(self, slot)
        asyncio.get_running_loop().call_later(delay_s, self._open_soon_if_wanted, slot)
        # Who came while the loss was told, such as the next one for a lane.
        waiting, slot.waiting = slot.waiting, []
        for client, use, fail in waiting:
            self.use_slot(slot, client, use, fail)

    # -- the end ----------------------------------------------------------------------------------------------

    def close_slot(self, key: str) -> None:
        """Whoever had a slot of their own are gone."""
        slot = self.slots.pop(key, None)
        if slot is not None:
            slot.closed = True
            self._turn_away(slot)
            connection, slot.connection = slot.connection, None
            if connection is not None:
                self._owner.spawn(connection.aclose, name=f"close {self.name}/{slot.serves}")

    def is_followed(self, slot: Slot) -> bool:
        return bool(slot.subscribed) or self._owner.is_followed(self, slot)

    async def aclose(self) -> None:
        self._stopped = True
        self._lanes.close()
        self.deadlines.stop()
        connections = [slot.connection for slot in self.slots.values() if slot.connection is not None]
        for slot in self.slots.values():
            slot.closed = True
            slot.connection = None
        async with anyio.create_task_group() as tasks:
            for connection in connections:
                tasks.start_soon(connection.aclose)

    def statistics(self) -> dict[str, object]:
        now_s = self._owner.clock.now_s()
        isolation = self.config.isolation
        return {
            "backend": self.name,
            "transport": self._transport,
            "stateless": self.stateless,
            "keeps_session": self.keeps_session,
            "isolation": isolation,
            "max_connections": self.config.max_connections,
            "own_connections": self._lanes.used,
            "slots": [
                slot_statistics(slot, isolation, self._transport, self._lanes.waiting_for(slot), now_s)
                for slot in self.slots.values()
            ],
        }


def _not_leased(finished: bool) -> None:
    """Nothing to give back: the connection serves many requests at once."""
