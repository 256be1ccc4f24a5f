"""The last lines that the gateway and its servers logged, kept for whoever asks.

A `logging.Handler` on the logger `tidegate`. It keeps from level info on, although the console may print warnings
only: what led to a warning is asked for afterwards. Bounded in lines and bytes; the oldest go first. Readers come
by `admin/logs.py`.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegate.control.telemetry.console import ACCESS

MAX_LINES: Final = 2000
MAX_BYTES: Final = 512 * 1024
MAX_CHARS: Final = 4000
"""Of one text. A traceback fits; a server's line of a megabyte is cut."""
_LINE_BYTES: Final = 200
"""What a line costs beside its text."""

_NAMED: Final = re.compile(r"\bbackend[= ]`?([^\s`:,;]+)")
"""Where a line says whose it is and the record does not."""

_LOGGER: Final = "tidegate"


@dataclass(frozen=True, slots=True)
class Line:
    """One record."""

    number: int
    """Counted from 1 since the gateway started."""
    time_s: float
    """Since the epoch."""
    level: int
    """As `logging` has it: 20 info, 30 warning, 40 error."""
    logger: str
    backend: str
    """Empty when it is about none."""
    text: str


class LogRing(logging.Handler):
    """The lines, and who is told of new ones."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        """`hide` takes secrets out of a text."""
        super().__init__(logging.INFO)
        self.lines: deque[Line] = deque()
        self.last = 0
        """Number of the last line; 0 before the first."""
        self.followers: set[Callable[[], None]] = set()
        """Called for each new line, in whichever thread it was logged: they must return at once."""
        self._hide = hide
        self._bytes = 0
        self._level_before: int | None = None

    def attach(self) -> None:
        """Starts to keep lines."""
        logger = logging.getLogger(_LOGGER)
        logger.addHandler(self)
        if not logger.isEnabledFor(logging.INFO):
            self._level_before = logger.level
            logger.setLevel(logging.INFO)

    def detach(self) -> None:
        """Keeps no more; what is there stays readable."""
        logger = logging.getLogger(_LOGGER)
        logger.removeHandler(self)
        if self._level_before is not None:
            logger.setLevel(self._level_before)
            self._level_before = None

    def emit(self, record: logging.LogRecord) -> None:
        # Called with the handler's lock held.
        if record.name == ACCESS:
            # A busy minute of them would push out all that led to a warning.
            return
        try:
            text = record.getMessage()
        except Exception:
            # A line that cannot be put together must not take down what it tells of.
            text = str(record.msg)
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        backend = getattr(record, "backend", None)
        if not isinstance(backend, str):
            named = _NAMED.search(text, 0, MAX_CHARS)
            backend = named[1] if named is not None else ""
        # Cut twice: hiding costs time for each character, and may not leave half a secret at the end.
        text = self._hide(text[: 2 * MAX_CHARS])[:MAX_CHARS]
        self.last += 1
        self.lines.append(Line(self.last, record.created, record.levelno, record.name, backend, text))
        self._bytes += len(text) + _LINE_BYTES
        while len(self.lines) > MAX_LINES or self._bytes > MAX_BYTES:
            self._bytes -= len(self.lines.popleft().text) + _LINE_BYTES
        for told in tuple(self.followers):
            told()

    def statistics(self) -> dict[str, int]:
        return {"lines": len(self.lines), "bytes": self._bytes, "total": self.last, "followers": len(self.followers)}
