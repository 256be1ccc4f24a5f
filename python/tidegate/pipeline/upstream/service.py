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
from functools import partial
from typing import Protocol

import anyio

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Limits, Transport
from tidegate.errors import (
    Overloaded,
    TidegateError,
    UpstreamClosed,
    UpstreamProtocol,
    UpstreamUnreachable,
)
from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import UNREAD, ClientView
from tidegate.pipeline.own_answers.seam import Answers
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.following import Following
from tidegate.pipeline.upstream.hung_check import HungCheck
from tidegate.pipeline.upstream.idle_stop import IdleStop
from tidegate.pipeline.upstream.lanes import Lanes, Lease, Wanted
from tidegate.pipeline.upstream.link import Link
from tidegate.pipeline.upstream.listing import Listing
from tidegate.pipeline.upstream.lists import Lists
from tidegate.pipeline.upstream.offer import Offer, changed_lists
from tidegate.pipeline.upstream.offers import Offers
from tidegate.pipeline.upstream.opening import Opening
from tidegate.pipeline.upstream.queue import CallQueue
from tidegate.pipeline.upstream.remembered import Remembered
from tidegate.pipeline.upstream.replicas import (
    LastWay,
    Replicas,
    heard,
    is_open,
    may_serve_instead,
    tried_now,
    was_heard,
)
from tidegate.pipeline.upstream.slot import Fail, Slot, Use, Waiting
from tidegate.pipeline.upstream.slot_statistics import slot_statistics
from tidegate.storage.documents import Documents

_log = logging.getLogger("tidegate.upstream")

_MAX_WAITING = 1024
"""Requests that may wait for one slot to open."""
_GRAIN_S = 0.05
_OWN = ("builtin", "openai", "capability")
"""Transports by which nobody else is asked what is offered."""
_SETTLED_S = 10.0
"""A connection that lived this long ended by an accident, not by a fault that repeats."""
_QUICK_RESTARTS = 3
_STEP_BEHIND_S = 0.25
"""How long after the attempt that stands for it another connection is tried, if that did not end it."""
_HEARD_S = 15.0
"""How long a child that was started only to be heard waits for a request."""


