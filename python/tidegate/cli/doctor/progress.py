"""What `tidegate doctor` is looking at just now, for a person who waits."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.cli.doctor.check import Examination
from tidegate.cli.passing_line import PassingLine
from tidegate.cli.terminal import clean


class Progress:
    """Nothing where nobody looks."""

    def __init__(self, *, quiet: bool) -> None:
        self._line = PassingLine()
        self._live = self._line.live and not quiet

    def told(self, done: int, total: int, running: Sequence[Examination]) -> None:
        if not self._live:
            return
        if running:
            words = ", ".join(f"{item.check}{f' {item.subject}' if item.subject else ''}" for item in running)
            self._line.show(clean(f"{done}/{total} {words}"))
        else:
            self._line.clear()
