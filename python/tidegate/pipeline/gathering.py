"""Waiting for the servers of whose lists a client's catalogue is made. Begun by `catalogues.py`, one for
each who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from tidegate.errors import TidegateError, UpstreamUnreachable
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.route.catalog import View
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Fail, Slot

_STRAGGLER_S: Final = 5.0
"""How long a list waits for a slow backend while others are ready; its entries follow by list_changed."""

UseView = Callable[[View], None]


class Gathered(Protocol):
    """The catalogues, as they are waited for."""

    services: list[Service]

    def with_view(self, client: ClientView, use: UseView, fail: Fail) -> None: ...

    def build(self, client: ClientView) -> View:
        """Of what was heard by now."""


class Gathering:
    """Waits until every backend has a connection for a client, or was heard to have none."""

    def __init__(self, gathered: Gathered, client: ClientView, use: UseView, fail: Fail) -> None:
        self._gathered = gathered
        self._client = client
        self._use = use
        self._fail = fail
        self._services = list(gathered.services)
        self._open = len(self._services)
        self._ready = 0
        self._error: TidegateError | None = None
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._open == 0:
            self._finish()
            return
        for service in self._services:
            if service.offers.shown_to(self._client) is not None:
                self._ready += 1
                self._one_less()
            else:
                service.acquire(self._client, self._one_ready, self._one_failed)
        if not self._over:
            self._timer = asyncio.get_running_loop().call_later(_STRAGGLER_S, self._straggler)

    def _one_ready(self, slot: Slot, connection: Connection) -> None:
        self._ready += 1
        self._one_less()

    def _one_failed(self, error: TidegateError) -> None:
        self._error = error
        self._one_less()

    def _one_less(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._finish()

    def _straggler(self) -> None:
        self._timer = None
        if self._ready > 0:
            self._finish()
        elif not self._over:
            self._timer = asyncio.get_running_loop().call_later(_STRAGGLER_S, self._straggler)

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._services != self._gathered.services:
            # Another configuration is in force by now: what was waited for may not be what there is.
            self._gathered.with_view(self._client, self._use, self._fail)
        elif self._ready == 0 and self._error is not None:
            self._fail(self._error)
        elif self._ready == 0 and self._open > 0:
            self._fail(UpstreamUnreachable("no backend is ready"))
        else:
            self._use(self._gathered.build(self._client))
