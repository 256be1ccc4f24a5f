"""What `/status` says, as values that can be relied on.

Everything in it was said by a gateway, of this version or another one, and much of it by servers and clients: what is
missing or odd becomes nothing, text becomes one clean line of bounded length, numbers become finite and not negative.
Called by `status.py`; below it are only plain data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.cli.terminal import one_line
from tidegate.control.telemetry.backend_state import STATES, TROUBLE, slot_state, state_of

_MAX_CHARS: Final = 1000
_MAX_COUNT: Final = 10**15


@dataclass(frozen=True)
class Slot:
    """A place for one connection."""

    state: str
    since_s: float | None
    """For how long it has been in that state."""
    next_attempt_s: float | None
    """Until it is tried again."""
    error: str
    era: str
    """`session` or `stateless`."""
    revision: str
    in_flight: int
    waiting: int
    restarts: int
    tools: int
    pid: int | None
    """Of the child process, while it runs."""
    memory_bytes: float | None
    stderr: tuple[str, ...]
    """Its last lines, the newest last."""


@dataclass(frozen=True)
class Backend:
    """One configured server."""

    name: str
    transport: str
    slots: tuple[Slot, ...]
    remembered: bool
    """Its lists are those of an earlier run."""
    queued: int
    in_flight: int
    max_in_flight: int | None
    max_queued: int | None
    warnings: tuple[str, ...]

    @property
    def state(self) -> str:
        """`idle` before it is first needed."""
        return state_of({slot.state for slot in self.slots})

    @property
    def works(self) -> bool:
        return self.state not in TROUBLE

    def of(self, *states: str) -> list[Slot]:
        return [slot for slot in self.slots if slot.state in states]

    @property
    def restarts(self) -> int:
        return sum(slot.restarts for slot in self.slots)


@dataclass(frozen=True)
class Bound:
    """How much there is of something, and how much there may be."""

    count: int
    limit: int | None = None

    @property
    def is_tight(self) -> bool:
        return self.limit is not None and self.limit > 0 and self.count >= 0.9 * self.limit

    def __str__(self) -> str:
        return f"{self.count}" if self.limit is None else f"{self.count} of {self.limit}"


@dataclass(frozen=True)
class Gateway:
    """The whole of it."""

    version: str
    pid: int | None
    uptime_s: float | None
    memory_bytes: float | None
    stopping: bool
    listen: tuple[tuple[str, str], ...]
    connections: Bound
    refused: int
    sessions: Bound
    listeners: int
    in_flight: Bound
    suspended: Bound
    backends: tuple[Backend, ...]
    configuration: str
    """Its files, and how the last reload ended."""
    problem: str
    """What is wrong with the configuration file now, when the gateway goes on with an earlier one."""


def read(statistics: Mapping[str, Any]) -> Gateway:
    """Never fails, whatever it is given."""
    limits = _mapping(statistics.get("limits"))
    connections = _mapping(statistics.get("connections"))
    suspended = _mapping(statistics.get("suspended"))
    configuration = _mapping(statistics.get("configuration"))
    return Gateway(
        version=text(statistics.get("version")) or "?",
        pid=_whole(statistics.get("pid")),
        uptime_s=number(statistics.get("uptime_s")),
        memory_bytes=number(statistics.get("memory_bytes")),
        stopping=statistics.get("ready") is False,
        listen=tuple((text(name), _places(where)) for name, where in _mapping(statistics.get("listen")).items()),
        connections=Bound(_count(connections.get("open")), _whole(connections.get("limit"))),
        refused=_count(connections.get("refused_total")),
        sessions=Bound(_count(statistics.get("sessions")), _whole(limits.get("sessions"))),
        listeners=_count(statistics.get("listeners")),
        in_flight=Bound(_count(statistics.get("in_flight")), _whole(limits.get("in_flight"))),
        suspended=Bound(_count(suspended.get("calls")), _whole(suspended.get("limit"))),
        backends=tuple(map(_backend, dicts(statistics.get("backends")))),
        configuration=_configuration(configuration),
        problem=_problem(_mapping(configuration.get("last_reload"))),
    )


def _configuration(row: Mapping[str, Any]) -> str:
    """The files that are in force, and how often they were read."""
    files = ", ".join(filter(None, map(text, _items(row.get("files")))))
    last = _mapping(row.get("last_reload"))
    again = f"; {text(last.get('result'))} at {text(last.get('at'))}" if text(last.get("at")) else ""
    return f"{files}{again}" if files else ""


def _problem(last: Mapping[str, Any]) -> str:
    if last.get("result") != "refused":
        return ""
    more = len(_items(last.get("problems"))) - 1
    said = text(last.get("error")) or "it was refused"
    return said + (f" (and {more} more)" if more > 0 else "")


def _backend(row: Mapping[str, Any]) -> Backend:
    raw = dicts(row.get("slots"))
    slots = tuple(map(_slot, raw))
    limits = _mapping(row.get("limits"))
    warnings = dict.fromkeys(text(line) for slot in raw for line in _items(slot.get("warnings")))
    return Backend(
        name=text(row.get("backend")) or "?",
        transport=text(row.get("transport")) or "?",
        slots=slots,
        remembered=row.get("catalogue") == "remembered",
        queued=_count(row.get("queued")) + sum(slot.waiting for slot in slots),
        in_flight=sum(slot.in_flight for slot in slots),
        max_in_flight=_whole(limits.get("max_in_flight")),
        max_queued=_whole(limits.get("max_queued")),
        warnings=tuple(line for line in warnings if line),
    )


def _slot(row: Mapping[str, Any]) -> Slot:
    link = _mapping(row.get("link"))
    running = link.get("running") is not False
    state = slot_state(row)
    error = text(row.get("error"))
    # Down and said to be starting: it is being tried again just now.
    next_attempt_s = 0.0 if state != row.get("state") else number(row.get("next_attempt_s"))
    return Slot(
        state=state if state in STATES else "idle",
        since_s=number(row.get("since_s")),
        next_attempt_s=next_attempt_s,
        error=error,
        era=text(row.get("era")),
        revision=text(row.get("revision")),
        in_flight=_count(row.get("in_flight")),
        waiting=_count(row.get("waiting")),
        restarts=_count(row.get("restarts")),
        tools=_count(_mapping(row.get("offers")).get("tools")),
        pid=_whole(link.get("pid")) if running else None,
        memory_bytes=number(link.get("memory_bytes")) if running else None,
        stderr=tuple(filter(None, map(text, _items(link.get("stderr"))))),
    )


def text(value: object) -> str:
    """One clean line; empty for what is no text."""
    if isinstance(value, str):
        return one_line(value[: 4 * _MAX_CHARS])[:_MAX_CHARS]
    return str(value)[:_MAX_CHARS] if isinstance(value, int) and not isinstance(value, bool) else ""


def number(value: object) -> float | None:
    """Finite and not negative; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(min(value, _MAX_COUNT)) if value >= 0 else None
    return value if math.isfinite(value) and value >= 0 else None


def dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in _items(value) if isinstance(item, dict)]


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(min(found, _MAX_COUNT))


def _count(value: object) -> int:
    return _whole(value) or 0


def _places(value: object) -> str:
    return ", ".join(filter(None, map(text, _items(value)))) if isinstance(value, list) else text(value)
