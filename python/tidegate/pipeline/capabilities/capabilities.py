"""The capabilities of one gateway: what servings share, what is listed, and who is told when that changes.

Composed by `serve.py`, which also tells it when a catalogue may have become another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Capability, Filter, Limits, Power
from tidegate.errors import CallTooDeep, TidegateError, Unauthorized
from tidegate.events import CapabilityServed, Events
from tidegate.pipeline.capabilities.attempt import client_of_attempts
from tidegate.pipeline.capabilities.data_class import must_stay, read_classes
from tidegate.pipeline.capabilities.decision import Ended
from tidegate.pipeline.capabilities.entries import entry_of, has_output
from tidegate.pipeline.capabilities.facts import Found, Lookout, PowerState
from tidegate.pipeline.capabilities.hearing import Hearing, unheard
from tidegate.pipeline.capabilities.recent import Recent
from tidegate.pipeline.capabilities.serving import Serving
from tidegate.pipeline.catalogues import Catalogues, service_of
from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.exchange import UNREAD, ClientView, Exchange
from tidegate.pipeline.inner_call import MOST_DEEP
from tidegate.pipeline.route.catalog import Route


class _Open:
    """What is open: a link, as it was listed."""

    __slots__ = ("backend", "changed", "listed")

    def __init__(self, backend: Backend, changed: Callable[[], None]) -> None:
        self.backend = backend
        self.changed = changed
        """Says that it is to be listed again."""
        self.listed: dict[str, bytes] = {}
        """By name."""


class Capabilities:
    """Implements `Bench` for servings, and `Host` for the link."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        events: Events,
        catalogues: Catalogues,
        filters_of: Callable[[str], Iterable[Filter]],
        dispatch: Callable[[Exchange], None],
        power: Power,
    ) -> None:
        self.clock = clock
        self._power: PowerState | None = None
        self._power_settings = power
        self.dispatch = dispatch
        self._limits = limits
        self._events = events
        self._catalogues = catalogues
        self._recent = Recent(clock)
        self._lookout = Lookout(catalogues, self._recent, filters_of)
        self._open: dict[object, _Open] = {}
        """By link. One; after a reload the one before, too, until its calls are over."""
        self._soon = False

    def take_up(self, limits: Limits, power: Power) -> None:
        self._limits = limits
        if power != self._power_settings:
            self._power_settings, self._power = power, None
        self._recent.forget()
        self.catalogue_changed()

    # -- for servings -------------------------------------------------------------------------------------------

    @property
    def power(self) -> PowerState:
        if self._power is None:
            from tidegate.models.power import PowerWatch

            self._power = PowerWatch(self._power_settings, self.clock)
        return self._power

    @property
    def depth(self) -> int:
        return self._limits.depth

    def find(self, client: ClientView, tool: str) -> Found:
        return self._lookout.find(client, tool)

    def hear(self, client: ClientView, tools: Sequence[str], most_s: float, done: Callable[[], None]) -> bool:
        services = unheard(self._catalogues.services, client, tools)
        if services:
            Hearing(services, client, most_s, done)
        return bool(services)

    def begun(self, backend: str, tool: str, most_s: float) -> None:
        self._recent.begun(backend, tool, most_s)

    def ended(self, backend: str, tool: str, how: Ended) -> None:
        self._recent.ended(backend, tool, how)

    def lists_output(self, capability: str) -> bool:
        entries = (one.listed.get(capability) for one in self._open.values())
        return any(entry is not None and has_output(entry) for entry in entries)

    def publish(self, event: CapabilityServed) -> None:
        self._events.publish(event)

    # -- for the link -------------------------------------------------------------------------------------------

    def serve(
        self,
        capability: Capability,
        client: ClientView,
        message: bytes,
        envelope: Envelope,
        *,
        token: bytes,
        progressed: Callable[[bytes], None] | None,
        deadline_s: float,
        answered: Callable[[bytes], None],
        failed: Callable[[TidegateError], None],
    ) -> Serving:
        """A call of it by this client, which is still to be started. Raises: TidegateError."""
        principal = client.caller
        if principal is None:
            raise Unauthorized("nobody is known in whose name this could be served")
        if client.depth >= MOST_DEEP:
            raise CallTooDeep(
                f"`{capability.name}` is not served: {MOST_DEEP} calls stand one behind the other already"
            )
        classes = read_classes(message, envelope, capability.data_class)
        stays_for = must_stay(classes, capability.stay)
        if client.stays and not stays_for:
            # Whoever calls it for data that stay has said so in another way.
            stays_for = classes[0] if classes else "unnamed"
        span = envelope.arguments_span
        return Serving(
            self,
            capability,
            principal,
            client_of_attempts(principal, capability.name, client.depth + 1, stays=bool(stays_for)),
            message[span[0] : span[1]] if span is not None else b"{}",
            classes,
            stays_for,
            token=token,
            progressed=progressed,
            deadline_s=deadline_s,
            answered=answered,
            failed=failed,
        )

    def entries(self, link: object) -> list[bytes]:
        found = self._open[link]
        found.listed = self._entries(found.backend.capabilities)
        return list(found.listed.values())

    def opened(self, link: object, backend: Backend, changed: Callable[[], None]) -> None:
        self._open[link] = _Open(backend, changed)

    def closed(self, link: object) -> None:
        self._open.pop(link, None)

    def statistics(self) -> dict[str, object] | None:
        """None where there are no capabilities."""
        if not self._open:
            return None
        return {"power": self._power.statistics() if self._power is not None else None, **self._recent.statistics()}

    # -- what changes -------------------------------------------------------------------------------------------

    def reached(self, backend: str) -> None:
        """It was connected."""
        self._recent.reached(backend)

    def catalogue_changed(self) -> None:
        """Some backend's part of it may have: looked at once, when whatever happens now has happened."""
        if self._open and not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._soon = False
        for one in list(self._open.values()):
            if self._entries(one.backend.capabilities) != one.listed:
                one.changed()

    def _entries(self, capabilities: Sequence[Capability]) -> dict[str, bytes]:
        view = self._catalogues.now(UNREAD)
        found: dict[str, bytes] = {}
        for capability in capabilities:
            routes = [view.route("tools", tool) for tool in capability.order]
            entry = entry_of(capability, [route.raw for route in routes if route is not None and _is_other(route)])
            if entry is not None:
                found[capability.name] = entry
        return found


def _is_other(route: Route) -> bool:
    """Not a capability itself."""
    return service_of(route.handle).config.transport != "capability"
