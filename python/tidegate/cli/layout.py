"""Text in a window of so many columns: paragraphs that are wrapped, tables that leave out what has no room.

Characters may be two columns wide or none (`terminal.width`). Everything given to it must be clean and of one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tidegate.cli.colours import Line, Span, Style
from tidegate.cli.terminal import cut, width

_GAP: Final = 2


class Column(NamedTuple):
    """How one column behaves when there is little room."""

    title: str
    rank: int = 0
    """Those of the highest rank go first when there is no room; those of rank 0 stay."""
    least: int = 0
    """How narrow its cells may be cut; 0: not at all."""
    right: bool = False
    """Numbers stand at the right."""


def wrap(text: str, room: int, indent: str = "", first: str | None = None) -> list[str]:
    """Lines of at most `room` columns, the first one after `first`, the others after `indent`."""
    lines: list[str] = []
    line = indent if first is None else first
    fresh = True
    for word in text.split(" "):
        piece = word
        while True:
            joined = line + piece if fresh else f"{line} {piece}"
            if width(joined) <= room:
                line, fresh = joined, False
                break
            if not fresh:
                lines.append(line)
                line, fresh = indent, True
                continue
            head = _head(piece, max(2, room - width(line)))
            lines.append(line + head)
            line, piece = indent, piece[len(head) :]
    if not fresh or not lines:
        lines.append(line)
    return lines


def pad(text: str, room: int, *, right: bool = False) -> str:
    """Exactly `room` columns."""
    shown = cut(text, room)
    space = " " * (room - width(shown))
    return space + shown if right else shown + space


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Span]],
    room: int | None,
    head: Style = "dim",
    *,
    steady: bool = False,
) -> list[Line]:
    """A line for the titles and one for each row. A column in which no row says anything is left out, unless the table
    is to be `steady`, as one that is drawn again and again.
    """
    shown = [
        at
        for at, column in enumerate(columns)
        if steady or column.rank == 0 or any(row[at].text not in ("", "-") for row in rows)
    ]
    widths = {at: max([width(columns[at].title), *(width(row[at].text) for row in rows)]) for at in shown}
    if room is not None:
        _squeeze(columns, shown, widths, room)
    titles = [Span(column.title, head) for column in columns]
    lines: list[Line] = []
    for row in (titles, *rows):
        line: Line = []
        for at in shown:
            last = at == shown[-1] and not columns[at].right
            text = cut(row[at].text, widths[at]) if last else pad(row[at].text, widths[at], right=columns[at].right)
            line.append(Span(text, row[at].style))
            if at != shown[-1]:
                line.append(Span(" " * _GAP))
        lines.append(line)
    return lines


def _squeeze(columns: Sequence[Column], shown: list[int], widths: dict[int, int], room: int) -> None:
    """Cuts cells, then leaves out columns, until the rest fits."""
    while True:
        over = sum(widths[at] for at in shown) + _GAP * (len(shown) - 1) - room
        if over <= 0:
            return
        soft = [at for at in shown if columns[at].least and widths[at] > columns[at].least]
        spare = sum(widths[at] - columns[at].least for at in soft)
        if spare >= over:
            for at in sorted(soft, key=lambda at: -widths[at]):
                taken = min(over, widths[at] - columns[at].least)
                widths[at] -= taken
                over -= taken
            return
        rank = max(columns[at].rank for at in shown)
        if rank == 0:
            for at in soft:
                widths[at] = columns[at].least
            return
        shown.remove(next(at for at in reversed(shown) if columns[at].rank == rank))


def _head(word: str, room: int) -> str:
    """As much of a long word as fits, at least one character."""
    used = 0
    for at, char in enumerate(word):
        used += width(char)
        if used > room:
            return word[: max(1, at)]
    return word
