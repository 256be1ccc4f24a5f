"""What is known now of a capability's tools: where they are, whether they are there, how busy, and what went wrong.

Looked up for each call, so that nothing here is out of date; each look-up costs a few microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from tidegate.config.snapshot import Filter
from tidegate.pipeline.capabilities.decision import Facts, Preference, State, Where
from tidegate.pipeline.capabilities.locality import where_is
from tidegate.pipeline.capabilities.recent import Recent
from tidegate.pipeline.catalogues import Catalogues, service_of
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.upstream.service import Service

FiltersOf = Callable[[str], Iterable[Filter]]
"""Of a tool, by its name in the catalogue."""


class PowerState(Protocol):
    """What the box's heat, battery and profile come to."""

    @property
    def hot(self) -> bool:
        """Too hot for models."""

    @property
    def preference(self) -> Preference:
        """Whom to ask first."""

    def statistics(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A tool as it is now. `service` is None for one that no backend has."""

    facts: Facts
    service: Service | None = None
    may_queue: bool = False
    """It has a queue of its own, behind the gateway's, and may have something in it: that a model has a call does not
    mean that it is at it."""

    @property
    def where(self) -> Where:
        return self.facts.where

    @property
    def backend(self) -> str:
        return self.service.name if self.service is not None else ""


_NOWHERE: Final = Found(Facts())


class Lookout:
    """Of one gateway."""

    def __init__(self, catalogues: Catalogues, recent: Recent, filters_of: FiltersOf) -> None:
        self._catalogues = catalogues
        self._recent = recent
        self._filters_of = filters_of

    def find(self, client: ClientView, tool: str) -> Found:
        route = self._catalogues.now(client).route("tools", tool)
        if route is None:
            route = self._catalogues.lost_route(client, "tools", tool)
        if route is None:
            return _NOWHERE
        service = service_of(route.handle)
        if service.config.transport == "capability":
            # It would come back to where it came from.
            return _NOWHERE
        state, retry_at_s = _state(service, client)
        facts = Facts(
            where=where_is(service.config, self._filters_of(tool)),
            listed=True,
            state=state,
            retry_at_s=retry_at_s,
            waits_ms=service.queue.oldest_s * 1000,
            memory_until_s=self._recent.memory_until_s(tool),
            unreached_until_s=self._recent.unreached_until_s(service.name, tool),
        )
        models = bool(service.config.models)
        return Found(facts, service, models and (_is_used(service, client) or not self._recent.is_warm(tool)))


def _is_used(service: Service, client: ClientView) -> bool:
    slot = service.existing_slot(client)
    return slot is not None and slot.connection is not None and slot.connection.working > 0


def _state(service: Service, client: ClientView) -> tuple[State, float]:
    """And until when a call fails at once."""
    slot = service.existing_slot(client)
    if slot is None:
        return "startable", 0.0
    if slot.connection is not None and not slot.connection.closed:
        return "open", 0.0
    if slot.error is not None and not slot.opening:
        # One that is not even in the catalogue is waited for until it is tried again by itself.
        return "down", slot.next_try_s if slot.down else slot.retry_at_s
    return "startable", 0.0
