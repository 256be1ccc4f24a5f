"""Looking at the gateway again and again: how often, until when, and what is said while it does not answer.

Used by `status --watch` and `top`; the pictures are theirs, the terminal is `screen.py`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Final

from tidegate.cli.admin_listener import NobodyThere
from tidegate.cli.colours import Line, Span
from tidegate.cli.layout import wrap
from tidegate.cli.screen import Ended, Screen
from tidegate.cli.stretch import stretch
from tidegate.cli.terminal import one_line

TIMEOUT_S: Final = 2.0
"""For one answer: a picture that is later than the next one is worth nothing."""
_LEAST_INTERVAL_S: Final = 0.2


def add_interval(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="SECONDS", help=f"{what} (default: %(default)g)"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not _LEAST_INTERVAL_S <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected {_LEAST_INTERVAL_S:g} to 3600 seconds")
    return value


def watched(screen: Screen, picture: Callable[[str], list[Line]], interval_s: float) -> int:
    """Draws what `picture(key)` gives, at once and then every `interval_s`, until `q`, Ctrl-C or SIGTERM.

    `picture` is called with "" when time is up, and with each key that does not move the window. Returns the number of
    the signal that ended it, or 0.
    """
    try:
        with screen:
            while True:
                lines = picture("")
                screen.draw(lines)
                for key in screen.keys(interval_s):
                    if key in ("q", "Q"):
                        return 0
                    if not screen.scroll(key):
                        lines = picture(key)
                    screen.draw(lines)
    except Ended as ended:
        return ended.number


class Absence:
    """What a watcher says while no gateway answers, and when one does again."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._since_s: float | None = None
        self._pid: int | None = None
        self._note = ""

    def lines(self, error: NobodyThere, room: int | None) -> list[Line]:
        if self._since_s is None:
            self._since_s = time.monotonic()
        where, gone = one_line(self._where), stretch(time.monotonic() - self._since_s)
        text = f"No gateway has answered at `{where}` for {gone} ({one_line(error.why)}). Waiting for it."
        return [[Span(line, "bad")] for line in wrap(text, room or 10**9)]

    def over(self, pid: int | None) -> list[Line]:
        """A line on top as long as it is news that the gateway is another one."""
        if self._since_s is not None or (self._pid is not None and pid != self._pid):
            again = "is a new process" if self._pid is not None and pid != self._pid else "answers again"
            self._note = time.strftime(f"The gateway {again} since %H:%M:%S.")
            self._since_s = None
        self._pid = pid
        return [[Span(self._note, "note")]] if self._note else []
