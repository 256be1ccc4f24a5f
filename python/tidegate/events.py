"""What happened: the one-way seam from the pipeline to the control loops.

The pipeline publishes; `control/` subscribes. Publishing never waits and never fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger("tidegate.events")


@dataclass(frozen=True, slots=True)
class ExchangeDone:
    """A client's request ended."""

    method: str
    name: str
    """Tool, prompt or resource as the client named it; empty for none or when it is unknown."""
    backend: str
    transport: str
    stateless: bool
    principal: str
    outcome: str
    """`ok`, `tool_error` (the result says it is one), `error` (the server's own) or the slug of a tidegate error."""
    duration_s: float


@dataclass(frozen=True, slots=True)
class BackendState:
    """A slot of a backend opened, failed, was lost or was stopped."""

    backend: str
    slot: str
    """Whom it serves, as `Slot.serves` has it."""
    state: str
    """As `Slot.state`: `ready`, `down`, `parked` or `idle`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Something a client sent was turned away before it became a request: no token, no JSON, headers that differ."""

    transport: str
    reason: str
    """The slug of a tidegate error."""


Event = ExchangeDone | BackendState | Refused


class Events:
    """A synchronous bus. A subscriber that raises is logged, and harms neither the others nor the publisher."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Event], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        self._subscribers.append(subscriber)

    def publish(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                _log.exception("subscriber_failed event=%s", type(event).__name__)
