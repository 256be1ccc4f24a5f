"""Counts what the pipeline says happened, and writes it down for Prometheus when somebody asks.

Subscribes to `Events`; the admin listener renders. Between two scrapes nothing runs. Every table is bounded: names
of tools come from servers, so a server with ten thousand of them must not cost the gateway its memory. What finds
no room any more is counted under `other`, so the sums stay right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final

from tidegate import __version__
from tidegate.control.telemetry.exposition import Exposition
from tidegate.control.telemetry.process import write_process
from tidegate.events import BackendState, Event, Events, ExchangeDone
from tidegate.protocol.methods import METHODS

MAX_SERIES: Final = 1000
"""Label sets of the request counter. About 200 bytes each here, and a line each in every scrape."""
MAX_HISTOGRAMS: Final = 64
"""Label sets of the duration histogram; each is worth as many lines as there are buckets."""
MAX_LABEL_CHARS: Final = 200

OTHER: Final = "other"

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds: from a call that stays on the box to the default `call_timeout_s`."""

_NAMED_BY_TOOL: Final = frozenset(("tools/call", "prompts/get"))
"""Methods whose name becomes a label. Resource URIs do not: a template has endlessly many."""

_REQUEST_LABELS: Final = ("backend", "method", "tool", "era", "transport", "outcome")
_DURATION_LABELS: Final = ("backend", "method")

Statistics = Mapping[str, object]


class Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        """Not cumulative; the last one is for everything above the highest bound."""
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class Metrics:
    """Counters of one gateway."""

    def __init__(self, events: Events) -> None:
        self._requests: dict[tuple[str, ...], int] = {}
        self._durations: dict[tuple[str, ...], Histogram] = {}
        self._transitions: dict[tuple[str, ...], int] = {}
        events.subscribe(self.record)

    def record(self, event: Event) -> None:
        """Counts one event. On the request path: a few dictionary look-ups."""
        if isinstance(event, ExchangeDone):
            self._exchange_done(event)
        elif isinstance(event, BackendState):
            key = (event.backend, event.state)
            if key in self._transitions or len(self._transitions) < MAX_SERIES:
                self._transitions[key] = self._transitions.get(key, 0) + 1

    def _exchange_done(self, event: ExchangeDone) -> None:
        # A client may send any method; only those with a row are worth a series.
        method = event.method if event.method in METHODS else OTHER
        tool = event.name[:MAX_LABEL_CHARS] if method in _NAMED_BY_TOOL else ""
        era = "stateless" if event.stateless else "session"
        key = (event.backend, method, tool, era, event.transport, event.outcome)
        count = self._requests.get(key)
        if count is None and len(self._requests) >= MAX_SERIES:
            key = (OTHER, OTHER, OTHER, OTHER, OTHER, event.outcome)
            count = self._requests.get(key)
        self._requests[key] = 1 if count is None else count + 1
        place = (event.backend, method)
        histogram = self._durations.get(place)
        if histogram is None:
            if len(self._durations) >= MAX_HISTOGRAMS:
                place = (OTHER, OTHER)
            histogram = self._durations.setdefault(place, Histogram())
        histogram.observe(event.duration_s)

    def render(self, daemon_statistics: Statistics) -> str:
        """Everything, as text format 0.0.4. `daemon_statistics` is what `Daemon.statistics()` returned just now."""
        page = Exposition()
        page.family("tidegate_build_info", "gauge", "Always 1; the version stands in the label.")
        page.sample("tidegate_build_info", 1, [("version", __version__)])
        self._write_requests(page)
        self._write_durations(page)
        self._write_transitions(page)
        _write_gateway(page, daemon_statistics)
        _write_backends(page, daemon_statistics)
        write_process(page)
        return page.text()

    def _write_requests(self, page: Exposition) -> None:
        name = "tidegate_requests_total"
        page.family(name, "counter", "Requests that ended; outcome is ok, error (the server's own) or a cause.")
        for key in sorted(self._requests):
            page.sample(name, self._requests[key], list(zip(_REQUEST_LABELS, key, strict=True)))

    def _write_durations(self, page: Exposition) -> None:
        name = "tidegate_request_duration_seconds"
        page.family(name, "histogram", "From a request's arrival to the end of its answer, in seconds.")
        for key in sorted(self._durations):
            histogram = self._durations[key]
            labels = list(zip(_DURATION_LABELS, key, strict=True))
            so_far = 0
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), histogram.counts, strict=True):
                so_far += count
                page.sample(f"{name}_bucket", so_far, [*labels, ("le", bound)])
            page.sample(f"{name}_sum", histogram.sum_s, labels)
            page.sample(f"{name}_count", so_far, labels)

    def _write_transitions(self, page: Exposition) -> None:
        name = "tidegate_backend_transitions_total"
        page.family(name, "counter", "How often a connection to a backend became ready, or failed or was lost (down).")
        for key in sorted(self._transitions):
            page.sample(name, self._transitions[key], [("backend", key[0]), ("state", key[1])])


