"""Runs examinations at the same time, each bounded: one that hangs or crashes costs its own finding and no other.

A thread that does not come back is left behind; it is a daemon thread and ends with the command.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from tidegate.cli.doctor.check import Examination
from tidegate.cli.doctor.finding import Finding
from tidegate.clock import Clock

AT_ONCE: Final = 8
"""Most of them wait for something; a small box can do that with a few threads."""

Told = Callable[[int, int, Sequence[Examination]], None]
"""(done, all, those that run now)"""


def go_round(examinations: Sequence[Examination], clock: Clock, told: Told) -> list[Finding]:
    """Findings in the order of the examinations. Takes no longer than the deadlines of those that share a place."""
    results: dict[int, list[Finding]] = {}
    waiting = deque(enumerate(examinations))
    running: dict[int, float] = {}
    came: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number, examination = waiting.popleft()
            running[number] = clock.now_s() + examination.deadline_s
            threading.Thread(
                target=lambda n=number, it=examination: came.put((n, _look(it))),
                name=f"tidegate-{examination.check}",
                daemon=True,
            ).start()
        told(len(results), len(examinations), [examinations[number] for number in running])
        try:
            number, found = came.get(timeout=max(min(running.values()) - clock.now_s(), 0.0))
            if number in running:
                results[number] = found
        except queue.Empty:
            late = {number for number, until_s in running.items() if until_s <= clock.now_s()}
            results |= {number: [_overdue(examinations[number])] for number in late}
        running = {number: until_s for number, until_s in running.items() if number not in results}
    told(len(results), len(examinations), [])
    return [finding for number in sorted(results) for finding in results[number]]


def _look(examination: Examination) -> list[Finding]:
    try:
        return [
            replace(finding, check=examination.check, backend=examination.subject or finding.backend)
            for finding in examination.look()
        ]
    except Exception as error:
        return [
            Finding(
                "warning",
                f"the check `{examination.check}` itself failed",
                f"{type(error).__name__} in it; what it looks at is not known",
                "",
                "please report it, with the version and the name of the check",
                ("tidegate --version",),
                examination.subject or None,
                examination.check,
            )
        ]


def _overdue(examination: Examination) -> Finding:
    return Finding(
        "warning",
        f"the check `{examination.check}` did not come to an end",
        f"given up after {examination.deadline_s:g} s; what it looks at hangs",
        "what hangs here hangs for the gateway, too",
        "run it alone, and see what it waits for",
        (f"tidegate doctor --only {examination.check}",),
        examination.subject or None,
        examination.check,
    )
