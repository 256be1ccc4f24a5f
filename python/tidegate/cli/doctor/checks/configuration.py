"""The configuration cannot be used, or holds what does nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding


def _look(case: Case) -> Iterator[Finding]:
    again = " ".join(["tidegate check", *map(shlex.quote, case.files)])
    for problem in case.problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        yield Finding(
            "error",
            f"{problem.key}: {problem.message}" if problem.key else problem.message,
            place or "in the configuration",
            "the gateway does not start with it, and a reload refuses it",
            "mend that line, then check again",
            (again,),
        )
    for note in case.notes:
        place = f"{note.file}:{note.line}" if note.line else note.file
        yield Finding("note", f"{note.key}: {note.message}", place, "", "remove it, or write what was meant", (again,))


CHECK = BoxCheck("configuration", "the configuration can be read and used: file, line and key of every mistake", _look)