def backend_up(backend: Statistics) -> bool:
    """Whether a backend can be used as far as is known: one that nobody has needed yet counts as up."""
    states = [str(slot.get("state")) for slot in _dicts(backend.get("slots"))]
    return "ready" in states or "down" not in states


def _write_gateway(page: Exposition, statistics: Statistics) -> None:
    page.single("tidegate_uptime_seconds", "gauge", "Since the gateway started.", _number(statistics.get("uptime_s")))
    page.single("tidegate_sessions", "gauge", "Open sessions of clients.", _number(statistics.get("sessions")))
    page.single(
        "tidegate_listeners", "gauge", "Open subscription streams of clients.", _number(statistics.get("listeners"))
    )
    page.single("tidegate_in_flight_requests", "gauge", "Requests being served.", _number(statistics.get("in_flight")))
    suspended = statistics.get("suspended")
    if isinstance(suspended, Mapping):
        help_text = "Calls of session servers that wait for answers of stateless clients."
        page.single("tidegate_suspended_calls", "gauge", help_text, _number(suspended.get("calls")))
        help_text = "Most calls that may wait so."
        page.single("tidegate_suspended_calls_limit", "gauge", help_text, _number(suspended.get("limit")))
    connections = statistics.get("connections")
    if isinstance(connections, Mapping):
        for field, name, kind, help_text in (
            ("open", "tidegate_connections", "gauge", "Open connections of clients."),
            ("limit", "tidegate_connections_limit", "gauge", "Most connections that may be open."),
            ("served_total", "tidegate_connections_served_total", "counter", "Connections that were let in."),
            ("refused_total", "tidegate_connections_refused_total", "counter", "Connections over the limit."),
        ):
            page.single(name, kind, help_text, _number(connections.get(field)))


def _write_backends(page: Exposition, statistics: Statistics) -> None:
    backends = _dicts(statistics.get("backends"))
    page.family("tidegate_backend_up", "gauge", "0 when it cannot be reached; 1 also before it is first needed.")
    for backend in backends:
        page.sample("tidegate_backend_up", int(backend_up(backend)), _named(backend))
    page.family("tidegate_backend_slots", "gauge", "Connections to a backend, by state.")
    for backend in backends:
        counts = dict.fromkeys(("ready", "starting", "down", "idle"), 0)
        for slot in _dicts(backend.get("slots")):
            state = str(slot.get("state"))
            counts[state] = counts.get(state, 0) + 1
        for state, count in counts.items():
            page.sample("tidegate_backend_slots", count, [*_named(backend), ("state", state)])
    for field, name, help_text in (
        ("own_connections", "tidegate_backend_own_connections", "Connections that serve single clients."),
        ("max_connections", "tidegate_backend_own_connections_limit", "Most connections that may serve single ones."),
    ):
        page.family(name, "gauge", help_text)
        for backend in backends:
            page.sample(name, _number(backend.get(field)), _named(backend))
    page.family("tidegate_backend_in_flight_requests", "gauge", "Requests that a backend has not answered yet.")
    for backend in backends:
        total = sum(_number(slot.get("in_flight")) for slot in _dicts(backend.get("slots")))
        page.sample("tidegate_backend_in_flight_requests", total, _named(backend))
    children = 0
    for backend in backends:
        for slot in _dicts(backend.get("slots")):
            link = slot.get("link")
            children += isinstance(link, Mapping) and link.get("running") is True
    page.single("tidegate_children", "gauge", "Server processes that run as children of the gateway.", children)


def _named(backend: Statistics) -> list[tuple[str, str]]:
    return [("backend", str(backend.get("backend")))]


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
