"""What `/status` says, as values that can be relied on.

Everything in it was said by a gateway, of this version or another one, and much of it by servers and clients: what is
missing or odd becomes nothing, text becomes one clean line of bounded length, numbers become finite and not negative.
Called by `status.py`; below it are only plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from tidegate.cli.plain_values import count_of, items, mapping, number, text, whole
from tidegate.control.telemetry.backend_state import STATES, TROUBLE, dicts, slot_state, state_of
from tidegate.models.worker.thread_label import label_of


@dataclass(frozen=True)
class Slot:
    """A place for one connection."""

    state: str
    replica: int
    """Of which replica of the server, numbered from 1."""
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
class Model:
    """One that a worker runs."""

    path: str
    shipped: bool

    @property
    def name(self) -> str:
        """By its folder, which may be on another box."""
        return PurePath(self.path).name


@dataclass(frozen=True)
class Backend:
    """One configured server."""

    name: str
    transport: str
    slots: tuple[Slot, ...]
    replicas: int
    """How many there are of the server."""
    remembered: bool
    """Its lists are those of an earlier run."""
    queued: int
    in_flight: int
    max_in_flight: int | None
    max_queued: int | None
    warnings: tuple[str, ...]
    models: tuple[Model, ...] = ()
    """Of a worker that runs them."""
    at_work: frozenset[str] = frozenset()
    """Labels of those that are loaded, or worked at."""

    def model_state(self, name: str) -> str:
        """Of one of its models, in a word."""
        if self.state == "ready":
            return "loaded" if label_of(name) in self.at_work else "not loaded"
        return {"idle": "stopped"}.get(self.state, self.state)

    @property
    def memory_bytes(self) -> float | None:
        """Of its children."""
        found = [slot.memory_bytes for slot in self.slots if slot.memory_bytes is not None]
        return sum(found) if found else None

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
class Filter:
    """A plugin that sees calls."""

    name: str
    tools: tuple[str, ...]
    state: str
    """`ready`, `loading` or `failed`."""
    reason: str
    """Why it failed."""
    refuses: bool
    """Calls do not go on without it."""


@dataclass(frozen=True)
class Bound:
    """How much there is of something, and how much there may be."""

    count: int
    limit: int | None = None

    @property
    def is_tight(self) -> bool:
        return self.limit is not None and self.limit > 0 and self.count >= 0.9 * self.limit

    @property
    def short(self) -> str:
        """For a cell."""
        return f"{self.count}" if self.limit is None else f"{self.count}/{self.limit}"

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
    filters: tuple[Filter, ...]
    held_back: tuple[tuple[str, float], ...]
    """Backends and tools that failed a capability, and for how many seconds it asks others first."""
    relay: str
    """What it did."""
    configuration: str
    """Its files, and how the last reload ended."""
    problem: str
    """What is wrong with the configuration file now, when the gateway goes on with an earlier one."""


def read(statistics: Mapping[str, Any]) -> Gateway:
    """Never fails, whatever it is given."""
    limits = mapping(statistics.get("limits"))
    connections = mapping(statistics.get("connections"))
    suspended = mapping(statistics.get("suspended"))
    configuration = mapping(statistics.get("configuration"))
    return Gateway(
        version=text(statistics.get("version")) or "?",
        pid=whole(statistics.get("pid")),
        uptime_s=number(statistics.get("uptime_s")),
        memory_bytes=number(statistics.get("memory_bytes")),
        stopping=statistics.get("ready") is False,
        listen=tuple((text(name), _places(where)) for name, where in mapping(statistics.get("listen")).items()),
        connections=Bound(count_of(connections.get("open")), whole(connections.get("limit"))),
        refused=count_of(connections.get("refused_total")),
        sessions=Bound(count_of(statistics.get("sessions")), whole(limits.get("sessions"))),
        listeners=count_of(statistics.get("listeners")),
        in_flight=Bound(count_of(statistics.get("in_flight")), whole(limits.get("in_flight"))),
        suspended=Bound(count_of(suspended.get("calls")), whole(suspended.get("limit"))),
        backends=tuple(map(_backend, dicts(statistics.get("backends")))),
        filters=tuple(map(_filter, dicts(statistics.get("filters")))),
        held_back=_held_back(mapping(statistics.get("capabilities"))),
        relay=_relay(mapping(statistics.get("relay"))),
        configuration=_configuration(configuration),
        problem=_problem(mapping(configuration.get("last_reload"))),
    )


def _held_back(row: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    found = [(name, number(left_s)) for name, left_s in mapping(row.get("unreached_s")).items()]
    return tuple((name, left_s) for name, left_s in found if left_s is not None)


def _filter(row: Mapping[str, Any]) -> Filter:
    return Filter(
        name=text(row.get("filter")) or "?",
        tools=tuple(filter(None, map(text, items(row.get("tools"))))),
        state=text(row.get("state")) or "?",
        reason=text(row.get("reason")),
        refuses=row.get("on_failure") != "pass",
    )


def _configuration(row: Mapping[str, Any]) -> str:
    """The files that are in force, and how often they were read."""
    files = ", ".join(filter(None, map(text, items(row.get("files")))))
    last = mapping(row.get("last_reload"))
    again = f"; {text(last.get('result'))} at {text(last.get('at'))}" if text(last.get("at")) else ""
    return f"{files}{again}" if files else ""


def _relay(row: Mapping[str, Any]) -> str:
    if "on" not in row:
        return ""
    calls, flows = count_of(row.get("relayed_total")), count_of(row.get("flows"))
    off = "" if row.get("on") else "off; "
    return f"{off}{calls} call{'' if calls == 1 else 's'} so far, {flows} flow{'' if flows == 1 else 's'}"


def _problem(last: Mapping[str, Any]) -> str:
    if last.get("result") != "refused":
        return ""
    more = len(items(last.get("problems"))) - 1
    said = text(last.get("error")) or "it was refused"
    return said + (f" (and {more} more)" if more > 0 else "")


def _backend(row: Mapping[str, Any]) -> Backend:
    raw = dicts(row.get("slots"))
    slots = tuple(map(_slot, raw))
    limits = mapping(row.get("limits"))
    most, replicas = whole(limits.get("max_in_flight")), len(dicts(row.get("replicas")))
    warnings = dict.fromkeys(text(line) for slot in raw for line in items(slot.get("warnings")))
    named = [(text(one.get("path")), one.get("shipped") is True) for one in dicts(row.get("models"))]
    models = tuple(Model(path, shipped) for path, shipped in named if path)
    return Backend(
        name=text(row.get("backend")) or "?",
        transport="models" if models else text(row.get("transport")) or "?",
        slots=slots,
        replicas=replicas,
        remembered=row.get("catalogue") == "remembered",
        queued=count_of(row.get("queued")) + sum(slot.waiting for slot in slots),
        in_flight=sum(slot.in_flight for slot in slots),
        max_in_flight=most * max(replicas, 1) if most is not None else None,
        max_queued=whole(limits.get("max_queued")),
        warnings=tuple(line for line in warnings if line),
        models=models,
        at_work=frozenset(filter(None, map(text, items(row.get("at_work"))))),
    )


def _slot(row: Mapping[str, Any]) -> Slot:
    link = mapping(row.get("link"))
    running = link.get("running") is not False
    state = slot_state(row)
    error = text(row.get("error"))
    # Down and said to be starting: it is being tried again just now.
    next_attempt_s = 0.0 if state != row.get("state") else number(row.get("next_attempt_s"))
    return Slot(
        state=state if state in STATES else "idle",
        replica=count_of(row.get("replica")),
        since_s=number(row.get("since_s")),
        next_attempt_s=next_attempt_s,
        error=error,
        era=text(row.get("era")),
        revision=text(row.get("revision")),
        in_flight=count_of(row.get("in_flight")),
        waiting=count_of(row.get("waiting")),
        restarts=count_of(row.get("restarts")),
        tools=count_of(mapping(row.get("offers")).get("tools")),
        pid=whole(link.get("pid")) if running else None,
        memory_bytes=number(link.get("memory_bytes")) if running else None,
        stderr=tuple(filter(None, map(text, items(link.get("stderr"))))),
    )


def _places(value: object) -> str:
    return ", ".join(filter(None, map(text, items(value)))) if isinstance(value, list) else text(value)
