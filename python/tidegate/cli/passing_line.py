"""One line on a terminal's stderr that is written over again and again, for a person who waits."""

from __future__ import annotations

import shutil
import sys
from typing import Final

from tidegate.cli.terminal import MIN_COLUMNS, cut, is_person

_CLEAR: Final = "\r\x1b[K"


class PassingLine:
    """Whoever has one writes to it only while it is `live`."""

    def __init__(self) -> None:
        self.live = is_person(sys.stderr)
        """Whether somebody may be looking."""
        self._open = False

    def show(self, words: str, end: str = "") -> None:
        """`words`, cut where there is no room for them and for `end`. Both must be clean."""
        room = max(shutil.get_terminal_size().columns - 1, MIN_COLUMNS)
        sys.stderr.write(_CLEAR + cut(words, room - len(end)) + end)
        sys.stderr.flush()
        self._open = True

    def clear(self) -> None:
        """The line belongs to somebody else again."""
        if self._open:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._open = False
