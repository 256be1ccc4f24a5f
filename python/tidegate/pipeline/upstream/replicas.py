"""Several of the same server behind one name: which of them gets a request, and which is heard.

A slot that serves everybody (`stateless`, `shared`) has a sibling for each replica. A request goes to one of those that
are open, by the rule of `pipeline/balance.py`; a replica that is not open is left out, and how it comes back is the
same for each slot: `Service` opens it, later and later. There is no other knowledge of who is well.

A session's client stays with one replica, since a server that keeps sessions may keep something in them. Whoever has a
connection of their own is led to the replica that has fewest of those.

Called by `Service`, and only where a backend has several replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend
from tidegate.errors import TidegateError
from tidegate.pipeline.balance import least_loaded, pick
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.slot import Fail, Slot

_STATES: Final = ("ready", "starting", "parked", "down", "idle")
"""A replica is in the first that any of its slots has."""
_OUT: Final = -1
"""The load of one that is not open."""


class ReplicaHost(Protocol):
    """A service, as its replicas are chosen."""

    config: Backend
    clock: Clock
    slots: dict[str, Slot]

    def open_soon(self, slot: Slot) -> None: ...


class Replicas:
    """The replicas of one service."""

    def __init__(self, host: ReplicaHost) -> None:
        self._host = host
        self._turn = 0
        self._homes: dict[str, int] = {}
        """Session → the replica that it stays with."""
        self._guests = [0] * host.config.replicas
        """How many of those each has."""
        self._served = [0] * host.config.replicas
        """Requests on connections that have ended."""

    def slots(self, pool: str) -> tuple[Slot, ...]:
        """New slots for all of them, not yet in the service."""
        numbers = range(self._host.config.replicas)
        found = tuple(Slot(pool if number == 0 else f"{pool}#{number}", None, pool, number) for number in numbers)
        for slot in found:
            slot.siblings = found
        return found

    # -- who gets a request -----------------------------------------------------------------------------------

    def choose(self, siblings: Sequence[Slot], client: ClientView) -> Slot:
        if client.session is not None and stays(siblings[0], client):
            return self._home(siblings, client.session.key)
        loads = [
            _OUT if slot.connection is None or slot.connection.closed else slot.connection.in_flight
            for slot in siblings
        ]
        config = self._host.config
        at = pick(config.balance, loads, self._turn, config.max_in_flight)
        if at < 0:
            return self._first_to_open(siblings)
        self._turn = at + 1
        slot = siblings[at]
        if _OUT in loads:
            busy = loads[at] > (slot.listen is not None)
            if busy or config.balance == "round_robin" or self._at_once:
                self._wake(siblings)
        return slot

    def choices(self, siblings: Sequence[Slot], client: ClientView) -> Sequence[Slot]:
        """Among which `choose` would choose, if it had nothing else to do than to choose."""
        if client.session is not None and stays(siblings[0], client):
            number = self._homes.get(client.session.key)
            return () if number is None else siblings[number : number + 1]
        return () if any(slot.connection is None and slot.error is None for slot in siblings) else siblings

    def _home(self, siblings: Sequence[Slot], key: str) -> Slot:
        """Where a session stays, as long as that replica is not down while another is up."""
        number = self._homes.get(key)
        if number is not None and (is_open(siblings[number]) or siblings[number].error is None):
            return siblings[number]
        guests = self._guests
        at = least_loaded([guests[slot.replica] if is_open(slot) else _OUT for slot in siblings], self._turn)
        if at < 0:
            at = least_loaded([guests[slot.replica] if slot.error is None else _OUT for slot in siblings], self._turn)
        elif guests[at]:
            self._wake(siblings)
        if at < 0:
            return self._first_to_open(siblings)
        self.forget(key)
        self._homes[key] = at
        guests[at] += 1
        self._turn = at + 1
        return siblings[at]

    def forget(self, key: str) -> None:
        """The session is over."""
        number = self._homes.pop(key, None)
        if number is not None:
            self._guests[number] -= 1

    def _first_to_open(self, siblings: Sequence[Slot]) -> Slot:
        """None is open: the one that is opened, or waited for, or says why there is none."""
        now_s = self._host.clock.now_s()

        def rank(slot: Slot) -> tuple[int, float]:
            if slot.error is None:
                return (0 if slot.opening else 1), 0.0
            if slot.opening:
                return 3, 0.0
            return (4 if slot.retry_at_s > now_s else 2), slot.retry_at_s

        slot = min(siblings, key=rank)
        if slot.waiting or self._at_once:
            self._wake(siblings)
        return slot

    # -- who is opened ----------------------------------------------------------------------------------------

    @property
    def _at_once(self) -> bool:
        """Servers that run anyway are all connected to; children start as there is work for them."""
        config = self._host.config
        return config.transport != "stdio" or config.start == "at_once"

    def _wake(self, siblings: Sequence[Slot]) -> None:
        """Opens one more, or all. One that failed is tried again by itself."""
        for slot in siblings:
            if slot.connection is None and slot.error is None and not slot.opening:
                self._host.open_soon(slot)
                if not self._at_once:
                    return

    def opened(self, slot: Slot) -> None:
        """One of them is there."""
        if self._at_once:
            self._wake(slot.siblings)

    # -- what operators see -----------------------------------------------------------------------------------

    def ended(self, slot: Slot, connection: Connection) -> None:
        """It takes no more requests; those it had are counted."""
        self._served[slot.replica] += connection.requests

    def statistics(self) -> list[dict[str, object]]:
        """One row a replica, over all connections to it; numbered from 1, as in the configuration."""
        rows: list[dict[str, object]] = []
        for number, served in enumerate(self._served):
            slots = [slot for slot in self._host.slots.values() if slot.replica == number]
            found = [slot.connection for slot in slots if slot.connection is not None]
            # One that failed is down while it is being tried again.
            states = {"down" if slot.opening and slot.error is not None else slot.state for slot in slots}
            rows.append(
                {
                    "replica": number + 1,
                    "address": _shown(self._host.config.at(number)),
                    "state": next((state for state in _STATES if state in states), "idle"),
                    "in_flight": sum(connection.working for connection in found),
                    "requests": served + sum(connection.requests for connection in found),
                    "sessions": self._guests[number] + sum(slot.client is not None for slot in slots),
                }
            )
        return rows

    # -- connections of single clients ------------------------------------------------------------------------

    def for_own(self, slot: Slot, tried: set[int]) -> int:
        """The replica that is to serve `slot`, whose client has it alone, and which is not among those `tried`: one
        that is up, if any is, with the fewest connections of single clients.
        """
        own = [0] * self._host.config.replicas
        up = [True] * len(own)
        for other in self._host.slots.values():
            if other is slot:
                continue
            if other.client is not None:
                own[other.replica] += 1
            if other.error is not None and other.connection is None:
                up[other.replica] = False
        for other in self._host.slots.values():
            if is_open(other):
                up[other.replica] = True
        at = least_loaded([_OUT if at in tried or not up[at] else own[at] for at in range(len(own))], self._turn)
        if at < 0:
            at = least_loaded([_OUT if at in tried else own[at] for at in range(len(own))], self._turn)
        self._turn = at + 1
        return at


def _shown(backend: Backend) -> str | None:
    """Where it is; of a URL no more than host and port, since the rest may hold a secret."""
    if not backend.url:
        return backend.address or None
    return urlsplit(backend.url).netloc.rpartition("@")[2]


# -- what is known of siblings --------------------------------------------------------------------------------


def is_open(slot: Slot) -> bool:
    return slot.connection is not None and not slot.connection.closed


def heard(siblings: Sequence[Slot]) -> Slot:
    """The one by which all of them are known: the first that is open, or nearest to it."""

    def rank(slot: Slot) -> int:
        if is_open(slot):
            return 0
        if slot.down:
            return 5 if not slot.opening else 4
        if slot.offer is not None:
            return 1
        return 2 if slot.opening else 3

    return min(siblings, key=rank)


def was_heard(slot: Slot) -> bool:
    """Of one that was lost just now: whether all were known by it."""
    return bool(slot.siblings) and next(one for one in slot.siblings if one is slot or is_open(one)) is slot


def stays(slot: Slot, client: ClientView) -> bool:
    """Whether all requests of the client go to one replica."""
    return slot.pool == "shared" and client.session is not None


def may_serve_instead(slot: Slot) -> bool:
    """Whether a request that certainly did not run may have better luck with a sibling of `slot`."""
    return any(
        other is not slot and not other.closed and (is_open(other) or other.error is None) for other in slot.siblings
    )


def tried_now(slot: Slot) -> Slot | None:
    """A sibling that failed before and is being tried again."""
    return next((other for other in slot.siblings if other is not slot and other.opening and not other.closed), None)


class LastWay:
    """Hears of the failure of a request that was led to another replica for the last time."""

    __slots__ = ("_fail",)

    def __init__(self, fail: Fail) -> None:
        self._fail = fail

    def __call__(self, error: TidegateError) -> None:
        self._fail(error)
