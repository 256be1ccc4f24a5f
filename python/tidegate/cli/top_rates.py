"""Two readings of `/activity` and the time between them, as rates and percentiles.

A pure function, called by `top.py`. What is odd in a reading counts as nothing; when the gateway was restarted in
between, its counts begin again and are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.cli.gateway_facts import Bound
from tidegate.cli.plain_values import count_of, items, mapping, number, text, whole
from tidegate.control.telemetry.backend_state import dicts
from tidegate.control.telemetry.latencies import percentile

_FINE: Final = frozenset(("ok",))
"""Outcomes that are no error. A call that its client took back is neither."""
_TAKEN_BACK: Final = "cancelled"
_LEAST_S: Final = 0.001
"""Readings closer together than that were not made by anybody."""


@dataclass
class Calls:
    """Calls of one tool, or of one backend, or all, between the two readings."""

    backend: str = ""
    tool: str = ""
    count: int = 0
    errors: int = 0
    seconds: float = 0.0
    """Between the two readings."""
    latency: dict[int, int] = field(default_factory=dict)
    bounds_s: Sequence[float] = ()

    @property
    def per_s(self) -> float:
        return self.count / self.seconds if self.seconds > 0 else 0.0

    @property
    def errors_per_s(self) -> float:
        return self.errors / self.seconds if self.seconds > 0 else 0.0

    def percentile_s(self, share: float) -> float | None:
        if not self.latency or not self.bounds_s:
            return None
        counts = [0] * (len(self.bounds_s) + 1)
        for at, count in self.latency.items():
            counts[min(at, len(self.bounds_s))] += count
        return percentile(self.bounds_s, counts, share)

    def add(self, other: Calls) -> None:
        self.count += other.count
        self.errors += other.errors
        self.bounds_s = other.bounds_s
        self.seconds = other.seconds
        for at, count in other.latency.items():
            self.latency[at] = self.latency.get(at, 0) + count


@dataclass(frozen=True)
class Server:
    """A backend now, and its calls."""

    name: str
    state: str
    up: bool
    in_flight: Bound
    queued: Bound
    restarts: int
    calls: Calls


@dataclass(frozen=True)
class Process:
    """The gateway itself, or a child with all that it started."""

    backend: str
    """Empty for the gateway."""
    serves: str
    pid: int | None
    cpu_share: float | None
    """Of one core; above 1 with several."""
    memory_bytes: float | None
    processes: int
    restarts: int


@dataclass(frozen=True)
class Activity:
    """What went on between two readings, and what is now."""

    version: str
    seconds: float
    uptime_s: float | None
    gateway: Process
    sessions: int
    listeners: int
    in_flight: int
    connections: Bound
    refused: int
    """Turned away before it was a request, between the readings."""
    total: Calls
    own: Calls
    """What the gateway answered by itself: lists, and what could not be given to any server."""
    servers: tuple[Server, ...]
    tools: tuple[Calls, ...]
    children: tuple[Process, ...]


def between(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> Activity:
    """`before` may be empty: then everything since the start counts. Never fails, whatever it is given."""
    earlier = mapping(before)
    seconds = max(seconds, _LEAST_S)
    if _pid(earlier) != _pid(after):
        # Another process: what it counted before the first reading is not there.
        earlier = {}
        seconds = max(number(after.get("uptime_s")) or 0.0, _LEAST_S)
    bounds_s = [found for found in map(number, items(after.get("bounds_s"))) if found is not None]
    known = {_key(row): row for row in dicts(earlier.get("calls"))}
    tools: dict[tuple[str, str], Calls] = {}
    servers: dict[str, Calls] = {}
    total = Calls(seconds=seconds, bounds_s=bounds_s)
    for row in dicts(after.get("calls")):
        calls = _calls(known.get(_key(row), {}), row, seconds, bounds_s)
        total.add(calls)
        servers.setdefault(calls.backend, Calls(calls.backend)).add(calls)
        if calls.tool:
            tools.setdefault((calls.backend, calls.tool), Calls(calls.backend, calls.tool)).add(calls)
    usage = {child.get("pid"): child for child in dicts(earlier.get("children")) if _hashable(child.get("pid"))}
    connections = mapping(after.get("connections"))
    gateway = mapping(after.get("gateway"))
    return Activity(
        version=text(after.get("version")) or "?",
        seconds=seconds,
        uptime_s=number(after.get("uptime_s")),
        gateway=_process(mapping(earlier.get("gateway")), gateway, seconds),
        sessions=count_of(after.get("sessions")),
        listeners=count_of(after.get("listeners")),
        in_flight=count_of(after.get("in_flight")),
        connections=Bound(count_of(connections.get("open")), whole(connections.get("limit"))),
        refused=max(0, count_of(after.get("refused")) - count_of(earlier.get("refused"))),
        total=total,
        own=servers.get("", Calls(seconds=seconds)),
        servers=tuple(_server(row, servers, seconds) for row in dicts(after.get("backends"))),
        tools=tuple(tools.values()),
        children=tuple(
            _process(usage.get(row["pid"], {}) if _hashable(row.get("pid")) and "pid" in row else {}, row, seconds)
            for row in dicts(after.get("children"))
        ),
    )


def _calls(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float, bounds_s: Sequence[float]) -> Calls:
    calls = Calls(text(after.get("backend")), text(after.get("tool")), seconds=seconds, bounds_s=bounds_s)
    earlier = mapping(before.get("outcomes"))
    for outcome, count in mapping(after.get("outcomes")).items():
        more = max(0, count_of(count) - count_of(earlier.get(outcome)))
        calls.count += more
        if outcome not in _FINE and outcome != _TAKEN_BACK:
            calls.errors += more
    counted = _latency(before)
    for at, count in _latency(after).items():
        if (more := count - counted.get(at, 0)) > 0:
            calls.latency[at] = more
    return calls


def _latency(row: Mapping[str, Any]) -> dict[int, int]:
    found: dict[int, int] = {}
    for pair in items(row.get("latency")):
        if isinstance(pair, list) and len(pair) == 2 and (at := whole(pair[0])) is not None:
            found[at] = count_of(pair[1])
    return found


def _server(row: Mapping[str, Any], calls: Mapping[str, Calls], seconds: float) -> Server:
    name = text(row.get("backend")) or "?"
    return Server(
        name=name,
        state=text(row.get("state")) or "?",
        up=row.get("up") is not False,
        in_flight=Bound(count_of(row.get("in_flight")), whole(row.get("max_in_flight"))),
        queued=Bound(count_of(row.get("queued")), whole(row.get("max_queued"))),
        restarts=count_of(row.get("restarts")),
        calls=calls.get(name, Calls(name, seconds=seconds)),
    )


def _process(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> Process:
    used, used_before = number(after.get("cpu_s")), number(before.get("cpu_s"))
    if used is not None and used_before is None and not before and after.get("backend") is not None:
        share = None  # started meanwhile: since when is not known
    elif used is None or seconds <= 0:
        share = None
    else:
        # Less than before: a process of the group has ended.
        share = max(0.0, used - (used_before or 0.0)) / seconds
    return Process(
        backend=text(after.get("backend")),
        serves=", ".join(filter(None, map(text, items(after.get("models"))))) or text(after.get("serves")),
        pid=whole(after.get("pid")),
        cpu_share=share,
        memory_bytes=number(after.get("memory_bytes")),
        processes=count_of(after.get("processes")),
        restarts=count_of(after.get("restarts")),
    )


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(name))[:400] for name in ("backend", "method", "tool", "era"))


def _pid(reading: Mapping[str, Any]) -> object:
    return whole(mapping(reading.get("gateway")).get("pid"))


def _hashable(value: object) -> bool:
    return isinstance(value, int | str)
