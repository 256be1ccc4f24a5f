"""What a server says while it works, on stderr: one line that is written over, or a line each when nobody looks."""

from __future__ import annotations

import json
import threading
from typing import Any, Final, TypeGuard

from tidegate.cli.passing_line import PassingLine
from tidegate.cli.terminal import clean, one_line, say
from tidegate.clock import Clock

_TICK_S: Final = 1.0


class Narrator:
    """Shows progress and log notifications; to a person also how long it has taken, where nothing is said."""

    def __init__(self, *, quiet: bool, clock: Clock | None = None) -> None:
        self._quiet = quiet
        self._line = PassingLine()
        self._clock = clock or Clock()
        self._writing = threading.Lock()
        self._words = ""
        self._written = ""
        """The last line where nobody looks."""
        self._began_s = 0.0
        self._over = threading.Event()

    def began(self) -> None:
        """From now on somebody waits."""
        if not self._line.live or self._quiet:
            return
        self._words = "waiting"
        self._began_s = self._clock.now_s()
        self._over = over = threading.Event()
        threading.Thread(target=lambda: self._tick(over), name="tidegate-waiting", daemon=True).start()

    def told(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/progress" and not self._quiet:
            self._progress(params)
        elif method == "notifications/message":
            self._clear()
            data = params.get("data")
            text = data if isinstance(data, str) else json.dumps(data)
            logger = params.get("logger")
            source = f" {logger}" if isinstance(logger, str) and logger else ""
            say(f"[{params.get('level', '?')}{source}] {text}")

    def end(self) -> None:
        """The line belongs to somebody else again."""
        self._over.set()
        self._clear()

    def _clear(self) -> None:
        with self._writing:
            self._line.clear()

    def _progress(self, params: dict[str, Any]) -> None:
        words = progress_words(params)
        if not self._line.live:
            # A bare count says that something happens, which only a line that changes can show.
            if words != self._written and (_is_number(params.get("total")) or _has_message(params)):
                self._written = words
                say(words)
            return
        self._words = words
        self._show()

    def _tick(self, over: threading.Event) -> None:
        """Until the answer is there, the line says every second that it is waited for."""
        while not over.wait(_TICK_S):
            self._show(over)

    def _show(self, over: threading.Event | None = None) -> None:
        waited_s = self._clock.now_s() - self._began_s
        since = f"  {waited_s:.0f} s" if waited_s >= _TICK_S else ""
        with self._writing:
            if over is None or not over.is_set():
                self._line.show(self._words, since)


def progress_words(params: dict[str, Any]) -> str:
    """`3/10 (30 %) reading` of a progress notification."""
    done, total, message = params.get("progress"), params.get("total"), params.get("message")
    words = [_number(done)]
    if _is_number(total):
        words[0] += f"/{_number(total)}"
        # A server may say 1e999, which no whole number can be divided by.
        if _is_number(done) and 0 <= done <= total < float("inf") and total > 0:
            words.append(f"({100 * (done / total):.0f} %)")
    if isinstance(message, str) and message:
        words.append(one_line(message))
    return clean(" ".join(words))


def _has_message(params: dict[str, Any]) -> bool:
    message = params.get("message")
    return isinstance(message, str) and bool(message.strip())


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) if _is_number(value) else "?"
