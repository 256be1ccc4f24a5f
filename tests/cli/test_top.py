"""`tidegate top`."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from gateway_states import ESCAPE, WIDE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_gateway import Running

from tidegate.cli import exit_codes, main
from tidegate.cli.colours import painted
from tidegate.cli.terminal import clean, width
from tidegate.cli.top_rates import Activity, between
from tidegate.cli.top_tables import ORDERS, frame, latency, rate

Capture = pytest.CaptureFixture[str]

BOUNDS_S = [0.001, 0.01, 0.1, 1.0]


def row(backend: str, tool: str, ok: int, slow: int = 0, **outcomes: int) -> dict[str, Any]:
    """`ok` calls of 1 to 10 ms, and others of which `slow` took 0.1 to 1 s."""
    return {
        "backend": backend,
        "method": "tools/call",
        "tool": tool,
        "era": "stateless",
        "outcomes": {"ok": ok, **outcomes},
        "latency": [[1, ok], [3, slow]],
        "sum_s": 1.0,
    }


def server(name: str, state: str = "ready", **more: Any) -> dict[str, Any]:
    return {
        "backend": name,
        "transport": "stdio",
        "up": state == "ready",
        "state": state,
        "in_flight": 1,
        "max_in_flight": 64,
        "queued": 0,
        "max_queued": 256,
        "restarts": 0,
        **more,
    }


def child(backend: str, pid: int, cpu_s: float, memory_bytes: int = 50_000_000) -> dict[str, Any]:
    return {
        "backend": backend,
        "serves": "shared",
        "pid": pid,
        "cpu_s": cpu_s,
        "memory_bytes": memory_bytes,
        "processes": 2,
        "restarts": 1,
    }


def reading(calls: list[dict[str, Any]], *, cpu_s: float = 1.0, pid: int = 9, **more: Any) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "uptime_s": 100.0,
        "gateway": {"pid": pid, "cpu_s": cpu_s, "memory_bytes": 40_000_000},
        "sessions": 3,
        "listeners": 1,
        "in_flight": 2,
        "suspended": {"calls": 0, "limit": 256},
        "connections": {"open": 4, "limit": 2048},
        "refused": 0,
        "bounds_s": BOUNDS_S,
        "calls": calls,
        "backends": [server("files"), server("web", "parked")],
        "children": [child("files", 10, 5.0)],
        **more,
    }


BEFORE = reading([row("files", "read", 100), row("web", "get", 10)])
AFTER = reading(
    [row("files", "read", 300), row("web", "get", 10, 4, tool_error=2, upstream_timeout=2), row("files", "new", 1)],
    cpu_s=1.5,
    refused=3,
    children=[child("files", 10, 6.0), {**child("web", 11, 50.0), "models": ["ocr", "voice"]}],
)


def test_rates_and_percentiles_are_of_the_time_between_two_readings() -> None:
    activity = between(BEFORE, AFTER, 2.0)
    assert activity.total.per_s == pytest.approx(102.5)
    assert activity.total.errors_per_s == pytest.approx(2.0)
    calls = {(calls.backend, calls.tool): calls for calls in activity.tools}
    assert calls["files", "read"].count == 200
    assert calls["web", "get"].count == calls["web", "get"].errors == 4
    assert 0.1 < (calls["web", "get"].percentile_s(0.5) or 0) < 1.0
    assert 0.001 < (calls["files", "read"].percentile_s(0.99) or 0) < 0.01
    assert activity.gateway.cpu_share == pytest.approx(0.25)
    files, web = activity.children
    assert files.cpu_share == pytest.approx(0.5)
    assert web.cpu_share is None
    assert activity.refused == 3


def test_what_a_client_took_back_is_no_error() -> None:
    activity = between(reading([]), reading([row("files", "read", 1, cancelled=5)]), 1.0)
    assert (activity.total.count, activity.total.errors) == (6, 0)


def test_after_a_restart_counts_begin_again() -> None:
    activity = between(BEFORE, reading([row("files", "read", 50)], pid=10, uptime_s=10.0), 2.0)
    assert activity.total.per_s == pytest.approx(5.0)
    assert activity.gateway.cpu_share == pytest.approx(0.1)


def test_without_a_first_reading_everything_since_the_start_counts() -> None:
    assert between({}, AFTER, 2.0).total.per_s == pytest.approx(3.15)


def test_what_the_gateway_answered_itself_has_a_row_of_its_own() -> None:
    activity = between({}, reading([row("", "", 3, unknown_tool=1)]), 1.0)
    assert (activity.own.count, activity.own.errors) == (4, 1)
    words = first_words(lines(activity, 200))
    assert words[words.index("BACKEND") + 1] == "(gateway)"


def test_calls_without_a_known_duration_have_no_percentile() -> None:
    assert between({}, reading([]), 1.0).total.percentile_s(0.5) is None


def lines(activity: Activity, room: int | None, rows: int | None = None, order: str = "calls") -> list[str]:
    return [painted(line, None, colours=False) for line in frame(activity, room, rows, order)]


def first_words(shown: list[str]) -> list[str]:
    return [line.split()[0] for line in shown if line]


def test_the_picture_has_everything_that_was_asked_for() -> None:
    shown = lines(between(BEFORE, AFTER, 2.0), 200)
    text = "\n".join(shown)
    assert "tidegate 0.1.0, up 1 min 40 s, 1 of 2 servers usable, 1 out of order (see `tidegate status`)" in text
    assert "102 requests/s, 2.00 errors/s" in text
    assert "3 sessions, 4 of 2048 connections, 2 in flight, 0 queued, memory 38.1 MiB, CPU 25 %, 3 refused" in text
    assert "ocr, voice" in next(line for line in shown if line.startswith("web  ") and " 11 " in line)
    for title in ("BACKEND", "CALLS/S", "ERRORS/S", "P50", "P99", "IN FLIGHT", "QUEUED", "RESTARTS", "TOOL", "PID"):
        assert title in text


@pytest.mark.parametrize(
    ("order", "tools"), [("calls", ["read", "get"]), ("errors", ["get", "new"]), ("latency", ["get", "new"])]
)
def test_rows_stand_in_the_order_that_was_chosen(order: str, tools: list[str]) -> None:
    words = first_words(lines(between(BEFORE, AFTER, 2.0), 200, None, order))
    assert words[words.index("TOOL") + 1 :][:2] == tools


def crowd() -> Activity:
    calls = [row(name, f"{tool}-{at}", at + 1) for at in range(40) for name, tool in ((WIDE, ESCAPE), ("b", "t" * 200))]
    servers = [server(f"{WIDE}-{at}", state) for at in range(6) for state in ("ready", "down")]
    children = [child(ESCAPE, at, 1.0) for at in range(1, 20)]
    return between({}, reading(calls, backends=servers, children=children), 1.0)


@pytest.mark.parametrize("room", [40, 80, 200])
@pytest.mark.parametrize("rows", [24, 50])
@pytest.mark.parametrize("order", ORDERS.values())
def test_a_crowd_fits_every_window_and_each_table_has_a_place(room: int, rows: int, order: str) -> None:
    shown = lines(crowd(), room, rows, order)
    assert max(map(width, shown)) <= room
    assert len(shown) <= rows
    assert {"BACKEND", "TOOL", "PROCESS"} <= set(first_words(shown))
    assert all(line == clean(line) for line in shown)


_odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A reading in which a few places hold something else."""
    found = copy.deepcopy(draw(st.sampled_from((BEFORE, AFTER))))
    for _ in range(draw(st.integers(1, 4))):
        place: Any = found
        while True:
            key = draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                place[key] = draw(_odd)
                break
            place = inner
    return found


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(damaged() | st.just({}), damaged(), st.floats(0, 100))
def test_an_odd_reading_gives_a_picture_all_the_same(
    before: dict[str, Any], after: dict[str, Any], seconds: float
) -> None:
    activity = between(before, after, seconds)
    assert activity.total.count >= activity.total.errors >= 0
    assert activity.total.per_s >= 0
    for line in lines(activity, 80, 24):
        # A version of any length has a line to itself, and the screen cuts it.
        assert width(line) <= 80 or line.startswith("tidegate ")


