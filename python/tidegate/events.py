"""What happened: the one-way seam from the pipeline to the control loops.

The pipeline publishes; `control/` subscribes. Publishing never waits and never fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds for Prometheus, in seconds: from a call that stays on the box to the default `call_timeout_s`."""

_STEPS: Final = ("1", "1.25", "1.6", "2", "2.5", "3.2", "4", "5", "6.3", "8")
_FINE_S: Final = (float(f"{step}e{decade}") for decade in range(-4, 3) for step in _STEPS)

DURATION_BOUNDS_S: Final = tuple(sorted({*(bound for bound in _FINE_S if bound < 400), *BUCKETS_S}))
"""All upper bounds by which durations are counted, in seconds: 0.1 ms to 320 s, ten a decade."""

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
    """`ok`, `tool_error` (the result says it is one), `refused` (by a filter), `error` (the server's own) or the slug
    of a tidegate error."""
    duration_s: float
    filter: str = ""
    """Whose doing the outcome is, if it is a filter's."""


@dataclass(frozen=True, slots=True)
class ExchangesDone:
    """Several requests that ended, alike in all but how long they took: what the relay did by itself."""

    method: str
    name: str
    backend: str
    transport: str
    stateless: bool
    principal: str
    outcomes: dict[str, int]
    """Outcome → how many."""
    counts: list[int]
    """How many by duration: at or below each of `DURATION_BOUNDS_S` and above the one before, the last above all."""
    sum_s: float


@dataclass(frozen=True, slots=True)
class CallsEnded:
    """The same requests one by one, for whoever lists them; who counts has had them as `ExchangesDone`."""

    calls: list[tuple[float, ExchangeDone]]
    """Each with how long ago it ended, in seconds: the oldest first."""
    lost: int
    """How many more there were than could be kept."""


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


@dataclass(frozen=True, slots=True)
class FilterJudged:
    """A filter said what becomes of a call or a result, or failed to."""

    filter: str
    which: str
    """`request` or `result`."""
    verdict: str
    """`pass`, `change`, `refuse`, `ask` or `failed`."""
    tool: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class PluginActed:
    """A plugin did something beyond its own memory, or tried to."""

    plugin: str
    what: str
    """`http`, `call`, `arm` or `disarm`."""
    target: str
    """Method and URL, a tool's name, or the key that was armed."""
    caller: str
    """The principal for whom."""
    outcome: str
    """`ok`, or the slug of a tidegate error."""
    duration_s: float


@dataclass(frozen=True, slots=True)
class CapabilityServed:
    """A call of a capability ended, other than by its client."""

    capability: str
    tool: str
    """Whose answer it is, by its name in the catalogue; empty where there is none."""
    backend: str
    where: str
    """`local`, `cloud`, `unknown`, or empty where there is no answer."""
    why: str
    """As of `pipeline/capabilities/decision.py`: why this tool; empty where there is no answer."""
    outcome: str
    """`ok`, `unsure`, `tool_error`, or the slug of a tidegate error."""
    duration_s: float
    attempts: int


Event = (
    CapabilityServed | PluginActed | FilterJudged | ExchangeDone | ExchangesDone | CallsEnded | BackendState | Refused
)


class Events:
    """A synchronous bus. A subscriber that raises is logged, and harms neither the others nor the publisher."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Event], None]] = []

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Callable[[Event], None]) -> None:
        self._subscribers.remove(subscriber)

    def publish(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                _log.exception("subscriber_failed event=%s", type(event).__name__)
