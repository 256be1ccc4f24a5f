"""Text on its way to a person's terminal: nothing that came from a server may steer it.

Escape sequences can rewrite what was printed before, retitle the window or fill the clipboard; direction marks can
make a line read as another one. Both are shown as what they are instead of being obeyed.
"""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

_UNSAFE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 but for tab and newline: ESC, CSI, OSC, carriage return
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line separators and marks of direction
    r"\ufeff\ufff9-\ufffb"  # invisible: byte order mark, annotations
    r"\ud800-\udfff"  # half of a pair: has no UTF-8
    r"\U000e0000-\U000e007f]"  # tags: text that nobody sees
)
_JSON_UNSAFE: Final = re.compile(_UNSAFE.pattern.replace(r"\x0b", r"\x0b\x0c"))

MIN_COLUMNS: Final = 40
"""A description is not cut shorter than what fits here, however narrow the window."""


def clean(text: str) -> str:
    r"""`text` with every character that a terminal could obey spelled out, such as `\x1b`. Keeps tab and newline."""
    return _UNSAFE.sub(_spelled, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The first line that says something, cleaned."""
    for line in text.splitlines():
        if stripped := line.strip():
            return clean(" ".join(stripped.split()))
    return ""


def json_text(text: str) -> str:
    r"""Raw JSON, the same value and spelling, with such characters as `\u` escapes."""
    return _JSON_UNSAFE.sub(_json_escaped, text)


def spell_unencodable() -> None:
    """From now on stdout and stderr spell out what they cannot encode, such as half a surrogate pair from a server,
    instead of ending the command.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def is_person(stream: TextIO) -> bool:
    """Whether somebody may be reading: the stream is a terminal."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def print_text(text: str) -> None:
    """Content of a server on stdout: cleaned for a terminal, exact for a file or pipe."""
    shown = clean(text) if is_person(sys.stdout) else text
    sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")


def say(text: str) -> None:
    """A line on stderr, cleaned."""
    sys.stdout.flush()
    print(clean(text), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    say(f"tidegate: {text}")


def width(text: str) -> int:
    """Columns that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def columns() -> int | None:
    """Of the terminal on stdout; None when it is none, and lines may be of any length."""
    return shutil.get_terminal_size().columns if is_person(sys.stdout) else None


def print_table(rows: Iterable[Sequence[str]], indent: str = "") -> None:
    """Aligned columns. The last one is cut to the window; cells must be clean. A row is a line, whatever is in it."""
    table = [tuple(cell.replace("\n", "\\n") for cell in row) for row in rows]
    if not table:
        return
    count = max(len(row) for row in table)
    widths = [max((width(row[at]) for row in table if at < len(row)), default=0) for at in range(count)]
    room = columns()
    for row in table:
        cells = [cell + " " * (widths[at] - width(cell)) for at, cell in enumerate(row)]
        line = (indent + "  ".join(cells)).rstrip()
        print(line if room is None else cut(line, max(room, MIN_COLUMNS)))


def cut(line: str, room: int) -> str:
    """At most `room` columns, the last of them `…` when something is missing."""
    if width(line) <= room:
        return line
    kept = ""
    used = 0
    for char in line:
        used += width(char)
        if used > room - 1:
            break
        kept += char
    return kept.rstrip() + "…"


def _spelled(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code in (0x0B, 0x0C, 0x0D):
        return " "  # outside of strings, where JSON allows no other control character
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
