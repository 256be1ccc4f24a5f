"""Counts what the pipeline says happened, and writes it down when somebody asks.

Subscribes to `Events`; the admin listener renders. Between two scrapes nothing runs. Every table is bounded: names
of tools come from servers, so a server with ten thousand of them must cost neither the gateway its memory nor the
other servers their place. What finds no room any more is counted under `other`, so the sums stay right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegate import __version__
from tidegate.control.telemetry.exposition import Exposition
from tidegate.control.telemetry.gauges import Statistics, write_backends, write_gateway, write_plugins, write_relay
from tidegate.control.telemetry.latencies import Histogram
from tidegate.control.telemetry.process import write_process
from tidegate.events import (
    BackendState,
    CapabilityServed,
    Event,
    Events,
    ExchangeDone,
    ExchangesDone,
    FilterJudged,
    PluginActed,
    Refused,
)
from tidegate.protocol.methods import METHODS

MAX_SERIES: Final = 1000
"""Label sets of the request counter. About 300 bytes each here, and a line each in every scrape."""
MAX_HISTOGRAMS: Final = 256
"""Label sets of the duration histogram; each is worth as many lines as there are buckets, and 700 bytes here."""
MAX_TOOLS: Final = 50
"""Names of one backend that become labels: those that are called first."""
MAX_LABEL_CHARS: Final = 200

OTHER: Final = "other"

_RELAYABLE: Final = frozenset(("tools/call", "prompts/get", "resources/read"))
_NAMED_BY_TOOL: Final = frozenset(("tools/call", "prompts/get"))
"""Methods whose name becomes a label. Resource URIs do not: a template has endlessly many."""

_REQUEST_LABELS: Final = ("backend", "method", "tool", "era", "transport", "outcome")
_DURATION_LABELS: Final = ("backend", "method", "tool", "era")
_CANARY: Final = "canary"
"""The transport of the daemon's calls to itself, which are nobody's requests."""


class _Series:
    """Requests of one label set."""

    __slots__ = ("count", "durations")

    def __init__(self, durations: Histogram) -> None:
        self.count = 0
        self.durations = durations
        """Shared by all outcomes and transports."""


class Metrics:
    """Counters of one gateway."""

    def __init__(self, events: Events) -> None:
        self._requests: dict[tuple[str, ...], _Series] = {}
        self._durations: dict[tuple[str, ...], Histogram] = {}
        self.relayed = 0
        """Requests that the relay did by itself."""
        self.relayable = 0
        """Requests of the methods that it does, whoever did them."""
        self._tools: dict[str, set[str]] = {}
        self._transitions: dict[tuple[str, ...], int] = {}
        self._refused: dict[tuple[str, ...], int] = {}
        self._verdicts: dict[tuple[str, ...], int] = {}
        self._filters: dict[str, Histogram] = {}
        self._acts: dict[tuple[str, ...], int] = {}
        self._served: dict[tuple[str, ...], int] = {}
        self._serving: dict[tuple[str, ...], Histogram] = {}
        events.subscribe(self.record)

    def record(self, event: Event) -> None:
        """Counts one event. On the request path: a few dictionary look-ups."""
        if isinstance(event, ExchangeDone):
            if event.transport != _CANARY:
                self._exchange_done(event)
        elif isinstance(event, ExchangesDone):
            self._exchanges_done(event)
        elif isinstance(event, BackendState):
            _count(self._transitions, (event.backend, event.state))
        elif isinstance(event, Refused):
            _count(self._refused, (event.transport, event.reason))
        elif isinstance(event, FilterJudged):
            self._filter_judged(event)
        elif isinstance(event, PluginActed):
            _count(self._acts, (event.plugin, event.what, event.outcome))
        elif isinstance(event, CapabilityServed):
            self._capability_served(event)

    def _filter_judged(self, event: FilterJudged) -> None:
        _count(self._verdicts, (event.filter, event.which, event.verdict))
        durations = self._filters.get(event.filter)
        if durations is None:
            # Names come from the configuration, but there may be many of those in time.
            name = event.filter if len(self._filters) < MAX_HISTOGRAMS else OTHER
            durations = self._filters.setdefault(name, Histogram())
        durations.observe(event.duration_s)

    def _capability_served(self, event: CapabilityServed) -> None:
        _count(self._served, (event.capability, event.where, event.why, event.outcome))
        place = (event.capability, event.where)
        durations = self._serving.get(place)
        if durations is None:
            if len(self._serving) >= MAX_HISTOGRAMS:
                place = (OTHER, OTHER)
            durations = self._serving.setdefault(place, Histogram())
        durations.observe(event.duration_s)

    def _exchange_done(self, event: ExchangeDone) -> None:
        series = self._series_of(event, event.outcome)
        series.count += 1
        self.relayable += event.method in _RELAYABLE
        series.durations.observe(event.duration_s)

    def _exchanges_done(self, event: ExchangesDone) -> None:
        series = None
        for outcome, count in event.outcomes.items():
            series = self._series_of(event, outcome)
            series.count += count
            self.relayed += count
            self.relayable += count
        if series is not None:
            # Whatever their outcomes, they share it.
            series.durations.add(event.counts, event.sum_s)

    def _series_of(self, event: ExchangeDone | ExchangesDone, outcome: str) -> _Series:
        # A client may send any method; only those with a row are worth a series.
        method = event.method if event.method in METHODS else OTHER
        tool = event.name if method in _NAMED_BY_TOOL else ""
        era = "stateless" if event.stateless else "session"
        key = (event.backend, method, tool, era, event.transport, outcome)
        return self._requests.get(key) or self._series(*key)

    def _series(self, backend: str, method: str, tool: str, era: str, transport: str, outcome: str) -> _Series:
        """Room for a label set that is new, or too many."""
        if tool:
            tool = tool[:MAX_LABEL_CHARS]
            tools = self._tools.setdefault(backend, set())
            if tool not in tools:
                if len(tools) >= MAX_TOOLS:
                    tool = OTHER
                else:
                    tools.add(tool)
        key = (backend, method, tool, era, transport, outcome)
        if key not in self._requests and len(self._requests) >= MAX_SERIES:
            backend = method = tool = era = OTHER
            key = (OTHER, OTHER, OTHER, OTHER, OTHER, outcome)
        series = self._requests.get(key)
        if series is None:
            series = self._requests[key] = _Series(self._histogram(backend, method, tool, era))
        return series

    def _histogram(self, *place: str) -> Histogram:
        if place not in self._durations and len(self._durations) >= MAX_HISTOGRAMS:
            place = (OTHER, OTHER, OTHER, OTHER)
        histogram = self._durations.get(place)
        if histogram is None:
            histogram = self._durations[place] = Histogram()
        return histogram

    def render(self, daemon_statistics: Statistics) -> str:
        """Everything, as text format 0.0.4. `daemon_statistics` is what `Daemon.statistics()` returned just now."""
        page = Exposition()
        page.family("tidegate_build_info", "gauge", "Always 1; the version stands in the label.")
        page.sample("tidegate_build_info", 1, [("version", __version__)])
        self._write_requests(page)
        self._write_durations(page)
        self._write_rest(page)
        if self._filters:
            self._write_filters(page)
        if self._acts:
            self._write_acts(page)
        if self._served:
            self._write_served(page)
        write_gateway(page, daemon_statistics)
        write_relay(page, daemon_statistics)
        write_backends(page, daemon_statistics)
        write_plugins(page, daemon_statistics)
        write_process(page)
        return page.text()

    def rows(self) -> Iterator[dict[str, object]]:
        """The same counts as plain data: a row for each duration histogram, with the outcomes that are in it.

        `latency` has pairs (index into `BOUNDS_S`, observations), without those that are empty.
        """
        outcomes: dict[int, dict[str, int]] = {}
        for key, series in self._requests.items():
            found = outcomes.setdefault(id(series.durations), {})
            found[key[-1]] = found.get(key[-1], 0) + series.count
        for key, histogram in self._durations.items():
            yield {
                **dict(zip(_DURATION_LABELS, key, strict=True)),
                "outcomes": outcomes.get(id(histogram), {}),
                "latency": [[at, count] for at, count in enumerate(histogram.counts) if count],
                "sum_s": round(histogram.sum_s, 6),
            }

    def refused(self) -> int:
        """What was turned away before it became a request."""
        return sum(self._refused.values())

    def _write_requests(self, page: Exposition) -> None:
        name = "tidegate_requests_total"
        page.family(
            name,
            "counter",
            "Requests that ended; outcome is ok, tool_error (the result says so), error (the server's own) or a cause.",
        )
        for key in sorted(self._requests):
            page.sample(name, self._requests[key].count, list(zip(_REQUEST_LABELS, key, strict=True)))

    def _write_durations(self, page: Exposition) -> None:
        name = "tidegate_request_duration_seconds"
        page.family(name, "histogram", "From a request's arrival to the end of its answer, in seconds.")
        for key in sorted(self._durations):
            _write_histogram(page, name, self._durations[key], list(zip(_DURATION_LABELS, key, strict=True)))

    def _write_filters(self, page: Exposition) -> None:
        name = "tidegate_filter_verdicts_total"
        page.family(
            name, "counter", "What filters said of calls (request) and results: pass, change, refuse, ask, failed."
        )
        for key in sorted(self._verdicts):
            labels = list(zip(("filter", "which", "verdict"), key, strict=True))
            page.sample(name, self._verdicts[key], labels)
        name = "tidegate_filter_duration_seconds"
        page.family(name, "histogram", "How long a filter took over one call or result, its turn included, in seconds.")
        for one in sorted(self._filters):
            _write_histogram(page, name, self._filters[one], [("filter", one)])

    def _write_acts(self, page: Exposition) -> None:
        name = "tidegate_plugin_acts_total"
        page.family(name, "counter", "What plugins did beyond their own memory, and how it went.")
        for key in sorted(self._acts):
            page.sample(name, self._acts[key], list(zip(("plugin", "what", "outcome"), key, strict=True)))

    def _write_served(self, page: Exposition) -> None:
        name = "tidegate_capability_calls_total"
        page.family(name, "counter", "Calls of capabilities: where they were answered, and why there.")
        for key in sorted(self._served):
            labels = list(zip(("capability", "where", "why", "outcome"), key, strict=True))
            page.sample(name, self._served[key], labels)
        name = "tidegate_capability_duration_seconds"
        page.family(name, "histogram", "From a capability's call to its answer, all attempts included, in seconds.")
        for place in sorted(self._serving):
            labels = list(zip(("capability", "where"), place, strict=True))
            _write_histogram(page, name, self._serving[place], labels)

    def _write_rest(self, page: Exposition) -> None:
        name = "tidegate_refused_total"
        page.family(name, "counter", "Messages turned away before they became a request, by what was wrong with them.")
        for key in sorted(self._refused):
            page.sample(name, self._refused[key], [("transport", key[0]), ("reason", key[1])])
        name = "tidegate_backend_transitions_total"
        page.family(name, "counter", "How often a connection to a backend became ready, or failed or was lost (down).")
        for key in sorted(self._transitions):
            page.sample(name, self._transitions[key], [("backend", key[0]), ("state", key[1])])


def _write_histogram(page: Exposition, name: str, durations: Histogram, labels: list[tuple[str, str]]) -> None:
    count = 0
    for bound, count in durations.cumulative():
        page.sample(f"{name}_bucket", count, [*labels, ("le", bound)])
    page.sample(f"{name}_sum", durations.sum_s, labels)
    page.sample(f"{name}_count", count, labels)


def _count(table: dict[tuple[str, ...], int], key: tuple[str, ...]) -> None:
    if key in table or len(table) < MAX_SERIES:
        table[key] = table.get(key, 0) + 1
