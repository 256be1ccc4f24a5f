"""What the relay repeats, as `tidegate status --flows` shows it: a few sentences and a table.

Pure functions of the page `/flows`, and of the width of the window. Everything in it was said by a gateway, and names
in it by clients and servers: nothing is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tidegate.cli.colours import Line, Span
from tidegate.cli.layout import Column, table, wrap
from tidegate.cli.plain_values import count_of, mapping, number, text
from tidegate.cli.stretch import stretch
from tidegate.cli.top_tables import latency
from tidegate.control.telemetry.backend_state import dicts
from tidegate.host.phrase import share

_COLUMNS: Final = (
    Column("FROM"),
    Column("ERA", 5),
    Column("METHOD", 4),
    Column("NAME", 0, least=10),
    Column("BACKEND", 0, least=8),
    Column("SLOT", 6, least=9),
    Column("FOR", 2, least=9),
    Column("PROGRAM", 7, least=8),
    Column("CALLS", 0, right=True),
    Column("FAILED", 3, right=True),
    Column("MEAN", 1, right=True),
    Column("P99", 1, right=True),
    Column("AGE", 8, right=True),
    Column("LAST USED", 1, right=True),
)
_MAX_NAME_COLUMNS: Final = 50
_VOIDED: Final = {
    "configuration": "the configuration changed",
    "lists": "{backend} lists other things",
    "connection": "a connection to {backend} came or went",
    "full": "there were too many",
}
_HANDED_OVER: Final = {
    "client": "as the client left or sent something else meanwhile",
    "server": "as the server left or said something else",
    "session": "as the session asked for something else",
    "slow": "as they took more than a second",
    "all": "as the gateway needed to know all calls",
}


def picture(page: Mapping[str, Any], room: int | None) -> list[Line]:
    """Everything, for a window of so many columns."""
    lines = [[Span(line, "bold" if at == 0 else "")] for at, line in enumerate(_words(page, room))]
    rows = dicts(page.get("rows"))
    if rows:
        lines += [[], *table(_COLUMNS, list(map(_row, rows)), room)]
        missing = count_of(page.get("flows")) - len(rows)
        if missing > 0:
            lines.append([Span(f"and {missing} more, which were used before these", "dim")])
    return lines


def _words(page: Mapping[str, Any], room: int | None) -> Iterator[str]:
    for sentence in _sentences(page):
        yield from wrap(sentence, room or 10**9)


def _sentences(page: Mapping[str, Any]) -> Iterator[str]:
    flows, calls = count_of(page.get("flows")), mapping(page.get("calls"))
    relayed, of = count_of(calls.get("relayed")), count_of(calls.get("of"))
    did = f"{relayed} of {_counted(of, 'call')}" + (f" ({share(100 * min(1.0, relayed / of))})" if of else "")
    if page.get("on") is False:
        yield f"The relay is off: every call is decided in Python. Before, it did {did} by itself."
    else:
        yield f"The relay has {_counted(flows, 'flow')} and did {did} by itself."
    over = {text(why): count_of(count) for why, count in mapping(page.get("handed_over")).items()}
    if any(over.values()):
        parts = [f"{count} {_HANDED_OVER.get(why, why)}" for why, count in over.items() if count]
        total = sum(over.values())
        yield f"{_counted(total, 'further call')} it began and handed over: {', '.join(parts)}."
    last = mapping(page.get("voided"))
    ago_s = number(last.get("ago_s"))
    if ago_s is not None:
        backend = text(last.get("backend"))
        why = _VOIDED.get(text(last.get("why")), text(last.get("why")) or "for no reason that was told")
        why = why.format(backend=f"`{backend}`" if backend else "a server")
        times = _counted(count_of(page.get("voided_total")), "time")
        yield f"All flows were last forgotten {stretch(ago_s)} ago, as {why}; {times} so far."


def _row(row: Mapping[str, Any]) -> list[Span]:
    failed = count_of(row.get("tool_errors"))
    replica = count_of(row.get("replica"))
    age_s, used_s = number(row.get("age_s")), number(row.get("used_ago_s"))
    return [
        Span(text(row.get("transport")) or "?"),
        Span(text(row.get("era")) or "-"),
        Span(text(row.get("method")) or "-"),
        Span(text(row.get("name"))[:_MAX_NAME_COLUMNS] or "-"),
        Span(text(row.get("backend"))[:_MAX_NAME_COLUMNS] or "-"),
        Span((text(row.get("serves")) or "-") + (f" #{replica}" if replica > 1 else "")),
        Span(text(row.get("principal"))[:_MAX_NAME_COLUMNS] or "-"),
        Span(text(row.get("client"))[:_MAX_NAME_COLUMNS] or "-"),
        Span(str(count_of(row.get("calls")))),
        Span(str(failed) if failed else "-", "note" if failed else ""),
        Span(latency(number(row.get("mean_s")))),
        Span(latency(number(row.get("p99_s")))),
        Span("-" if age_s is None else stretch(age_s)),
        Span("-" if used_s is None else f"{stretch(used_s)} ago"),
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
