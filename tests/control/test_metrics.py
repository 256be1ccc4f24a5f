"""What happened, as Prometheus reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.telemetry.exposition import Exposition, number
from tidegate.control.telemetry.latencies import BOUNDS_S, BUCKETS_S
from tidegate.control.telemetry.metrics import MAX_HISTOGRAMS, MAX_SERIES, MAX_TOOLS, OTHER, Metrics
from tidegate.events import (
    BackendState,
    CapabilityServed,
    Event,
    Events,
    ExchangeDone,
    FilterJudged,
    PluginActed,
    Refused,
)

Labels = frozenset[tuple[str, str]]

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", re.DOTALL)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')

STATISTICS: dict[str, object] = {
    "uptime_s": 12.5,
    "sessions": 2,
    "listeners": 1,
    "in_flight": 3,
    "configuration": {"generation": 4, "error": "tidegate.toml:1: x: unknown key"},
    "suspended": {"calls": 6, "limit": 256},
    "connections": {"open": 4, "limit": 2048, "served_total": 40, "refused_total": 5, "refused_open": 0},
    "backends": [
        {
            "backend": "files",
            "max_connections": 32,
            "own_connections": 5,
            "queued": 8,
            "slots": [
                {
                    "state": "ready",
                    "in_flight": 2,
                    "restarts": 3,
                    "link": {"pid": 7, "running": True, "memory_bytes": 4096},
                },
                {"state": "down", "in_flight": 0, "link": {}},
            ],
        },
        {"backend": "gone", "slots": [{"state": "down", "in_flight": 0, "link": {}}]},
        {"backend": "unused", "slots": []},
    ],
}


class Page:
    """A strict reading of text format 0.0.4: every sample belongs to the family announced just above it."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\n")
        self.kinds: dict[str, str] = {}
        self.helps: dict[str, str] = {}
        self.samples: dict[tuple[str, Labels], float] = {}
        family = ""
        for line in text[:-1].split("\n"):
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                assert family not in self.helps
                self.helps[family] = line.split(" ", 3)[3]
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == family
                self.kinds[name] = kind
            else:
                self._sample(family, line)

    def _sample(self, family: str, line: str) -> None:
        match = _LINE.fullmatch(line)
        assert match is not None, line
        suffixes = ("_bucket", "_sum", "_count") if self.kinds[family] == "histogram" else ("",)
        assert match[1] in [family + suffix for suffix in suffixes]
        inside = match[2] or ""
        labels = _LABEL.findall(inside)
        assert "".join(f'{name}="{value}",' for name, value in labels).rstrip(",") == inside.rstrip(",")
        key = match[1], frozenset((name, _unescaped(value)) for name, value in labels)
        assert key not in self.samples
        self.samples[key] = float(match[3])

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def of(self, name: str) -> dict[Labels, float]:
        return {labels: value for (found, labels), value in self.samples.items() if found == name}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


def done(
    name: str = "echo",
    *,
    method: str = "tools/call",
    outcome: str = "ok",
    duration_s: float = 0.004,
    backend: str = "b",
    transport: str = "http",
) -> ExchangeDone:
    return ExchangeDone(
        method=method,
        name=name,
        backend=backend,
        transport=transport,
        stateless=True,
        principal="anonymous",
        outcome=outcome,
        duration_s=duration_s,
    )


def rendered(events: Iterable[Event]) -> Page:
    bus = Events()
    metrics = Metrics(bus)
    for event in events:
        bus.publish(event)
    return Page(metrics.render(STATISTICS))


def test_requests_are_counted_by_what_they_were() -> None:
    page = rendered([done(), done(), done(outcome="upstream_timeout"), done(method="tools/list", name="", backend="")])
    labels = {"backend": "b", "method": "tools/call", "tool": "echo", "era": "stateless", "transport": "http"}
    assert page.value("tidegate_requests_total", **labels, outcome="ok") == 2
    assert page.value("tidegate_requests_total", **labels, outcome="upstream_timeout") == 1
    assert len(page.of("tidegate_requests_total")) == 3


def test_durations_are_cumulative_and_end_at_infinity() -> None:
    page = rendered(done(duration_s=seconds) for seconds in (0.0005, 0.001, 0.004, 500.0))
    place = {"backend": "b", "method": "tools/call", "tool": "echo", "era": "stateless"}
    name = "tidegate_request_duration_seconds"
    assert page.kinds[name] == "histogram"
    buckets = [page.value(f"{name}_bucket", **place, le=str(bound)) for bound in (*BUCKETS_S, "+Inf")]
    assert buckets == [2, 2, *[3] * (len(BUCKETS_S) - 2), 4]
    assert page.value(f"{name}_count", **place) == 4
    assert page.value(f"{name}_sum", **place) == pytest.approx(500.0055)