class ServiceOwner(Protocol):
    """The gateway, as its services see it."""

    limits: Limits
    clock: Clock
    documents: Documents | None
    """Where what outlives the process is kept; None for nowhere."""

    @property
    def rules(self) -> object:
        """As of `ConnectionOwner`."""

    @property
    def own_answers(self) -> Answers:
        """What of the servers' questions the gateway answers."""

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...

    def make_link(self, backend: Backend, transport: str) -> Link: ...

    def list_changed(self, service: Service, kind: str, sees: Callable[[ClientView], bool]) -> None:
        """`sees`: which clients must read this list again."""

    def resource_updated(self, service: Service, slot: Slot, message: bytes, envelope: Envelope) -> None: ...

    def logged(self, service: Service, slot: Slot, message: bytes, envelope: Envelope) -> None: ...

    def slot_changed(self, service: Service, slot: Slot) -> None:
        """It opened, failed or was lost."""

    def slot_gone(self, service: Service, slot: Slot) -> None:
        """Those whom it served are served from another one; what they followed on it is to be followed there."""

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
        self.transport: Transport = config.transport
        """By which it is reached, as far as is known by now."""
        self.stopped = False
        self.wordless = False
        """As of `ConnectionOwner`. Set with the first call whose result filters will see, and for good: it may speak of
        that later, too."""
        self._retiring = False
        self.clock = owner.clock
        self.deadlines = Deadlines(owner.clock, _GRAIN_S, lingers=True)
        """Of the calls on all connections. A call is over long before its deadline."""
        # What the gateway itself offers is there as soon as it is.
        documents = owner.documents if config.transport not in _OWN else None
        self.offers = Offers(self, Remembered(config, documents, owner.limits.catalog_entries))
        self.lists = Lists(self)
        self.following = Following(config.call_timeout_s, self.lists.catch_up)
        self._opening = Opening(self)
        self._idle_stop = IdleStop(self)
        self._hung_check = HungCheck(self)
        self._replicas = Replicas(self)
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
        return slot.pool == self.slot_key(client)

    def existing_slot(self, client: ClientView) -> Slot | None:
        """By which the client knows the server, if there is one: of several replicas, the one that is heard."""
        slot = self.slots.get(self.slot_key(client))
        return heard(slot.siblings) if slot is not None and slot.siblings else slot

    def slot_for(self, client: ClientView) -> Slot:
        """Where a request of the client goes now."""
        key = self.slot_key(client)
        slot = self.slots.get(key)
        if slot is not None and not slot.siblings:
            return slot
        if slot is None:
            if key != client.own_key:
                slot = self.common_slot(key, 0)
            elif client.stateless:
                slot = self._lanes.main(client)
            elif self._lanes.has_room():
                slot = self.slots[key] = Slot(key, client)
                slot.used_at_s = self._owner.clock.now_s()
            else:
                slot = self._lanes.full(client)
        return self._replicas.choose(slot.siblings, client) if slot.siblings else slot

    def common_slot(self, pool: str, replica: int) -> Slot:
        """Of "stateless" or "shared", which serve everybody."""
        slot = self.slots.get(pool)
        if slot is None:
            if self.config.replicas == 1:
                slot = self.slots[pool] = Slot(pool, None)
            else:
                siblings = self._replicas.slots(pool)
                self.slots |= {sibling.key: sibling for sibling in siblings}
                slot = siblings[0]
        return slot.siblings[replica] if slot.siblings else slot

    def connections_for(self, client: ClientView) -> list[Connection]:
        """Those among which each request of the client may be given to any, by `config.balance`. None while another
        replica is still to be opened for it, or a session is still to be given one.
        """
        slot = self.slots.get(self.slot_key(client))
        if slot is None:
            return []
        slots = self._replicas.choices(slot.siblings, client) if slot.siblings else (slot,)
        return [one.connection for one in slots if one.connection is not None and not one.connection.closed]

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
        if client.stateless and self.transport != "http" and self.slot_key(client) == client.own_key:
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
        if self.stopped:
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
        scout = self._scout(slot) if slot.error is None and not slot.opening else None
        if scout is not None and scout.error is not None:
            shown = self.offers.shown(slot)
            slot.error, slot.down, slot.changed_s = scout.error, True, self.clock.now_s()
            self._stand_back(slot, scout)
            self.slot_changed(slot)
            self._tell_changes(slot, shown)
            fail(slot.error)
            return
        slot.waiting.append((client, use, fail))
        self.open_soon(slot)

    def open_soon(self, slot: Slot) -> None:
        # While its loss is being told to those who were served, the lost connection is still there.
        if not slot.opening and not self.stopped and not slot.closed and slot.connection is None:
            slot.opening = True
            if slot.error is None:
                slot.changed_s = self.clock.now_s()
            self._owner.spawn(self._open, slot, name=f"open {self.name}/{slot.serves}")

    @property
    def _opening_s(self) -> float:
        """How long finding out what the server speaks, greeting it and reading its lists may take."""
        return self.config.start_timeout_s + self.config.probe_timeout_s

    async def _open(self, slot: Slot) -> None:
        tried: set[int] = set()
        while True:
            if slot.client is not None and self.config.replicas > 1:
                slot.replica = self._replicas.for_own(slot, tried)
            error = await self._try_to_open(slot)
            if error is None:
                return
            tried.add(slot.replica)
            if slot.client is None or len(tried) == self.config.replicas or slot.closed or self.stopped:
                self._open_failed(slot, error)
                return

    async def _try_to_open(self, slot: Slot) -> TidegateError | None:
        """What went wrong; None when all that was to be done about it is done."""
        try:
            async with asyncio.timeout(self._opening_s):
                opened = await self._opening.connect(slot)
                if opened is not None and opened.lost_by is not None:
                    await opened.aclose()
                    raise opened.lost_by
                listing = None
                if opened is not None and slot.key == (slot.group or slot.key):
                    # A further lane offers what the first one does.
                    if not opened.keeps_session:
                        await self.following.begin(slot, opened)
                    listing = await self._opening.hear_out(slot, opened)
        except Exception as error:
            if not isinstance(error, (TimeoutError, TidegateError)):
                # Whatever a server made go wrong here, those who wait for it must hear.
                _log.exception("open_failed backend=%s slot=%s", self.name, slot.serves)
            return self._why(error)
        else:
            slot.opening = False
            if opened is not None:
                await self.put(slot, opened, listing)
            else:
                # The server turned out to be of the other era: whoever waits is served from that slot.
                waiting, slot.waiting = slot.waiting, []
                self._drop(slot, waiting)
                self._lanes.forget(slot)
                for client, use, fail in waiting:
                    self.acquire(client, use, fail)
                if slot.subscribed:
                    self._owner.slot_gone(self, slot)
                if slot.error is not None:
                    # It was down for these clients. If the other slot was quicker, they were not told that it is back.
                    for other in self.slots.values():
                        if other.connection is not None and other.client is None:
                            self._tell_changes(other, None)
        return None

    def _drop(self, slot: Slot, waiting: list[Waiting]) -> None:
        """Nobody is served from it any more, nor from its siblings; who waits for these is added to `waiting`."""
        for one in slot.siblings or (slot,):
            if self.slots.get(one.key) is one:
                del self.slots[one.key]
            if one is not slot:
                one.closed = True
                waiting += one.waiting
                one.waiting = []

    def _turn_away(self, slot: Slot) -> None:
        """Nobody waits for ever for a slot that will not open."""
        waiting, slot.waiting = slot.waiting, []
        for _, _, fail in waiting:
            fail(self._over())

    def _over(self) -> TidegateError:
        if self.stopped:
            why = "it was removed from the configuration or changed in it, or the gateway is shutting down"
            return UpstreamClosed(f"backend `{self.name}` is not served any more: {why}")
        return UpstreamClosed(f"backend `{self.name}` is not served on this connection any more")

    async def put(self, slot: Slot, connection: Connection, listing: Listing | None) -> None:
        """The connection is ready; whether anybody may still use it is another question."""
        if slot.closed or self.stopped:
            self._turn_away(slot)
            await connection.aclose()
        else:
            self._opened(slot, connection, listing)

    def _opened(self, slot: Slot, connection: Connection, listing: Listing | None) -> None:
        shown = self.offers.shown(slot)
        slot.connection = connection
        slot.error = None
        slot.down = False
        slot.level = None
        slot.changed_s = slot.opened_at_s = slot.read_at_s = self._owner.clock.now_s()
        if listing is not None:
            known, slot.offer = slot.offer, Offer.heard(connection, listing)
            before = shown if not slot.siblings else known
            if before is not None and before.server_info != slot.offer.server_info and self.stateless is False:
                # Another version, which may speak more than the one before.
                self.stateless = None
            self.offers.remember(slot)
        waiting, slot.waiting = slot.waiting, []
        self.following.opened(slot)
        self.slot_changed(slot)
        self._tell_changes(slot, shown)
        self._idle_stop.watch(slot, connection)
        if slot.client is not None:
            self._call_back(slot)
        for kind in connection.changed_early:
            self.list_changed(connection, kind)
        if slot.siblings:
            self._replica_opened(slot)
        for _, use, fail in waiting:
            try:
                use(slot, connection)
            except Exception as error:
                # One request that goes wrong must not strand those behind it.
                _log.exception("request_failed backend=%s slot=%s", self.name, slot.serves)
                fail(TidegateError(f"the gateway failed over this request: {error}"))

    def _replica_opened(self, slot: Slot) -> None:
        """Who waits for a sibling need not, and who was served by one that was lost is served here."""
        self._replicas.opened(slot)
        self.queue.relieve(slot)
        for other in slot.siblings:
            if not is_open(other):
                waiting, other.waiting = other.waiting, []
                for client, use, fail in waiting:
                    self.acquire(client, use, fail)
                self._lead_elsewhere(other)

    def _lead_elsewhere(self, slot: Slot) -> None:
        """What clients follow on a replica that was lost is followed on another, if one is there."""
        if slot.subscribed and slot.error is not None and any(is_open(other) for other in slot.siblings):
            self.following.left(slot)
            self._owner.slot_gone(self, slot)

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

    def keep_failed(self, slot: Slot, error: BaseException) -> None:
        """A link that was found out for another slot could not be opened for this one."""
        slot.opening = False
        if slot.waiting and slot.client is not None and self.config.replicas > 1:
            # Another replica may have it.
            self.open_soon(slot)
        elif slot.waiting or slot.offer is not None:
            # Who came meanwhile; and its own next attempt may have been left out for this one.
            self._open_failed(slot, self._why(error))

    def others_agree(self, slot: Slot) -> bool:
        """Whether another replica is open, in the era as which `slot` takes the server."""
        stateless = slot.pool == "stateless"
        return self.config.replicas > 1 and any(
            other.replica != slot.replica and is_open(other) and (other.pool == "stateless") is stateless
            for other in self.slots.values()
        )

    def _open_failed(self, slot: Slot, error: TidegateError) -> None:
        if slot.closed and slot.siblings:
            slot.opening = False
            self._turn_away(slot)
            return
        shown = self.offers.shown(slot)
        slot.opening = False
        slot.error = error
        slot.down = True
        if not self.others_agree(slot):
            # It may have gone silent on the transport by which it was reached before.
            self.transport = self.config.transport
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
        self.slot_changed(slot)
        self._tell_changes(slot, shown)
        for client, use, fail in waiting:
            if may_serve_instead(slot):
                self.acquire(client, use, fail)
            elif (other := tried_now(slot)) is not None and not isinstance(fail, LastWay):
                other.waiting.append((client, use, LastWay(fail)))
            else:
                fail(error)
        if not slot.closed and not self.stopped:
            asyncio.get_running_loop().call_later(delay_s, self._open_soon_if_wanted, slot)

    def _open_soon_if_wanted(self, slot: Slot) -> None:
        # Who failed again meanwhile has another timer.
        wanted = slot.error is not None and not self._retiring and self.clock.now_s() >= slot.next_try_s - _GRAIN_S
        if wanted and slot.connection is None and self.slots.get(slot.key) is slot:
            scout = self._scout(slot) if slot.down else None
            if scout is None:
                self.open_soon(slot)
            else:
                self._stand_back(slot, scout)

    def _scout(self, slot: Slot) -> Slot | None:
        """Another client's connection, which is tried in place of this one: a server that is down is not started once
        for each of the clients that would have one of their own.
        """
        if slot.client is None:
            return None
        down = [other for other in self.slots.values() if other.client is not None and other.down and not other.closed]
        scout = max(down, key=lambda other: other.backoff.attempt, default=slot)
        return scout if scout is not slot else None

    def _stand_back(self, slot: Slot, scout: Slot) -> None:
        delay_s = max(_GRAIN_S, scout.next_try_s - self.clock.now_s()) + _STEP_BEHIND_S
        slot.next_try_s = slot.retry_at_s = self.clock.now_s() + delay_s
        asyncio.get_running_loop().call_later(delay_s, self._open_soon_if_wanted, slot)

    def _call_back(self, scout: Slot) -> None:
        """It is up: those who stood back may open theirs when they need it."""
        for slot in list(self.slots.values()):
            if slot is scout or slot.client is None or not slot.down or slot.opening:
                continue
            slot.error = None
            slot.down = False
            slot.backoff.reset()
            slot.changed_s = self.clock.now_s()
            self.slot_changed(slot)
            known = self.offers.shown(slot)
            if known is None:
                self.open_soon(slot)
            else:
                for kind in changed_lists(None, known):
                    self._owner.list_changed(self, kind, partial(self.serves, slot))

    # -- before anybody needs it --------------------------------------------------------------------------------

    def is_down(self, client: ClientView) -> bool:
        """It was tried, failed, and nobody tries just now."""
        slot = self.existing_slot(client)
        return slot is not None and slot.error is not None and not slot.opening and not slot.closed

    def hear(self, client: ClientView, over: Callable[[], None]) -> bool:
        """Finds out whether a server that is not connected still offers the same. Whether that is under way now;
        `over` is called then. A child that was heard not long ago is left alone.
        """
        # A child is started for it now and then; to be connected to a server that runs anyway costs nothing.
        if self.stopped or not (self.offers.must_be_heard(client) or self.config.transport != "stdio"):
            return False

        def heard(slot: Slot, connection: Connection) -> None:
            if self._idle_stop.applies:
                self._idle_stop.look_later(slot, connection, _HEARD_S, once=True)
            over()

        self.acquire(client, heard, lambda error: over())
        return True

    def start(self) -> None:
        """Opens the connection that everybody shares, before anybody needs it, unless it is open or tried already."""
        common = [slot for slot in self.slots.values() if slot.client is None]
        if not any(slot.connection is not None or slot.opening or slot.error is not None for slot in common):
            self.acquire(UNREAD, _used, _unused)
        for slot in common:
            if slot.siblings and is_open(slot):
                self._replicas.opened(slot)

    # -- for its parts ------------------------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        return self._owner.limits

    @property
    def own_answers(self) -> Answers:
        return self._owner.own_answers

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        self._owner.spawn(step, *args, name=name)

    def make_link(self, backend: Backend, transport: str) -> Link:
        return self._owner.make_link(backend, transport)

    def slot_changed(self, slot: Slot) -> None:
        self._owner.slot_changed(self, slot)

    def tell_changed(self, slot: Slot, kind: str) -> None:
        if slot.siblings and heard(slot.siblings) is not slot:
            # Clients know the server by another replica.
            return
        self.offers.outdate(slot)
        self._owner.list_changed(self, kind, lambda client: self.serves(slot, client) or self._asleep_for(client))

    def _asleep_for(self, client: ClientView) -> bool:
        """The client was shown what is remembered, and has no connection over which it would hear of a change."""
        slot = self.existing_slot(client)
        return slot is None or (slot.connection is None and not slot.down)

    def _tell_changes(self, slot: Slot, shown: Offer | None) -> None:
        now = self.offers.shown(slot) if slot.siblings else None if slot.down else slot.offer
        for kind in changed_lists(shown, now):
            self._owner.list_changed(self, kind, partial(self.serves, slot))

    # -- ConnectionOwner ------------------------------------------------------------------------------------

    def _slot_of(self, connection: Connection) -> Slot | None:
        return next((slot for slot in self.slots.values() if slot.connection is connection), None)

    def list_changed(self, connection: Connection, kind: str) -> None:
        slot = self._slot_of(connection)
        if slot is None:
            connection.changed_early.add(kind)
            return
        self.lists.changed(slot, kind)
        if slot.siblings:
            known = heard(slot.siblings)
            if known is not slot:
                self.lists.changed(known, kind)

    def listening(self, connection: Connection) -> None:
        slot = self._slot_of(connection)
        if slot is not None:
            self.lists.catch_up(slot)

    def resource_updated(self, connection: Connection, message: bytes, envelope: Envelope) -> None:
        slot = self._slot_of(connection)
        if slot is not None:
            self._owner.resource_updated(self, slot, message, envelope)

    @property
    def rules(self) -> object:
        return self._owner.rules

    def logged(self, connection: Connection, message: bytes, envelope: Envelope) -> None:
        slot = self._slot_of(connection)
        if slot is not None:
            self._owner.logged(self, slot, message, envelope)

    def call_expired(self, connection: Connection) -> None:
        self._hung_check.suspect(connection)

    def connection_lost(self, connection: Connection, error: TidegateError) -> None:
        slot = self._slot_of(connection)
        if slot is None:
            return
        shown = slot.offer if was_heard(slot) else self.offers.shown(slot)
        slot.connection = None
        self.connection_ended(slot, connection)
        slot.listen = None
        slot.error = error
        slot.restarts += 1
        self._owner.spawn(connection.link.aclose, name=f"close {self.name}/{slot.serves}")
        if slot.closed or self.stopped:
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
        self.slot_changed(slot)
        self._tell_changes(slot, shown)
        self._lead_elsewhere(slot)
        if connection.line is not None:
            # What it still works on may take long.
            connection.line.moved()
        if slot.siblings and not any(is_open(other) for other in slot.siblings):
            # It was the last one. Others may have come back since they were tried.
            for other in slot.siblings:
                if other is not slot:
                    self.open_soon(other)
        asyncio.get_running_loop().call_later(delay_s, self._open_soon_if_wanted, slot)
        # Who came while the loss was told, such as the next one for a lane.
        waiting, slot.waiting = slot.waiting, []
        for client, use, fail in waiting:
            if slot.siblings:
                self.acquire(client, use, fail)
            else:
                self.use_slot(slot, client, use, fail)

    # -- the end ----------------------------------------------------------------------------------------------

    def connection_ended(self, slot: Slot, connection: Connection) -> None:
        """The slot has it no more."""
        self._replicas.ended(slot, connection)

    def close_slot(self, key: str) -> None:
        """Whoever had a slot of their own are gone."""
        self._replicas.forget(key)
        slot = self.slots.pop(key, None)
        if slot is not None:
            slot.closed = True
            self._idle_stop.forget(slot)
            self._turn_away(slot)
            connection, slot.connection = slot.connection, None
            if connection is not None:
                self.connection_ended(slot, connection)
                self._owner.spawn(connection.aclose, name=f"close {self.name}/{slot.serves}")

    def is_followed(self, slot: Slot) -> bool:
        return bool(slot.subscribed) or self._owner.is_followed(self, slot)

    def adjust(self, config: Backend) -> None:
        """Goes on with its connections under other settings (those that `pipeline/reload.py` lists) or other limits."""
        before = self.config
        self.config = config
        self.following.timeout_s = config.call_timeout_s
        self._lanes.adjust(
            most=config.max_connections, idle_s=self._owner.limits.session_idle_s, wait_s=config.call_timeout_s
        )
        for slot in self.slots.values():
            connection = slot.connection
            if connection is None:
                continue
            if (config.start, config.idle_stop_s) != (before.start, before.idle_stop_s):
                self._idle_stop.watch(slot, connection)
            if connection.line is not None:
                # There may be room now for those who wait.
                connection.line.moved()

    def rest(self, cause: str) -> bool:
        """Stops its children that nobody uses now; whether there were any."""
        free = [
            (slot, slot.connection)
            for slot in self.slots.values()
            if slot.connection is not None and self._idle_stop.is_free(slot)
        ]
        for slot, connection in free:
            self._idle_stop.stop(slot, connection, cause)
        return bool(free)

    @property
    def greeted(self) -> bool:
        """Whether the server was told by a handshake what its clients can be asked, and so for good."""
        return any(slot.connection is not None and slot.connection.keeps_session for slot in self.slots.values())

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
        self.stopped = True
        self._lanes.close()
        self.queue.close(why or self._over())
        self.deadlines.stop()
        connections = [slot.connection for slot in self.slots.values() if slot.connection is not None]
        for slot in self.slots.values():
            slot.closed = True
            slot.connection = None
            self._idle_stop.forget(slot)
            self._turn_away(slot)
        async with anyio.create_task_group() as tasks:
            for connection in connections:
                if why is not None:
                    connection.lost(why)
                tasks.start_soon(connection.aclose)

    def statistics(self) -> dict[str, object]:
        now_s = self._owner.clock.now_s()
        isolation = self.config.isolation
        return {
            "backend": self.name,
            "transport": self.transport,
            "stateless": self.stateless,
            "keeps_session": self.keeps_session,
            "isolation": isolation,
            "max_connections": self.config.max_connections,
            "own_connections": self._lanes.used,
            "catalogue": self.offers.source,
            "max_in_flight": self.config.max_in_flight,
            "balance": self.config.balance,
            "replicas": self._replicas.statistics(),
            "queued": len(self.queue),
            "queue": self.queue.statistics(),
            "slots": [
                slot_statistics(slot, isolation, self.transport, self._lanes.waiting_for(slot), now_s)
                for slot in self.slots.values()
            ],
        }


def _not_leased(finished: bool) -> None:
    """Nothing to give back: the connection serves many requests at once."""


def _used(slot: Slot, connection: Connection) -> None:
    """Opened for later."""


def _unused(error: TidegateError) -> None:
    """It is tried again by itself, and `status` says why it is down."""
