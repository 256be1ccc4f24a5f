"""A clock that is set moves no deadline: nothing that waits, measures or expires reads the time of day."""

from __future__ import annotations

import ast
from pathlib import Path

import tidegate

PACKAGE = Path(tidegate.__file__).parent
WAITING = ("pipeline", "daemon.py", "systemd", "control")
"""Rooms and files in which something waits."""
SHOWN_TO_PEOPLE = {
    "control/reloading.py",
    "control/telemetry/access_log.py",
    "control/telemetry/console.py",
    "control/telemetry/log_ring.py",
    "pipeline/era/bridge/tasks/kept_task.py",
    "pipeline/era/bridge/tasks/polled_requests.py",
    "pipeline/era/openai/endpoint.py",
}
"""Write the time of day into what is shown, and compare it with nothing."""
OF_DAY = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("loop", "wall_s")}


def _reads_time_of_day(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            if node.attr == "wall_s":
                return True
            if isinstance(node.value, ast.Name) and (node.value.id, node.attr) in OF_DAY:
                return True
    return False


def test_nothing_that_waits_goes_by_the_clock_on_the_wall() -> None:
    found = set()
    for room in WAITING:
        place = PACKAGE / room
        for path in [place] if place.is_file() else place.rglob("*.py"):
            if _reads_time_of_day(path):
                found.add(str(path.relative_to(PACKAGE)))
    assert found - SHOWN_TO_PEOPLE == set()
