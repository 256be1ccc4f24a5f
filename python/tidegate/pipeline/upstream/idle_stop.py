"""Stops children that nobody uses. They start again when they are needed.

Costs a call nothing: now and then the number of requests a connection has seen is compared with what it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol
from weakref import WeakKeyDictionary

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.slot import Slot

_log = logging.getLogger("tidegate.upstream")


class IdleStopHost(Protocol):
    """A service, as it is watched."""

    name: str
    config: Backend
    clock: Clock
    stopped: bool

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...

    def connection_ended(self, slot: Slot, connection: Connection) -> None: ...

    def slot_changed(self, slot: Slot) -> None: ...


class IdleStop:
    """Watches the connections of one service."""

    def __init__(self, host: IdleStopHost) -> None:
        self._host = host
        self._timers: WeakKeyDictionary[Slot, asyncio.TimerHandle] = WeakKeyDictionary()
        """When each is looked at next. A timer holds on to its connection, so no more than one is left behind."""

    @property
    def applies(self) -> bool:
        """A server with a connection for each session keeps their state; others cost nothing while they idle."""
        config = self._host.config
        return (
            config.transport == "stdio"
            and config.idle_stop_s > 0
            and config.start != "at_once"
            and config.isolation != "session"
        )

    def watch(self, slot: Slot, connection: Connection) -> None:
        """From now on, under the settings of now."""
        self.forget(slot)
        if self.applies:
            self._timers[slot] = self.look_later(slot, connection, self._host.config.idle_stop_s / 2)

    def forget(self, slot: Slot) -> None:
        timer = self._timers.pop(slot, None)
        if timer is not None:
            timer.cancel()

    def look_later(
        self, slot: Slot, connection: Connection, after_s: float, *, once: bool = False
    ) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(after_s, self._stop_if_idle, slot, connection, connection.requests, once)

    def _stop_if_idle(self, slot: Slot, connection: Connection, requests: int, once: bool) -> None:
        """Stops the child if nobody asked it anything since `requests` were counted."""
        if slot.connection is not connection or self._host.stopped or not (once or self.applies):
            return
        if connection.requests == requests and self.is_free(slot):
            self.stop(slot, connection, "idle")
        elif not once:
            self.watch(slot, connection)

    @staticmethod
    def is_free(slot: Slot) -> bool:
        return not slot.subscribed and not slot.leased and not slot.busy

    def stop(self, slot: Slot, connection: Connection, cause: str) -> None:
        """Nobody is served over it now; it opens again for whoever comes next."""
        self.forget(slot)
        slot.connection = None
        self._host.connection_ended(slot, connection)
        slot.listen = None
        slot.changed_s = self._host.clock.now_s()
        slot.backoff.reset()
        _log.info("backend_stopped backend=%s slot=%s cause=%s", self._host.name, slot.serves, cause)
        self._host.spawn(connection.aclose, name=f"close {self._host.name}/{slot.serves}")
        self._host.slot_changed(slot)