def test_names_without_end_cost_no_memory_and_are_still_counted() -> None:
    page = rendered(done(f"tool{number}") for number in range(MAX_TOOLS + 500))
    for name in ("tidegate_requests_total", "tidegate_request_duration_seconds_count"):
        series = page.of(name)
        assert len(series) == MAX_TOOLS + 1
        assert sum(series.values()) == MAX_TOOLS + 500
        assert [value for labels, value in series.items() if ("tool", OTHER) in labels] == [500]


def test_one_server_with_many_tools_leaves_the_others_their_names() -> None:
    many = [done(f"tool{number}") for number in range(5000)]
    page = rendered([*many, done("search", backend="small")])
    assert page.value(
        "tidegate_requests_total",
        backend="small",
        method="tools/call",
        tool="search",
        era="stateless",
        transport="http",
        outcome="ok",
    )


def test_label_sets_are_bounded() -> None:
    page = rendered(done(backend=f"b{number}") for number in range(MAX_SERIES + 500))
    series = page.of("tidegate_requests_total")
    assert len(series) == MAX_SERIES + 1
    assert sum(series.values()) == MAX_SERIES + 500
    assert [value for labels, value in series.items() if ("tool", OTHER) in labels] == [500]


def test_histograms_are_bounded() -> None:
    page = rendered(done(backend=f"b{number}") for number in range(MAX_HISTOGRAMS * 2))
    counts = page.of("tidegate_request_duration_seconds_count")
    assert len(counts) == MAX_HISTOGRAMS + 1
    assert sum(counts.values()) == MAX_HISTOGRAMS * 2


def test_the_rows_for_a_watcher_say_the_same_as_the_page() -> None:
    bus = Events()
    metrics = Metrics(bus)
    for event in (done(duration_s=0.003), done(outcome="tool_error", transport="tcp", duration_s=400.0)):
        bus.publish(event)
    (row,) = metrics.rows()
    assert row["backend"] == "b"
    assert row["tool"] == "echo"
    assert row["outcomes"] == {"ok": 1, "tool_error": 1}
    assert row["latency"] == [[BOUNDS_S.index(0.0032), 1], [len(BOUNDS_S), 1]]


def test_the_daemons_calls_to_itself_are_nobodys_requests() -> None:
    assert rendered([done(transport="canary")]).of("tidegate_requests_total") == {}


def test_what_was_turned_away_is_counted_by_reason() -> None:
    page = rendered([Refused("http", "unauthorized"), Refused("http", "unauthorized"), Refused("tcp", "not_json")])
    assert page.value("tidegate_refused_total", transport="http", reason="unauthorized") == 2
    assert page.value("tidegate_refused_total", transport="tcp", reason="not_json") == 1


def test_what_filters_said_is_counted() -> None:
    said = [FilterJudged("mask", "result", verdict, "echo", 0.0002) for verdict in ("pass", "change", "change")]
    page = rendered([*said, FilterJudged("mask", "request", "failed", "echo", 2.0)])
    family = "tidegate_filter_verdicts_total"
    assert page.value(family, filter="mask", which="result", verdict="change") == 2
    assert page.value(family, filter="mask", which="result", verdict="pass") == 1
    assert page.value(family, filter="mask", which="request", verdict="failed") == 1
    assert page.value("tidegate_filter_duration_seconds_count", filter="mask") == 4
    assert page.value("tidegate_filter_duration_seconds_bucket", filter="mask", le="0.001") == 3
    assert "tidegate_filter_verdicts_total" not in rendered([done()]).kinds


def test_what_plugins_did_is_counted() -> None:
    fetched = PluginActed("weather", "http", "GET https://api.example.com/", "alice", "ok", 0.01)
    refused = PluginActed("weather", "http", "GET https://elsewhere.example/", "alice", "plugin_not_granted", 0.0)
    page = rendered([fetched, fetched, refused])
    family = "tidegate_plugin_acts_total"
    assert page.value(family, plugin="weather", what="http", outcome="ok") == 2
    assert page.value(family, plugin="weather", what="http", outcome="plugin_not_granted") == 1
    assert family not in rendered([done()]).kinds


def test_where_capabilities_were_served_and_why_is_counted() -> None:
    here = CapabilityServed("ocr", "vision__read", "vision", "local", "preferred", "ok", 0.002, 1)
    there = CapabilityServed("ocr", "cloud__read", "cloud", "cloud", "busy", "ok", 0.2, 2)
    nowhere = CapabilityServed("ocr", "", "", "", "", "must_stay", 0.0001, 0)
    page = rendered([here, here, there, nowhere])
    family = "tidegate_capability_calls_total"
    assert page.value(family, capability="ocr", where="local", why="preferred", outcome="ok") == 2
    assert page.value(family, capability="ocr", where="cloud", why="busy", outcome="ok") == 1
    assert page.value(family, capability="ocr", where="", why="", outcome="must_stay") == 1
    duration = "tidegate_capability_duration_seconds"
    assert page.value(f"{duration}_count", capability="ocr", where="local") == 2
    assert page.value(f"{duration}_bucket", capability="ocr", where="cloud", le="0.1") == 0
    assert family not in rendered([done()]).kinds


