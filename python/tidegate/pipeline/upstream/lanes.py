"""Connections to a session server for stateless clients that it may ask something.

The server must be told in the handshake what its client can be asked, so such clients do not share the connection
of those who can be asked nothing, nor one with another principal or other abilities. And where the transport does
not say which request a question belongs to, a connection serves one request at a time: a *lane* is leased to it
until it is answered. Further lanes are opened while requests wait, up to a bound, and closed when they idle.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.errors import Overloaded, TidegateError, UpstreamTimeout
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.connection import SETTLE_S, Connection
from tidegate.pipeline.upstream.slot import Fail, Slot, Use

_MAX_WAITING: Final = 1024
_PATIENCE_S: Final = 0.1
"""How long a request waits for a lane before another one is opened: most requests are over sooner."""
_IDLE_S: Final = 60.0
"""A further lane is closed after this long without a request."""
_PAUSE_S: Final = 60.0
"""How long no further lane is tried after one could not be opened: there are servers that serve one client only."""
_LEFT_S: Final = 300.0
"""A session that asked nothing for so long may have been left: its connection is closed when others need room."""
_SWEEP_S: Final = 30.0

_log = logging.getLogger("tidegate.upstream")

Release = Callable[[bool], None]
"""Gives a lane back. Told whether the server had finished with the request."""
Lease = Callable[[Slot, Connection, Release], None]
Wanted = Callable[[], bool]
"""Whether a request is not over yet. One that is over while it waits is dropped without a word."""


class LaneHost(Protocol):
    """A service, as its lanes see it."""

    name: str
    slots: dict[str, Slot]

    def use_slot(self, slot: Slot, client: ClientView, use: Use, fail: Fail) -> None: ...

    def acquire_askable(self, client: ClientView, use: Lease, fail: Fail, wanted: Wanted | None = None) -> None: ...

    def close_slot(self, key: str) -> None: ...

    def is_followed(self, slot: Slot) -> bool:
        """Whether a client wants to hear of changes on it."""


class Lanes:
    """The lanes of one service, by the `own_key` of the clients that they serve. The first is their main one."""

    def __init__(self, host: LaneHost, clock: Clock, *, most: int, idle_s: float, wait_s: float) -> None:
        self._host = host
        self._clock = clock
        self._most = most
        self._idle_s = idle_s
        self._wait_s = wait_s
        self._groups: dict[str, list[Slot]] = {}
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._serving: set[str] = set()
        """Whose queue is being served further down the stack."""
        self._growing: dict[str, asyncio.TimerHandle] = {}
        self._paused_s: dict[str, float] = {}
        """Until when no further lane is opened."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._number = 0

    def adjust(self, *, most: int, idle_s: float, wait_s: float) -> None:
        """Other bounds from now on. Lanes over the new one go when they idle."""
        self._idle_s = idle_s
        self._most = most
        self._wait_s = wait_s

    def main(self, client: ClientView) -> Slot:
        """Where lists are read, changes followed, and requests served while they do not overlap."""
        group = self._groups.get(client.own_key)
        if group:
            return group[0]
        return self._add(client) or self.full(client)

    def full(self, client: ClientView) -> Slot:
        """A slot that says why there is none."""
        slot = Slot(client.own_key, client)
        slot.closed = True
        slot.retry_at_s = float("inf")
        slot.error = Overloaded(
            f"backend `{self._host.name}` has {self._most} connections of single clients, its `max_connections`"
        )
        return slot

    @property
    def used(self) -> int:
        """Connections of single clients, those of sessions among them."""
        return sum(slot.client is not None for slot in self._host.slots.values())

    def waiting_for(self, slot: Slot) -> int:
        """Requests that wait for a lane, told of the main one."""
        return sum(waiter.wanted() for waiter in self._waiting.get(slot.key, ())) if slot.group else 0

    def has_room(self) -> bool:
        """Whether one more connection of a single client may be opened; closes one that idles, if need be: a lane
        or, if there is none, one of a session that seems to be left. Either opens again when it is needed.
        """
        if self.used < self._most:
            return True
        idle = [slot for group in self._groups.values() for slot in group if self._may_close(slot, group)]
        idle = idle or [slot for slot in self._host.slots.values() if self._seems_left(slot)]
        if not idle:
            return False
        self._close(min(idle, key=lambda slot: slot.used_at_s))
        return True

    def lease(self, client: ClientView, use: Lease, fail: Fail, wanted: Wanted | None = None) -> None:
        """Calls `use` with a lane of the client's, now or when one is free."""
        key = client.own_key
        if not self._groups.get(key):
            slot = self.main(client)
            if slot.closed and slot.error is not None:
                fail(slot.error)
                return
        waiter = _Waiter(client, use, fail, wanted or _always)
        free = self._free(key)
        if free is not None and not self._waiting.get(key):
            self._take(free, waiter)
            return
        if len(self._waiting.get(key, ())) >= _MAX_WAITING:
            self._drop_unwanted(key)
        queue = self._waiting.setdefault(key, deque())
        if len(queue) >= _MAX_WAITING:
            fail(Overloaded(f"{_MAX_WAITING} requests wait for a connection to backend `{self._host.name}` already"))
            return
        queue.append(waiter)
        waiter.timer = asyncio.get_running_loop().call_later(self._wait_s, self._gave_up, key, waiter)
        self._grow_soon(key)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for timer in self._growing.values():
            timer.cancel()
        waiting, self._waiting = self._waiting, {}
        self._groups.clear()
        for queue in waiting.values():
            for waiter in queue:
                waiter.stop()
                waiter.fail(Overloaded("the gateway is shutting down"))

    # -- whose turn it is -------------------------------------------------------------------------------------

    def _free(self, key: str) -> Slot | None:
        now_s = self._clock.now_s()
        free = [slot for slot in self._groups.get(key, ()) if not slot.leased and slot.settles_at_s <= now_s]
        return next((slot for slot in free if slot.connection is not None), free[0] if free else None)

    def _take(self, slot: Slot, waiter: _Waiter) -> None:
        slot.leased = True
        released = False

        def release(finished: bool) -> None:
            nonlocal released
            if not released:
                released = True
                self._released(slot, finished)

        def failed(error: TidegateError) -> None:
            if slot in self._groups.get(slot.group, [])[1:]:
                # Other lanes can serve this request still.
                self._take_back(slot, waiter)
            else:
                release(True)
                waiter.fail(error)

        def use(opened: Slot, connection: Connection) -> None:
            try:
                waiter.use(opened, connection, release)
            except Exception as error:
                # It is no fault of the request whose lane this was, which is the one that calls.
                _log.exception("request_failed backend=%s slot=%s", self._host.name, opened.serves)
                waiter.fail(TidegateError(f"the gateway failed over this request: {error}"))
                # The server may have got it.
                release(False)

        self._host.use_slot(slot, waiter.client, use, failed)

    def _take_back(self, slot: Slot, waiter: _Waiter) -> None:
        """A further lane could not be opened. Whoever it was for is the next one again."""
        key = slot.group
        self._paused_s[key] = self._clock.now_s() + _PAUSE_S
        slot.leased = False
        self._close(slot)
        loop = asyncio.get_running_loop()
        self._waiting.setdefault(key, deque()).appendleft(waiter)
        waiter.timer = loop.call_at(max(loop.time(), waiter.since_s + self._wait_s), self._gave_up, key, waiter)
        self._grow_soon(key)
        self._serve(key)

    def _released(self, slot: Slot, finished: bool) -> None:
        slot.leased = False
        now_s = slot.used_at_s = self._clock.now_s()
        if not finished and slot.connection is not None:
            slot.settles_at_s = now_s + SETTLE_S
        self._serve(slot.group)

    def _serve(self, key: str) -> None:
        """Gives the free lanes to those who wait, in order."""
        if key in self._serving:
            # A lane came back at once, from a request that its client had given up: the loop below goes on with it.
            return
        self._serving.add(key)
        try:
            while queue := self._waiting.get(key):
                slot = self._free(key)
                if slot is None:
                    return
                waiter = queue.popleft()
                waiter.stop()
                if waiter.wanted():
                    self._take(slot, waiter)
            self._waiting.pop(key, None)
        finally:
            self._serving.discard(key)

    def _drop_unwanted(self, key: str) -> None:
        wanted: deque[_Waiter] = deque()
        for waiter in self._waiting.pop(key, ()):
            if waiter.wanted():
                wanted.append(waiter)
            else:
                waiter.stop()
        if wanted:
            self._waiting[key] = wanted

    def _grow_soon(self, key: str) -> None:
        if key not in self._growing:
            self._growing[key] = asyncio.get_running_loop().call_later(_PATIENCE_S, self._grow, key)

    def _grow(self, key: str) -> None:
        """Opens a lane for each request that waited long enough. Looks again as long as any waits: room may come
        from other clients, and lanes settle.
        """
        del self._growing[key]
        self._serve(key)
        self._drop_unwanted(key)
        ripe_s = asyncio.get_running_loop().time() - _PATIENCE_S + 0.005
        while (queue := self._waiting.get(key)) and queue[0].since_s <= ripe_s:
            if self._paused_s.get(key, 0.0) > self._clock.now_s() or self._add(queue[0].client) is None:
                break
            self._serve(key)
        if self._waiting.get(key):
            self._grow_soon(key)

    def _gave_up(self, key: str, waiter: _Waiter) -> None:
        queue = self._waiting.get(key)
        if queue and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[key]
            waiter.fail(
                UpstreamTimeout(
                    f"no connection to backend `{self._host.name}` became free within {self._wait_s:g} s: other "
                    "requests of this client have all of its connections, maybe waiting for its answers"
                )
            )

    # -- coming and going -------------------------------------------------------------------------------------

    def _add(self, client: ClientView) -> Slot | None:
        """One more lane, or the first; None when there is no room."""
        if not self.has_room():
            return None
        key = client.own_key
        if self._groups.get(key):
            self._number += 1
            key = f"{key}#{self._number}"
        like = ClientView(
            stateless=False,
            capabilities=client.abilities,
            abilities=client.abilities,
            principal=client.principal,
            caller=client.caller,
        )
        slot = Slot(key, like)
        slot.group = client.own_key
        slot.used_at_s = self._clock.now_s()
        self._host.slots[key] = slot
        self._groups.setdefault(client.own_key, []).append(slot)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        return slot

    def _may_close(self, slot: Slot, group: list[Slot]) -> bool:
        """Whether nobody would miss it. The main lane, which knows what the server offers, is the last to go."""
        if slot is group[0] and len(group) > 1:
            return False
        idle = not slot.leased and not slot.opening and not slot.busy and slot.settles_at_s <= self._clock.now_s()
        return idle and not self._host.is_followed(slot)

    def _seems_left(self, slot: Slot) -> bool:
        alone = slot.client is not None and slot.client.session is not None
        idle = not slot.opening and not slot.subscribed and not slot.busy
        return alone and idle and self._clock.now_s() - slot.used_at_s > _LEFT_S

    def _close(self, slot: Slot) -> None:
        self._remove(slot)
        self._host.close_slot(slot.key)

    def _remove(self, slot: Slot) -> None:
        group = self._groups.get(slot.group, [])
        if slot in group:
            group.remove(slot)
        if not group:
            self._groups.pop(slot.group, None)
            self._paused_s.pop(slot.group, None)

    def forget(self, slot: Slot) -> None:
        """It is no lane any more: the server turned out to keep no sessions."""
        key = slot.group
        self._remove(slot)
        if key not in self._groups:
            for waiter in self._waiting.pop(key, ()):
                waiter.stop()
                self._host.acquire_askable(waiter.client, waiter.use, waiter.fail, waiter.wanted)

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = self._clock.now_s()
        for group in list(self._groups.values()):
            for slot in list(group):
                limit_s = self._idle_s if slot is group[0] else _IDLE_S
                if now_s - slot.used_at_s > limit_s and self._may_close(slot, group):
                    self._close(slot)
        if self._groups:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)


class _Waiter:
    def __init__(self, client: ClientView, use: Lease, fail: Fail, wanted: Wanted) -> None:
        self.client = client
        self.use = use
        self.fail = fail
        self.wanted = wanted
        self.since_s = asyncio.get_running_loop().time()
        self.timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


def _always() -> bool:
    return True
