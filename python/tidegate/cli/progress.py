"""What a server says while it works, on stderr: one line that is written over, or a line each when nobody looks."""

from __future__ import annotations

import json
import sys
from typing import Any, TypeGuard

from tidegate.cli.terminal import MIN_COLUMNS, clean, cut, is_person, one_line, say

_CLEAR_LINE = "\r\x1b[K"


class Narrator:
    """Shows progress and log notifications."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = is_person(sys.stderr)
        self._open_line = False

    def told(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/progress" and not self._quiet:
            self._progress(progress_words(params))
        elif method == "notifications/message":
            self.end()
            data = params.get("data")
            text = data if isinstance(data, str) else json.dumps(data)
            logger = params.get("logger")
            source = f" {logger}" if isinstance(logger, str) and logger else ""
            say(f"[{params.get('level', '?')}{source}] {text}")

    def end(self) -> None:
        """The line belongs to somebody else again."""
        if self._open_line:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
            self._open_line = False

    def _progress(self, words: str) -> None:
        if not self._live:
            say(words)
            return
        import shutil

        room = max(shutil.get_terminal_size().columns - 1, MIN_COLUMNS)
        sys.stderr.write(_CLEAR_LINE + cut(words, room))
        sys.stderr.flush()
        self._open_line = True


def progress_words(params: dict[str, Any]) -> str:
    """`3/10 (30 %) reading` of a progress notification."""
    done, total, message = params.get("progress"), params.get("total"), params.get("message")
    words = [_number(done)]
    if _is_number(total):
        words[0] += f"/{_number(total)}"
        if _is_number(done) and total > 0:
            words.append(f"({100 * done / total:.0f} %)")
    if isinstance(message, str) and message:
        words.append(one_line(message))
    return clean(" ".join(words))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) if _is_number(value) else "?"
