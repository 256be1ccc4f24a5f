"""Waiting for backends that nobody has heard yet, since a capability may need what they turn out to have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tidegate.errors import TidegateError
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot


def unheard(services: Sequence[Service], client: ClientView, tools: Sequence[str]) -> list[Service]:
    """Of which it is not known what they offer, and which may have one of the tools."""
    return [
        service
        for service in services
        if service.config.transport != "capability"
        and service.offers.shown_to(client) is None
        and not _was_tried(service, client)
        and any(_may_have(service, tool, sole=len(services) == 1) for tool in tools)
    ]


class Hearing:
    """Calls `done` once, when all of them were heard, or failed, or the time is up."""

    def __init__(
        self, services: Sequence[Service], client: ClientView, most_s: float, done: Callable[[], None]
    ) -> None:
        self._open = len(services)
        self._done: Callable[[], None] | None = done
        self._timer = asyncio.get_running_loop().call_later(most_s, self._over)
        for service in services:
            service.acquire(client, self._heard, self._failed)

    def _heard(self, slot: Slot, connection: Connection) -> None:
        self._one_less()

    def _failed(self, error: TidegateError) -> None:
        self._one_less()

    def _one_less(self) -> None:
        self._open -= 1
        if self._open == 0:
            # In a turn of its own: whoever opened is in the middle of telling that it did.
            asyncio.get_running_loop().call_soon(self._over)

    def _over(self) -> None:
        self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done()


def _was_tried(service: Service, client: ClientView) -> bool:
    """And is not there. Whoever waited for it again would do so each time that it is tried again."""
    slot = service.existing_slot(client)
    return slot is not None and slot.error is not None


def _may_have(service: Service, tool: str, *, sole: bool) -> bool:
    config = service.config
    prefix = config.prefix if config.prefix is not None else "" if sole else f"{config.name}__"
    return tool.startswith(prefix) or any(tool == shown for _, shown in config.aliases)