def test_names_and_types_follow_the_conventions_of_prometheus() -> None:
    """What `promtool check metrics` looks at: counters end in `_total` and nothing else does, base units, help."""
    page = rendered([done(), Refused("http", "unauthorized"), BackendState("files", "shared", "down", "")])
    for name, kind in page.kinds.items():
        assert re.fullmatch(r"(tidegate|process)_[a-z]+(_[a-z]+)*", name)
        assert (kind == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent|count|sum|bucket)$", name)
        if "time" in name or "duration" in name or "memory" in name:
            assert name.removesuffix("_total").endswith(("_seconds", "_bytes"))
    assert all(kind in ("counter", "gauge", "histogram") for kind in page.kinds.values())
    assert not [labels for _, labels in page.samples for name, _ in labels if name.startswith("__")]
    assert all(page.helps.values())


def test_methods_a_client_made_up_share_one_series() -> None:
    page = rendered(done("", method=f"made/up/{number}") for number in range(50))
    assert len(page.of("tidegate_requests_total")) == 1


def test_resource_uris_are_no_labels() -> None:
    page = rendered(done(f"file:///{number}", method="resources/read") for number in range(50))
    assert len(page.of("tidegate_requests_total")) == 1


@given(st.text(max_size=20))
def test_any_name_survives_its_label(name: str) -> None:
    page = rendered([done(name)])
    assert [dict(labels)["tool"] for labels in page.of("tidegate_requests_total")] == [name]


def test_who_asked_is_no_label() -> None:
    assert not any("anonymous" in str(key) for key in rendered([done()]).samples)


def test_backends_are_up_unless_nothing_of_them_can_be_reached() -> None:
    page = rendered([BackendState("gone", "shared", "down", "it died"), BackendState("gone", "s-123", "down", "again")])
    assert page.of("tidegate_backend_up") == {
        frozenset({("backend", "files")}): 1,
        frozenset({("backend", "gone")}): 0,
        frozenset({("backend", "unused")}): 1,
    }
    assert page.value("tidegate_backend_slots", backend="files", state="ready") == 1
    assert page.value("tidegate_backend_in_flight_requests", backend="files") == 2
    assert page.value("tidegate_backend_transitions_total", backend="gone", state="down") == 2
    assert page.value("tidegate_children", backend="files") == 1
    assert page.value("tidegate_children", backend="gone") == 0
    assert page.of("tidegate_child_resident_memory_bytes") == {frozenset({("backend", "files")}): 4096}
    assert page.value("tidegate_backend_restarts", backend="files") == 3
    assert page.value("tidegate_backend_queued_requests", backend="files") == 8
    assert page.value("tidegate_backend_own_connections", backend="files") == 5
    assert page.value("tidegate_backend_own_connections_limit", backend="files") == 32
    assert not any("s-123" in str(key) for key in page.samples)


def test_the_gateways_own_numbers_are_there() -> None:
    page = rendered([])
    assert page.value("tidegate_uptime_seconds") == 12.5
    assert page.value("tidegate_sessions") == 2
    assert page.value("tidegate_listeners") == 1
    assert page.value("tidegate_in_flight_requests") == 3
    assert (page.value("tidegate_configuration_generation"), page.value("tidegate_configuration_refused")) == (4, 1)
    assert page.value("tidegate_suspended_calls") == 6
    assert page.value("tidegate_suspended_calls_limit") == 256
    assert page.value("tidegate_connections") == 4
    assert page.value("tidegate_connections_refused_total") == 5


def test_the_process_is_measured_as_the_kernel_sees_it() -> None:
    page = rendered([])
    assert page.value("process_resident_memory_bytes") > 1_000_000
    assert page.value("process_virtual_memory_bytes") >= page.value("process_resident_memory_bytes")
    assert page.value("process_threads") >= 1
    assert 3 <= page.value("process_open_fds") <= page.value("process_max_fds")
    times = os.times()
    assert 0 < page.value("process_cpu_seconds_total") <= times.user + times.system + 1


def test_a_daemon_that_has_nothing_to_say_is_no_error() -> None:
    assert Page(Metrics(Events()).render({})).value("tidegate_sessions") == 0


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (3.0, "3"), (0.25, "0.25"), (float("inf"), "+Inf"), (1e300, "1e+300")]
)
def test_numbers_are_short_and_exact(value: float, text: str) -> None:
    assert number(value) == text


def test_help_stays_on_its_line() -> None:
    page = Exposition()
    page.single("x", "gauge", "one\ntwo \\ three", 1)
    assert page.text() == "# HELP x one\\ntwo \\\\ three\n# TYPE x gauge\nx 1\n"
