"""The tables of `tidegate status`, under its sentences.

Pure functions of what `gateway_facts.py` read and of the width of the window: fits 80 columns, uses 200.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegate.cli.colours import Line, Span, Style
from tidegate.cli.gateway_facts import Backend, Bound, Gateway, Slot
from tidegate.cli.layout import Column, pad, table, wrap
from tidegate.cli.status_words import Sentence
from tidegate.cli.stretch import stretch
from tidegate.cli.terminal import width
from tidegate.control.telemetry.backend_state import TROUBLE
from tidegate.host.phrase import size

STATE_STYLE: Final[dict[str, Style]] = {
    "ready": "good",
    "starting": "note",
    "down": "bad",
    "parked": "bad",
    "idle": "dim",
}

_COLUMNS: Final = (
    Column("BACKEND", 0, least=12),
    Column("STATE"),
    Column("FOR", 1, right=True),
    Column("ERA", 6),
    Column("SPEAKS", 2),
    Column("BY", 7),
    Column("PID", 2, right=True),
    Column("MEMORY", 2, right=True),
    Column("RESTARTS", 3, right=True),
    Column("NEXT TRY", 4, right=True),
    Column("IN FLIGHT", 3, right=True),
    Column("QUEUED", 4, right=True),
    Column("TOOLS", 5, right=True),
    Column("CONNECTIONS", 6, right=True),
)
MAX_NAME_COLUMNS: Final = 40
_MAX_LABEL_COLUMNS: Final = 16
_STDERR_WELL: Final = 1
_STDERR_BROKEN: Final = 4
"""Last lines shown of a server that works, and of one that does not."""
_MARKS: Final = {"good": "", "note": "- ", "bad": "! "}


def words(sentences: list[Sentence], room: int | None) -> Iterator[Line]:
    """The first one as a heading, the others as a list, each with what could be done."""
    first, *others = sentences
    for line in wrap(first.text, room or 10**9):
        yield [Span(line, first.tone if first.tone != "good" else "bold")]
    yield from _advice(first, room)
    for sentence in others:
        mark = _MARKS[sentence.tone]
        start, *rest = wrap(sentence.text, room or 10**9, "  ", mark)
        yield [Span(mark, sentence.tone), Span(start.removeprefix(mark))]
        yield from ([Span(line)] for line in rest)
        yield from _advice(sentence, room)


def _advice(sentence: Sentence, room: int | None) -> Iterator[Line]:
    if sentence.advice:
        yield from ([Span(line)] for line in wrap(sentence.advice, room or 10**9, "     ", "  -> "))


def backends(gateway: Gateway, room: int | None) -> list[Line]:
    return table(_COLUMNS, [_row(backend) for backend in gateway.backends], room) if gateway.backends else []


def _row(backend: Backend) -> list[Span]:
    state = backend.state
    best = backend.of(state)
    ready = backend.of("ready")
    since_s = min((slot.since_s for slot in best if slot.since_s is not None), default=None)
    next_s = min((slot.next_attempt_s for slot in backend.slots if slot.next_attempt_s is not None), default=None)
    pids = [slot.pid for slot in backend.slots if slot.pid is not None]
    memory = [slot.memory_bytes for slot in backend.slots if slot.memory_bytes is not None]
    tools = max((slot.tools for slot in ready), default=None)
    restarts = str(backend.restarts) if backend.slots else "-"
    return [
        Span(backend.name[:MAX_NAME_COLUMNS]),
        Span(state, STATE_STYLE[state]),
        Span("-" if since_s is None else stretch(since_s)),
        Span(", ".join(dict.fromkeys(slot.era for slot in ready if slot.era)) or "-"),
        Span(", ".join(dict.fromkeys(slot.revision for slot in ready if slot.revision)) or "-"),
        Span(backend.transport),
        Span("-" if not pids else f"{pids[0]}" + (f" +{len(pids) - 1}" if len(pids) > 1 else "")),
        Span(size(sum(memory)) if memory else "-"),
        Span(restarts, "note" if backend.restarts else ""),
        Span("-" if next_s is None else "now" if next_s < 1 else stretch(next_s)),
        Span(Bound(backend.in_flight, backend.max_in_flight).short),
        Span(Bound(backend.queued, backend.max_queued).short),
        Span("-" if tools is None else str(tools)),
        Span(f"{len(ready)} of {len(backend.slots)}"),
    ]


def stderr(gateway: Gateway, room: int | None) -> Iterator[Line]:
    """The last words of each child, the newest last; more of those that are in trouble."""
    rows: list[list[Span]] = []
    for backend in gateway.backends:
        most = _STDERR_WELL if backend.works and not backend.of(*TROUBLE) else _STDERR_BROKEN
        for slot in sorted(backend.slots, key=_trouble)[:3]:
            for at, line in enumerate(slot.stderr[-most:]):
                rows.append([Span(backend.name[:MAX_NAME_COLUMNS] if at == 0 else "", "dim"), Span(line)])
    if rows:
        yield from table((Column("STDERR", least=12), Column("LAST LINES", least=10)), rows, room)


def _trouble(slot: Slot) -> int:
    return ("parked", "down", "starting", "ready", "idle").index(slot.state)


def gateway(found: Gateway, room: int | None) -> list[Line]:
    """The process and its listeners, and how full it is."""
    rows = [("version", found.version)]
    if found.pid is not None:
        memory = f", {size(found.memory_bytes)} of memory" if found.memory_bytes is not None else ""
        rows.append(("process", f"{found.pid}{memory}"))
    if found.configuration:
        rows.append(("configuration", found.configuration))
    rows += found.listen
    refused = f", {found.refused} refused so far" if found.refused else ""
    rows += [
        ("connections", f"{found.connections}{refused}"),
        ("sessions", str(found.sessions)),
        ("subscriptions", str(found.listeners)),
        ("in flight", str(found.in_flight)),
        ("awaiting answers", str(found.suspended)),
    ]
    if found.filters:
        rows.append(("filters", ", ".join(f"{one.name} ({one.state})" for one in found.filters)))
    if found.relay:
        rows.append(("relay", found.relay))
    widest = min(max(width(name) for name, _ in rows), _MAX_LABEL_COLUMNS)
    indent = " " * (widest + 2)
    return [
        [Span(pad(name, widest) + "  " if at == 0 else indent, "dim"), Span(line.removeprefix(indent))]
        for name, value in rows
        for at, line in enumerate(wrap(value, room or 10**9, indent, indent))
    ]
