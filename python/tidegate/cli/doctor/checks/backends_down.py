"""A server behind the running gateway is down, or parked because it died too often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.running import Running
from tidegate.cli.stretch import stretch
from tidegate.control.telemetry.backend_state import TROUBLE, backend_state, dicts, slot_state


def _look(case: Case) -> Iterator[Finding]:
    if case.running is None:
        return
    for backend in case.running.backends:
        state = backend_state(backend)
        if state in TROUBLE:
            slot = next(slot for slot in dicts(backend.get("slots")) if slot_state(slot) == state)
            yield _finding(case, case.running, str(backend.get("backend")), state, slot)
            continue
        for row in dicts(backend.get("replicas")):
            if row.get("state") in TROUBLE:
                yield _replica_down(case, case.running, str(backend.get("backend")), row)


def _replica_down(case: Case, running: Running, name: str, row: dict[str, Any]) -> Finding:
    address = row.get("address")
    where = f" at `{case.quote(address)}`" if isinstance(address, str) else ""
    return Finding(
        "warning",
        f"its replica {row.get('replica')}{where} is {row.get('state')}",
        "the running gateway says so",
        "the others do its work; it comes back by itself",
        "look what has become of it",
        (running.command("status"), running.command(f"logs --backend {name}")),
        backend=name,
    )


def _finding(case: Case, running: Running, name: str, state: str, slot: dict[str, Any]) -> Finding:
    since, again = slot.get("since_s"), slot.get("next_attempt_s")
    lasted = f" for {stretch(since)}" if isinstance(since, int | float) else ""
    error = slot.get("error")
    tried = f"; it is tried again in {stretch(again)}" if isinstance(again, int | float) else ""
    restarts = f"; started again {slot['restarts']} times" if slot.get("restarts") else ""
    return Finding(
        "error",
        f"it is {state}{lasted}",
        f"the running gateway says: {case.quote(str(error)) if error else 'nothing of the reason'}{restarts}",
        f"calls of its tools fail until it is back; it comes back by itself{tried}",
        "mend what it says; the other findings about it, if any, are the reason",
        (running.command(f"logs --backend {name}"), running.command("status")),
        backend=name,
    )


CHECK = BoxCheck("backends_down", "the servers behind the running gateway are up", _look)
