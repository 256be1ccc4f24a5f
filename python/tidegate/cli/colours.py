"""Colour, where it is wanted: on a terminal that has it, unless NO_COLOR says otherwise (https://no-color.org).

Text is kept apart from how it looks (`Span`), so that it can be measured, cut and tested without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, TextIO

from tidegate.cli.terminal import cut, is_person, width

Style = Literal["", "bold", "dim", "good", "note", "bad", "head"]

_CODES: Final[dict[str, str]] = {
    "bold": "1",
    "dim": "2",
    "good": "32",
    "note": "33",
    "bad": "1;31",
    "head": "7",
}


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    style: Style = ""


Line = list[Span]


def colours_on(stream: TextIO) -> bool:
    return is_person(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def painted(line: Iterable[Span], room: int | None, *, colours: bool) -> str:
    """The line as a terminal gets it, in at most `room` columns. Its text must be clean."""
    shown: list[str] = []
    left = room
    for text, style in line:
        piece = text
        if left is not None:
            if left <= 0:
                break
            piece = cut(text, left)
            left -= width(piece)
            if piece != text:
                left = 0
        code = _CODES.get(style) if colours else None
        shown.append(f"\x1b[{code}m{piece}\x1b[0m" if code and piece.strip() else piece)
    return "".join(shown) if colours else "".join(shown).rstrip()
