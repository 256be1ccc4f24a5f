"""One configured backend at run time: the connections that serve it, and how they come and go.

A backend may be reached over several connections at once, each in a slot of its own:

- `stateless`: for every client that keeps no session, when the server speaks that era;
- `shared`: one session for all clients that a server cannot need to ask anything;
- one more for each session's client whose declared abilities (sampling, elicitation, roots, tasks) a shared
  session would mix up with another's, and `Lanes` for such clients that keep no session. `isolation = "shared"`
  gives nobody a connection of its own, "session" everybody.

A slot opens when first needed and opens again by itself when it is lost; a child that nobody uses any more is
stopped until somebody does. What the server offers is read once per opening and again whenever the server says that
it changed, and is remembered while the server does not run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Limits, Transport
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
from tidegate.pipeline.exchange import UNREAD, ClientView, SessionPort
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.following import Following
from tidegate.pipeline.upstream.lanes import Lanes, Lease, Wanted
from tidegate.pipeline.upstream.link import Link
from tidegate.pipeline.upstream.listing import Kind, Listing, fetch_kind, offers, tells
from tidegate.pipeline.upstream.negotiate import HandshakeRefused, handshake, own_meta, probe
from tidegate.pipeline.upstream.offer import Offer, changed_lists
from tidegate.pipeline.upstream.queue import CallQueue
from tidegate.pipeline.upstream.remembered import EVERYBODY, Documents, Remembered
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
_HOLDS_S = 3600.0
"""How long what a server that is not connected offered is served without hearing it again."""
_HEARD_S = 15.0
"""How long a child that was started only to be heard waits for a request."""
_COMMON = ("stateless", "shared")
"""Slots that serve everybody."""
_UNTOLD_S = 30.0
"""How old a list may be of a server that neither says when it changes nor how long it holds."""
_HTTP_NOT_STREAMABLE = (400, 404, 405)
"""Statuses that send a client on to the transport of 2024-11-05."""


class ServiceOwner(Protocol):
    """The gateway, as its services see it."""

    limits: Limits
    clock: Clock
    documents: Documents | None
    """Where what outlives the process is kept; None for nowhere."""

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
        self._transport: Transport = config.transport
        # The gateway's own servers are there as soon as it is.
        documents = owner.documents if config.transport != "builtin" else None
        self._remembered = Remembered(config, documents, owner.limits.catalog_entries)
        self._heard_s: dict[bytes, float] = {}
        """When the server was last heard out, for clients of these abilities."""
        self._stopped = False
        self._retiring = False
        self.clock = owner.clock
        self.deadlines = Deadlines(owner.clock, _GRAIN_S, lingers=True)
        """Of the calls on all connections. A call is over long before its deadline."""
        self.following = Following(config.call_timeout_s, self._catch_up)
        self.queue = CallQueue(self, owner.clock, self.deadlines)
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

    def existing_slot(self, client: ClientView) -> Slot | None:
        """As `slot_for`, for who needs none that is not there."""
        return self.slots.get(self.slot_key(client))

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
                listing = None
                if opened is not None and slot.key == (slot.group or slot.key):
                    # A further lane offers what the first one does.
                    if not opened.keeps_session:
                        await self.following.begin(slot, opened)
                    listing = await self._hear_out(slot, opened)
        except Exception as error:
            if not isinstance(error, (TimeoutError, TidegateError)):
                # Whatever a server made go wrong here, those who wait for it must hear.
                _log.exception("open_failed backend=%s slot=%s", self.name, slot.serves)
            self._open_failed(slot, self._why(error))
        else:
            slot.opening = False
            if opened is not None:
                await self._put(slot, opened, listing)
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

    async def _put(self, slot: Slot, connection: Connection, listing: Listing | None) -> None:
        """The connection is ready; whether anybody may still use it is another question."""
        if slot.closed or self._stopped:
            self._turn_away(slot)
            await connection.aclose()
        else:
            self._opened(slot, connection, listing)

    def _opened(self, slot: Slot, connection: Connection, listing: Listing | None) -> None:
        shown = self._shown(slot)
        slot.connection = connection
        slot.error = None
        slot.down = False
        slot.level = None
        slot.changed_s = slot.opened_at_s = slot.read_at_s = self._owner.clock.now_s()
        if listing is not None:
            slot.offer = Offer.heard(connection, listing)
            if shown is not None and shown.server_info != slot.offer.server_info and self.stateless is False:
                # Another version, which may speak more than the one before.
                self.stateless = None
            self._remember(slot)
        waiting, slot.waiting = slot.waiting, []
        self.following.opened(slot)
        self._owner.slot_changed(self, slot)
        self._tell_changes(slot, shown)
        self._watch_idle(slot, connection)
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
        if slot.waiting or slot.offer is not None:
            # Who came meanwhile; and its own next attempt may have been left out for this one.
            self._open_failed(slot, self._why(error))

    def _open_failed(self, slot: Slot, error: TidegateError) -> None:
        shown = self._shown(slot)
        slot.opening = False
        slot.error = error
        slot.down = True
        delay_s = slot.backoff.next_s()
        slot.changed_s = slot.changed_s if slot.backoff.attempt > 1 else self._owner.clock.now_s()
        slot.next_try_s = slot.retry_at_s = self._owner.clock.now_s() + delay_s
        _log.warning(
            "backend_unavailable backend=%s slot=%s attempt=%d error=%s",
            self.name,
            slot.serves,
            slot.backoff.attempt,
            error,
        )
        waiting, slot.waiting = slot.waiting, []
        self._owner.slot_changed(self, slot)
        self._tell_changes(slot, shown)
        for _, _, fail in waiting:
            fail(error)
        if not slot.closed and not self._stopped:
            asyncio.get_running_loop().call_later(delay_s, self._open_soon_if_wanted, slot)

    def _open_soon_if_wanted(self, slot: Slot) -> None:
        wanted = slot.error is not None and not self._retiring
        if wanted and slot.connection is None and self.slots.get(slot.key) is slot:
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
            listing = await self._read_listing(slot, connection)
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
        await self._put(slot, connection, listing)

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
            listing = await self._hear_out(slot, connection)
        except BaseException as error:
            self._keep_failed(slot, error)
            raise
        slot.opening = False
        await self._put(slot, connection, listing)

    # -- what the server offers -----------------------------------------------------------------------------

    async def _hear_out(self, slot: Slot, connection: Connection) -> Listing:
        """Reads what the server offers; one that cannot say it is not kept."""
        try:
            return await self._read_listing(slot, connection)
        except BaseException:
            self._owner.spawn(connection.aclose, name=f"close {self.name}/{slot.serves}")
            raise

    async def _read_listing(self, slot: Slot, connection: Connection) -> Listing:
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
        for warning in warnings[:20]:
            _log.warning("listing backend=%s %s", self.name, warning)
        return Listing(kinds, tuple(warnings[:100]))

    async def _fetch(self, connection: Connection, kind: str) -> tuple[Kind, list[str]]:
        dialect = connection.dialect
        params = {} if dialect is None or dialect.keeps_session else own_meta(connection.version)
        limit = self._owner.limits.catalog_entries
        return await fetch_kind(connection, kind, params, self.config.start_timeout_s, limit)

    def refresh_old(self, slot: Slot) -> None:
        """Reads again what is past its time, of servers that do not tell of changes. Whoever asked meanwhile got
        the list as it was; if it turns out to differ, clients are told.
        """
        connection, offer = slot.connection, slot.offer
        if connection is None or offer is None:
            return
        age_s = self._owner.clock.now_s() - slot.read_at_s
        if age_s < 1.0:
            return
        for kind, found in offer.listing.kinds.items():
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
                self._remember(slot)
                if changed or not only_if_changed:
                    self._owner.list_changed(self, slot, kind)
                if kind not in slot.stale:
                    return
        except TidegateError as error:
            _log.warning("refresh_failed backend=%s list=%s error=%s", self.name, kind, error)
        finally:
            slot.refreshing.discard(kind)

    # -- what it offers while it does not run ------------------------------------------------------------------

    def offer_for(self, client: ClientView) -> Offer | None:
        """What the client may be shown: as the server says it, or as it last said it while it is not connected.
        None of a server that was never heard, or is down.
        """
        offer = self._recall(client)
        slot = self.existing_slot(client)
        if slot is None or (slot.offer is None and slot.error is None):
            return offer
        return None if slot.down else slot.offer

    def lost_offer(self, client: ClientView) -> tuple[Offer, TidegateError] | None:
        """What a server that is down offered, and why it is down."""
        slot = self.existing_slot(client)
        if slot is None or not slot.down or slot.error is None:
            return None
        offer = slot.offer or self._recall(client)
        if offer is None:
            return None
        soon_s = max(0.0, slot.next_try_s - self._owner.clock.now_s())
        when = "is being tried again now" if slot.opening else f"is tried again by itself in {soon_s:.0f} s"
        return offer, UpstreamUnreachable(f"{slot.error}; it {when}")

    def is_down(self, client: ClientView) -> bool:
        """It was tried, failed, and nobody tries just now."""
        slot = self.existing_slot(client)
        return slot is not None and slot.error is not None and not slot.opening and not slot.closed

    def hear(self, client: ClientView, over: Callable[[], None]) -> bool:
        """Finds out whether a server that is not connected still offers the same. Whether that is under way now;
        `over` is called then. One that was heard not long ago is left alone.
        """
        abilities = self._abilities(client)
        now_s = self._owner.clock.now_s()
        if self._stopped or now_s - self._heard_s.get(abilities, -_HOLDS_S) < _HOLDS_S:
            return False
        self._heard_s[abilities] = now_s

        def heard(slot: Slot, connection: Connection) -> None:
            if self._stops_when_idle:
                self._look_later(slot, connection, _HEARD_S, once=True)
            over()

        self.acquire(client, heard, lambda error: over())
        return True

    def _abilities(self, client: ClientView) -> bytes:
        """As what of `Remembered` concerns this client."""
        return EVERYBODY if self.slot_key(client) in _COMMON else client.abilities

    def _recall(self, client: ClientView) -> Offer | None:
        remembered = self._remembered
        offer = remembered.offer(self._abilities(client))
        if self.stateless is None and self.keeps_session is None:
            # How it was reached before is where to begin; if it has changed, that is found out as for any server.
            self.stateless, self.keeps_session = remembered.stateless, remembered.keeps_session
            self._transport = remembered.transport
            offer = remembered.offer(self._abilities(client))
        return offer

    def _shown(self, slot: Slot) -> Offer | None:
        """What those whom it serves were shown until now."""
        if slot.offer is not None or slot.error is not None:
            return None if slot.down else slot.offer
        return self._remembered.offer(EVERYBODY if slot.client is None else slot.client.abilities)

    def _tell_changes(self, slot: Slot, shown: Offer | None) -> None:
        for kind in changed_lists(shown, None if slot.down else slot.offer):
            self._owner.list_changed(self, slot, kind)

    def _remember(self, slot: Slot) -> None:
        if slot.offer is None:
            return
        abilities = EVERYBODY if slot.client is None else slot.client.abilities
        self._heard_s[abilities] = self._owner.clock.now_s()
        if self._remembered.keep(abilities, slot.offer):
            self._owner.spawn(self._write, name=f"remember {self.name}")

    async def _write(self) -> None:
        await asyncio.to_thread(self._remembered.write, self._transport, self.stateless, self.keeps_session)

    # -- stopping what nobody uses -------------------------------------------------------------------------------

    @property
    def _stops_when_idle(self) -> bool:
        """A server with a connection for each session keeps their state; others cost nothing while they idle."""
        config = self.config
        return (
            config.transport == "stdio"
            and config.idle_stop_s > 0
            and config.start != "at_once"
            and config.isolation != "session"
        )

    def _watch_idle(self, slot: Slot, connection: Connection) -> None:
        if self._stops_when_idle:
            self._look_later(slot, connection, self.config.idle_stop_s / 2)

    def _look_later(self, slot: Slot, connection: Connection, after_s: float, *, once: bool = False) -> None:
        asyncio.get_running_loop().call_later(after_s, self._stop_if_idle, slot, connection, connection.requests, once)

    def _stop_if_idle(self, slot: Slot, connection: Connection, requests: int, once: bool) -> None:
        """Stops the child if nobody asked it anything since `requests` were counted."""
        if slot.connection is not connection or self._stopped or not (once or self._stops_when_idle):
            return
        if connection.requests == requests and not slot.subscribed and not slot.leased and not slot.busy:
            slot.connection = None
            slot.listen = None
            slot.changed_s = self._owner.clock.now_s()
            slot.backoff.reset()
            _log.info("backend_stopped backend=%s slot=%s cause=idle", self.name, slot.serves)
            self._owner.spawn(connection.aclose, name=f"close {self.name}/{slot.serves}")
            self._owner.slot_changed(self, slot)
        elif not once:
            self._watch_idle(slot, connection)

    def start(self) -> None:
        """Opens the connection that everybody shares, before anybody needs it."""
        self.acquire(UNREAD, _used, _unused)

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
        for kind in slot.offer.listing.kinds if slot.offer is not None else ():
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
        shown = self._shown(slot)
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
        slot.changed_s, slot.next_try_s = now_s, now_s + delay_s
        slot.retry_at_s = slot.next_try_s if slot.backoff.attempt > _QUICK_RESTARTS else 0.0
        slot.down = slot.parked
        self._owner.slot_changed(self, slot)
        self._tell_changes(slot, shown)
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

    def adjust(self, config: Backend) -> None:
        """Goes on with its connections under other settings: those that `pipeline/reload.py` lists."""
        stopped_when_idle = self._stops_when_idle
        self.config = config
        self.following.timeout_s = config.call_timeout_s
        self._lanes.adjust(most=config.max_connections, wait_s=config.call_timeout_s)
        if not stopped_when_idle:
            for slot in self.slots.values():
                if slot.connection is not None:
                    self._watch_idle(slot, slot.connection)

    @property
    def busy(self) -> bool:
        """Whether requests run on any of its connections, or wait for one."""
        return len(self.queue) > 0 or any(
            slot.waiting or (slot.connection is not None and slot.connection.working) for slot in self.slots.values()
        )

    async def retire(self, drain_s: float) -> None:
        """It is in the configuration no more, or as another one. Nobody is led here any longer; what runs may finish
        within `drain_s`.
        """
        self._retiring = True
        with anyio.move_on_after(drain_s):
            while self.busy:  # noqa: ASYNC110  bounded, and nobody is told of the last one
                await anyio.sleep(_GRAIN_S)
        await self.aclose(
            UpstreamClosed(
                f"backend `{self.name}` was taken out of the configuration or changed in it, and the request did not "
                f"finish within the {drain_s:g} s of `drain_s`"
            )
        )

    async def aclose(self, why: TidegateError | None = None) -> None:
        """`why`: what those who still wait for an answer are told."""
        self._stopped = True
        self._lanes.close()
        self.queue.close(why or self._over())
        self.deadlines.stop()
        connections = [slot.connection for slot in self.slots.values() if slot.connection is not None]
        for slot in self.slots.values():
            slot.closed = True
            slot.connection = None
            self._turn_away(slot)
        async with anyio.create_task_group() as tasks:
            for connection in connections:
                if why is not None:
                    connection.lost(why)
                tasks.start_soon(connection.aclose)

    @property
    def _catalogue(self) -> str | None:
        """Where what clients are shown of it comes from: `live`, `remembered`, or None of what was never heard or
        is down.
        """
        shown = [slot for slot in self.slots.values() if slot.offer is not None and not slot.down]
        if any(slot.connection is not None for slot in shown):
            return "live"
        tried = any(slot.error is not None for slot in self.slots.values())
        return "remembered" if shown or (self._remembered.knows and not tried) else None

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
            "catalogue": self._catalogue,
            "max_in_flight": self.config.max_in_flight,
            "queued": len(self.queue),
            "queue": self.queue.statistics(),
            "slots": [
                slot_statistics(slot, isolation, self._transport, self._lanes.waiting_for(slot), now_s)
                for slot in self.slots.values()
            ],
        }


def _not_leased(finished: bool) -> None:
    """Nothing to give back: the connection serves many requests at once."""


def _used(slot: Slot, connection: Connection) -> None:
    """Opened for later."""


def _unused(error: TidegateError) -> None:
    """It is tried again by itself, and `status` says why it is down."""
