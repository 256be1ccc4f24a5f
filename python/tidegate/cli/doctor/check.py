"""What a check is: a name, what it looks at, and the looking, bounded in time.

Each check is one file in `checks/` with one fault in it, and offers `CHECK`. A look runs in a thread of its own; it may
block up to its deadline and may raise anything, which then is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend

DEADLINE_S: Final = 10.0
"""For what is read from files, sockets of this box, and short programs."""


@dataclass(frozen=True, slots=True)
class Examination:
    """One check on one subject: the unit that runs at the same time as others."""

    check: str
    subject: str
    """Name of a backend; empty for the box as a whole."""
    look: Callable[[], Iterable[Finding]]
    deadline_s: float


@dataclass(frozen=True, slots=True)
class BoxCheck:
    """Looks once."""

    name: str
    looks_at: str
    """For people, as `--list` shows it."""
    look: Callable[[Case], Iterable[Finding]]
    deadline_s: float = DEADLINE_S

    def examinations(self, case: Case) -> Iterator[Examination]:
        yield Examination(self.name, "", lambda: self.look(case), self.deadline_s)


@dataclass(frozen=True, slots=True)
class BackendCheck:
    """Looks at each enabled backend that it concerns."""

    name: str
    looks_at: str
    concerns: Callable[[Case, Backend], bool]
    look: Callable[[Case, Backend], Iterable[Finding]]
    deadline_s: float = DEADLINE_S
    needs: Literal["", "trial", "visit"] = ""
    """What has to be observed first; a backend of which it was not is passed over."""

    def examinations(self, case: Case) -> Iterator[Examination]:
        for backend in case.backends:
            if self.concerns(case, backend):
                yield Examination(self.name, backend.name, lambda it=backend: self.look(case, it), self.deadline_s)  # type: ignore[misc]


Check = BoxCheck | BackendCheck
