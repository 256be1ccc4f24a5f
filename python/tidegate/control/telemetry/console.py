"""Log lines on stderr, for a person or for journald.

The journal knows when a line came and shows how grave it is by itself, so there a line has no time, and begins with
the priority that journald takes off again (sd-daemon(3)). Other lines than the gateway's own are printed from
`warning` on; those of the access log, which are asked for by themselves, at every level.
"""

from __future__ import annotations

import logging
import os
import re
from typing import Final, TextIO

LEVELS: Final = ("debug", "info", "warning", "error")
"""From which on lines can be asked for."""
ACCESS: Final = "tidegate.access"
"""The logger of `access_log.py`, whose lines are printed whatever the level."""
_PRIORITY: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_STEERING: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal could obey: control characters, separators of lines, and marks of direction."""
_SPELLED: Final = {"\r": "\\r", "\n": "\\n"}


def print_lines(stream: TextIO, level: str) -> None:
    """Prints from `level` on. The handler decides, as others (`log_ring.py`) may want to see more."""
    number = logging.getLevelName(level.upper())
    handler = logging.StreamHandler(stream)
    handler.addFilter(lambda record: record.levelno >= number or record.name == ACCESS)
    handler.setFormatter(
        _JournalFormatter() if _is_journal(stream) else _OneLine("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING))
    logging.getLogger("tidegate").setLevel(number)


class _OneLine(logging.Formatter):
    """A record is a line: what a server put into it cannot look like another one. A traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        return _flat(super().formatMessage(record))


class _JournalFormatter(logging.Formatter):
    """Every line of it with its priority."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        text = f"{record.name} {_flat(record.getMessage())}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return "\n".join(prefix + line for line in text.split("\n"))


def _flat(text: str) -> str:
    """Nor can it steer the terminal that the gateway was started in."""
    return text if text.isprintable() else _STEERING.sub(lambda match: _SPELLED.get(match[0], _code(match[0])), text)


def _code(char: str) -> str:
    return f"\\x{ord(char):02x}" if char < "\x80" else f"\\u{ord(char):04x}"


def _is_journal(stream: TextIO) -> bool:
    """Whether it is the stream that the service manager made for the journal (systemd.exec(5), JOURNAL_STREAM)."""
    named = os.environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{found.st_dev}:{found.st_ino}"
