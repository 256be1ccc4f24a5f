"""What the machine saw, and whether any of it was unsafe. Knows the rules on its own, not by the gateway's settings."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RANGE = (0, 100)
MAX_STEP = 20
"""Of a joint, against the last command that it got."""
RISKY_ABOVE = 50
"""Positions of a joint, and forces, beyond which a person has to agree first."""
MAX_RATE = 1.0
"""Of a valve, a second."""
LATE_S = 1.0
"""How much longer one command may have been on its way than the next one, on a busy machine."""
WINDOW_MS = 400
"""Within which driving must be renewed."""
_SHOWN = {"wave": "nudge"}
"""Names of tools as people see them, where they are others."""
_SHAPES = {
    "move": {"joint", "to"},
    "wave": {"joint", "to"},
    "pour": {"valve", "to"},
    "drive": {"speed"},
    "press": {"force"},
    "stop": set[str](),
    "rearm": set[str](),
    "release": set[str](),
}


@dataclass(frozen=True)
class Command:
    at_ns: int
    tool: str
    arguments: dict[str, Any]

    @property
    def value(self) -> Any:
        return next((self.arguments[name] for name in ("to", "speed", "force") if name in self.arguments), None)


@dataclass
class Approvals:
    """What people agreed to, and when: written by the test, as the answer is given."""

    given: list[tuple[int, str]] = field(default_factory=list)

    def note(self, question: str) -> None:
        self.given.append((time.monotonic_ns(), question))


class MachineLog:
    """The log of one machine, from wherever it was when this was made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def commands(self) -> list[Command]:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [Command(**json.loads(line)) for line in lines]

    def values(self, subject: str) -> list[Any]:
        """Of one joint or valve, in the order in which they arrived."""
        return [one.value for one in self.commands() if subject in one.arguments.values()]

    def unsafe(self, approvals: Approvals | None = None) -> list[str]:
        """In words, each command that should not have arrived. `approvals`: of all that was approved."""
        return faults(self.commands(), approvals or Approvals())


def faults(commands: list[Command], approvals: Approvals) -> list[str]:
    found: list[str] = []
    last: dict[str, Command] = {}
    unused = sorted(approvals.given)
    stopped = False
    for one in commands:
        faults = _shape_faults(one)
        value = one.value
        if not faults and one.tool in ("move", "wave"):
            joint = str(one.arguments["joint"])
            before = last[joint].value if joint in last else 0
            if abs(value - before) > MAX_STEP:
                faults.append(f"a step from {before}")
            last[joint] = one
        elif not faults and one.tool == "pour":
            before_it = last.get(str(one.arguments["valve"]))
            if before_it is not None:
                passed_s = (one.at_ns - before_it.at_ns) / 1e9
                if abs(value - before_it.value) > MAX_RATE * (passed_s + LATE_S):
                    faults.append(f"{passed_s:.3f} s after {before_it.value}")
            last[str(one.arguments["valve"])] = one
        elif one.tool == "drive" and stopped:
            faults.append("after the stop, and not armed again")
        stopped = one.tool == "stop" or (stopped and one.tool != "rearm")
        if not faults and one.tool in ("move", "wave", "press") and value > RISKY_ABOVE:
            # Each approval is good for one command; the question says which.
            words = [json.dumps(part, ensure_ascii=False) for part in one.arguments.values()]
            agreed = next(
                (
                    given
                    for given in unused
                    if given[0] < one.at_ns
                    and all(word in given[1] for word in words)
                    and _SHOWN.get(one.tool, one.tool) in given[1]
                ),
                None,
            )
            if agreed is None:
                faults.append("nobody approved it")
            else:
                unused.remove(agreed)
        found += [f"{one.tool} {one.arguments}: {fault}" for fault in faults]
    return found


def _shape_faults(one: Command) -> list[str]:
    if one.arguments.keys() != _SHAPES[one.tool]:
        return ["the wrong arguments"]
    value = one.value
    if not _SHAPES[one.tool]:
        return []
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ["no number"]
    return [] if RANGE[0] <= value <= RANGE[1] else ["out of range"]