def test_once_prints_one_picture_of_the_running_gateway(at_home: Running, capsys: Capture) -> None:
    assert main(["call", "echo", "text=a"]) == exit_codes.OK
    capsys.readouterr()
    assert main(["top", "--once", "--interval", "0.2"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert {"BACKEND", "workshop", "PROCESS", "(gateway)"} <= set(first_words(shown.splitlines()))


def test_json_has_the_same_numbers(at_home: Running, capsys: Capture) -> None:
    assert main(["top", "--json", "--interval", "0.2"]) == exit_codes.OK
    found = json.loads(capsys.readouterr().out)
    assert found["backends"][0]["backend"] == "workshop"
    assert found["gateway"]["memory_bytes"] > 1_000_000
    assert found["total"]["calls"] == 0


def test_without_a_daemon_it_ends_at_once() -> None:
    assert main(["top", "--admin", "http://127.0.0.1:1"]) == exit_codes.NO_DAEMON


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.00043, "0.43 ms"), (0.0042, "4.20 ms"), (0.25, "250 ms"), (2.5, "2.5 s"), (320.0, "320 s")],
)
def test_latencies_have_three_figures(seconds: float | None, text: str) -> None:
    assert latency(seconds) == text


@pytest.mark.parametrize(("per_s", "text"), [(0.0, "0.0"), (0.25, "0.25"), (12.34, "12.3"), (1234.5, "1234")])
def test_rates_have_three_figures(per_s: float, text: str) -> None:
    assert rate(per_s) == text
