"""The order of things: what looks at the box, and what observes the servers, at once; then those that judge."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck, BoxCheck, Check, Examination
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.rounds import Told, go_round
from tidegate.cli.doctor.trial import LONGEST_S, try_server
from tidegate.cli.doctor.visit import STEP_S, visit_backend
from tidegate.config.snapshot import Backend

_END_S: Final = 10.0
"""For a server to be ended."""
_VISIT_S: Final = 8 * STEP_S
"""Four addresses may be tried, and two more paths."""


def examine(case: Case, checks: Sequence[Check], *, start: bool, start_all: bool = False, told: Told) -> list[Finding]:
    """Every finding, in the order of the checks. `start_all`: also what the running gateway has started."""
    needed = {check.needs for check in checks if isinstance(check, BackendCheck)}
    observations = [*_visits(case)] if "visit" in needed else []
    if start and "trial" in needed:
        observations += _trials(case, () if start_all else {*_ready(case)})
    on_box = [item for check in checks if isinstance(check, BoxCheck) for item in check.examinations(case)]
    found = go_round([*on_box, *observations], case.clock, told)
    observed = [
        item
        for check in checks
        if isinstance(check, BackendCheck)
        for item in check.examinations(case)
        if not check.needs or item.subject in (case.trials if check.needs == "trial" else case.visits)
    ]
    found += go_round(observed, case.clock, told)
    order = [check.name for check in checks]
    return sorted(found, key=lambda finding: order.index(finding.check) if finding.check in order else len(order))


def _trials(case: Case, but_for: Container[str]) -> Iterator[Examination]:
    for backend in case.backends:
        if backend.transport == "stdio" and backend.name not in but_for:
            longest_s = min(backend.start_timeout_s, LONGEST_S)
            yield Examination("start", backend.name, lambda it=backend: _try(case, it), longest_s + _END_S)  # type: ignore[misc]


def _ready(case: Case) -> Iterator[str]:
    """Those that the running gateway has started: a second one of the same may be in its way."""
    for backend in case.running.backends if case.running is not None else ():
        slots = backend.get("slots")
        if isinstance(slots, list) and any(isinstance(slot, dict) and slot.get("state") == "ready" for slot in slots):
            yield str(backend.get("backend"))


def _try(case: Case, backend: Backend) -> Sequence[Finding]:
    case.trials[backend.name] = try_server(backend, case.clock)
    return ()


def _visits(case: Case) -> Iterator[Examination]:
    for backend in case.backends:
        if backend.transport in ("http", "sse", "tcp", "unix", "openai"):
            longest_s = _VISIT_S * backend.replicas
            yield Examination("visit", backend.name, lambda it=backend: _visit(case, it), longest_s)  # type: ignore[misc]


def _visit(case: Case, backend: Backend) -> Sequence[Finding]:
    # Of replicas, the first that answers: the backend works.
    for number in range(backend.replicas):
        visit = visit_backend(backend.at(number))
        if number == 0 or not visit.failed:
            case.visits[backend.name] = visit
        if not visit.failed:
            break
    return ()
