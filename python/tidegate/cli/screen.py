"""A picture in the terminal that is drawn again and again, and the keys pressed meanwhile.

ANSI alone, no library: what is used works in xterm, in the Linux console and over ssh. A terminal that can do none of
it (TERM=dumb), or a pipe, gets the pictures one below the other. However it ends (a key, Ctrl-C, SIGTERM, Ctrl-Z),
the terminal is left as it was.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final

from tidegate.cli.colours import Line, Span, colours_on, painted
from tidegate.cli.terminal import is_person

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
"""The other screen, no cursor, no wrapping, empty. The Linux console has no other screen and ignores that word."""
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_SEQUENCES: Final = {"\x1b[A": "k", "\x1b[B": "j", "\x1b[5~": "b", "\x1b[6~": " ", "\x1bOA": "k", "\x1bOB": "j"}
"""What arrows and page keys send, and the letters that mean the same."""
_DEFAULT_SIZE: Final = (80, 24)


class Ended(Exception):
    """A signal asks the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Screen:
    """Draws on stdout and reads keys from stdin. Use it as a context."""

    def __init__(self) -> None:
        self.redraws = is_person(sys.stdout) and os.environ.get("TERM", "dumb") not in ("dumb", "")
        """Whether a picture takes the place of the one before."""
        self._keys = self.redraws and is_person(sys.stdin)
        self._colours = colours_on(sys.stdout)
        self._before: Any = None
        self._signals: dict[int, Any] = {}
        self._wake_read = self._wake_write = -1
        self._wakeup_before = -1
        self._inside = False
        self._top = 0
        """The first line of the picture that is in the window."""

    def __enter__(self) -> Screen:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._wakeup_before = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number, told in (
            (signal.SIGWINCH, self._resized),
            (signal.SIGTERM, self._ended),
            (signal.SIGHUP, self._ended),
            (signal.SIGTSTP, self._stopped),
        ):
            if self.redraws or number == signal.SIGTERM:
                self._signals[number] = signal.signal(number, told)
        self._enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        signal.set_wakeup_fd(self._wakeup_before)
        for number, before in self._signals.items():
            signal.signal(number, before)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def size(self) -> tuple[int | None, int | None]:
        """(columns, rows); None: without end. COLUMNS and LINES have no say, as they stay when the window changes."""
        if not is_person(sys.stdout):
            return None, None
        try:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        columns, rows = columns or _DEFAULT_SIZE[0], rows or _DEFAULT_SIZE[1]
        return columns, rows if self.redraws else None

    def draw(self, lines: Sequence[Line]) -> None:
        """Shows `lines`; of more than fits, what is in the window."""
        columns, rows = self.size()
        shown = list(lines) if rows is None else self._window(lines, rows)
        text = [painted(line, columns, colours=self._colours) for line in shown]
        if self.redraws:
            # One write: nobody sees a picture half drawn. A row is emptied before it is written: after a full one the
            # cursor is still on its last character, which would go, too.
            rest = "\n\x1b[J" if rows is not None and len(text) < rows else ""
            sys.stdout.write("\x1b[H\x1b[K" + "\n\x1b[K".join(text) + rest)
        else:
            sys.stdout.write("\n".join(text) + "\n\n")
        sys.stdout.flush()

    def _window(self, lines: Sequence[Line], rows: int) -> list[Line]:
        """Those of the lines that are in the window; its last row says what is above and below."""
        if len(lines) <= rows:
            self._top = 0
            return list(lines)
        page = max(1, rows - 1)
        self._top = max(0, min(self._top, len(lines) - page))
        above, below = self._top, len(lines) - self._top - page
        said = ", ".join(
            f"{count} {word}" for count, word in ((above, "lines above"), (below, "lines below")) if count > 0
        )
        foot: Line = [Span(f"... {said}; space and b turn pages, j and k lines, q ends it", "dim")]
        return [*lines[self._top : self._top + page], foot]

    def scroll(self, key: str) -> bool:
        """Whether the key moves the window over a picture that is higher than it."""
        page = max(1, (self.size()[1] or 2) - 2)
        step = {" ": page, "b": -page, "j": 1, "k": -1}.get(key)
        if step is None:
            return False
        self._top = max(0, self._top + step)
        return True

    def keys(self, wait_s: float) -> Iterator[str]:
        """The keys pressed within `wait_s`; ends early when the window changes its size. Raises: KeyboardInterrupt."""
        end_s = time.monotonic() + wait_s
        sources = [self._wake_read, *([sys.stdin.fileno()] if self._keys else [])]
        while (left_s := end_s - time.monotonic()) > 0:
            ready, _, _ = select.select(sources, [], [], left_s)
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                return
            if not ready:
                return
            try:
                data = os.read(sys.stdin.fileno(), 256)
            except OSError:
                data = b""
            if not data:
                self._keys = False
                sources = [self._wake_read]
                continue
            text = data.decode("utf-8", "replace")
            for sequence, key in _SEQUENCES.items():
                text = text.replace(sequence, key)
            yield from re.sub(r"\x1b\[?[0-9;]*.?", "", text)

    # -- the terminal -----------------------------------------------------------------------------------------

    def _enter(self) -> None:
        if self._inside or not self.redraws:
            return
        self._inside = True
        if self._keys:
            import termios
            import tty

            try:
                self._before = termios.tcgetattr(sys.stdin.fileno())
                tty.setcbreak(sys.stdin.fileno(), termios.TCSANOW)
            except termios.error:
                self._keys = False
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _leave(self) -> None:
        if not self._inside:
            return
        self._inside = False
        if self._before is not None:
            import termios

            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)
        with contextlib.suppress(OSError):
            if os.environ.get("TERM") == "linux":
                # Its only screen has the last picture on it: what comes next goes below.
                sys.stdout.write(f"\x1b[{self.size()[1] or 24};1H\n")
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()

    def _resized(self, number: int, frame: FrameType | None) -> None:
        """The byte in the wake-up pipe says it all."""

    def _ended(self, number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal back, and we get ours when we go on."""
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here again after SIGCONT.
        signal.signal(signal.SIGTSTP, self._stopped)
        self._enter()
