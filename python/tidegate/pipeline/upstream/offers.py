"""What a backend offers its clients: as it says it, or as it last said it while it does not run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Transport
from tidegate.errors import TidegateError, UpstreamUnreachable
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.offer import Offer
from tidegate.pipeline.upstream.remembered import EVERYBODY, Remembered
from tidegate.pipeline.upstream.replicas import heard
from tidegate.pipeline.upstream.slot import Slot

_HOLDS_S: Final = 3600.0
"""How long what a server that is not connected offered is served without hearing it again."""
_COMMON: Final = ("stateless", "shared")
"""Slots that serve everybody."""


class OffersHost(Protocol):
    """A service, as its offers see it."""

    name: str
    clock: Clock
    slots: dict[str, Slot]
    stateless: bool | None
    keeps_session: bool | None
    transport: Transport

    def slot_key(self, client: ClientView) -> str: ...

    def existing_slot(self, client: ClientView) -> Slot | None: ...

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...


class Offers:
    """The offers of one service, by whom they are for."""

    def __init__(self, host: OffersHost, remembered: Remembered) -> None:
        self._host = host
        self._remembered = remembered
        self._heard_s: dict[bytes, float] = {}
        """When the server was last heard out, for clients of these abilities."""
        self._writing = False
        self._news = False
        """Something is not written yet."""

    def shown_to(self, client: ClientView) -> Offer | None:
        """What the client may be shown: as the server says it, or as it last said it while it is not connected.
        None of a server that was never heard, or is down.
        """
        offer = self._recall(client)
        slot = self._host.existing_slot(client)
        if slot is None or (slot.offer is None and slot.error is None):
            return offer
        return None if slot.down else slot.offer

    def lost(self, client: ClientView) -> tuple[Offer, TidegateError] | None:
        """What a server that is down offered, and why it is down."""
        slot = self._host.existing_slot(client)
        if slot is None or not slot.down or slot.error is None:
            return None
        offer = slot.offer or self._recall(client)
        if offer is None:
            return None
        soon_s = max(0.0, slot.next_try_s - self._host.clock.now_s())
        when = "is being tried again now" if slot.opening else f"is tried again by itself in {soon_s:.0f} s"
        return offer, UpstreamUnreachable(f"{slot.error}; it {when}")

    def _abilities(self, client: ClientView) -> bytes:
        """As what of `Remembered` concerns this client."""
        return EVERYBODY if self._host.slot_key(client) in _COMMON else client.abilities

    def _recall(self, client: ClientView) -> Offer | None:
        remembered = self._remembered
        offer = remembered.offer(self._abilities(client))
        if self._host.stateless is None and self._host.keeps_session is None:
            # How it was reached before is where to begin; if it has changed, that is found out as for any server.
            self._host.stateless, self._host.keeps_session = remembered.stateless, remembered.keeps_session
            self._host.transport = remembered.transport
            offer = remembered.offer(self._abilities(client))
        return offer

    def shown(self, slot: Slot) -> Offer | None:
        """What those whom it serves were shown until now."""
        slot = heard(slot.siblings) if slot.siblings else slot
        if slot.offer is not None or slot.error is not None:
            return None if slot.down else slot.offer
        return self._remembered.offer(EVERYBODY if slot.client is None else slot.client.abilities)

    def remember(self, slot: Slot) -> None:
        if slot.offer is None or (slot.siblings and heard(slot.siblings) is not slot):
            return
        abilities = EVERYBODY if slot.client is None else slot.client.abilities
        self._heard_s[abilities] = self._host.clock.now_s()
        if self._remembered.keep(abilities, slot.offer):
            self._news = True
            if not self._writing:
                self._writing = True
                self._host.spawn(self._write, name=f"remember {self._host.name}")

    async def _write(self) -> None:
        """One after the other, or the older of two could be what stays."""
        host = self._host
        try:
            while self._news:
                self._news = False
                await asyncio.to_thread(self._remembered.write, host.transport, host.stateless, host.keeps_session)
        finally:
            self._writing = False

    def outdate(self, slot: Slot) -> None:
        """The server changed, and for whom it was heard on `slot` that is known: for others it must be heard again."""
        known = EVERYBODY if slot.client is None else slot.client.abilities
        for abilities in [one for one in self._heard_s if one != known]:
            del self._heard_s[abilities]

    def must_be_heard(self, client: ClientView) -> bool:
        """Whether what is remembered for this client is old; asked once, it counts as heard."""
        abilities = self._abilities(client)
        now_s = self._host.clock.now_s()
        if now_s - self._heard_s.get(abilities, -_HOLDS_S) < _HOLDS_S:
            return False
        self._heard_s[abilities] = now_s
        return True

    @property
    def source(self) -> str | None:
        """Where what clients are shown of it comes from: `live`, `remembered`, or None of what was never heard or
        is down.
        """
        shown = [slot for slot in self._host.slots.values() if slot.offer is not None and not slot.down]
        if any(slot.connection is not None for slot in shown):
            return "live"
        tried = any(slot.error is not None for slot in self._host.slots.values())
        return "remembered" if shown or (self._remembered.knows and not tried) else None
