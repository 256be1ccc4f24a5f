"""The processes that use most memory or processor time: names and numbers only.

Command lines and environments are never read: they hold passwords and tokens.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.reading import printable, scaled, whole
from tidegate.host.tree import Tree

PIDS: Final = 65_536
"""Processes looked at."""
STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting",
    "Z": "zombie",
    "T": "stopped",
    "t": "traced",
    "I": "idle",
    "X": "dead",
}

_INPUTS: Final[shape.Schema] = {
    "type": "object",
    "properties": {
        "sort": {
            "type": "string",
            "enum": ["memory", "cpu"],
            "default": "memory",
            "description": "By resident memory, or by processor time used since the process started",
        },
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": 50,
            "default": 10,
            "description": "How many to list",
        },
    },
    "additionalProperties": False,
}


class Processes:
    name = "processes"
    title = "Processes"
    description = (
        "The processes that use most memory or have used most processor time: name, process id, state. Never "
        "command lines or environments."
    )
    inputs = _INPUTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "process_count": shape.integer("Processes seen; kernel threads included", null=False),
            "zombie_count": shape.integer("Of these, ended but not yet collected by their parent", null=False),
            "processes": shape.array(
                shape.record(
                    {
                        "pid": shape.integer("Process id", null=False),
                        "name": shape.string("Short name of the program"),
                        "state": shape.string("What it is doing"),
                        "resident_bytes": shape.integer("Memory it occupies, shared parts included"),
                        "cpu_time_s": shape.number("Processor time used"),
                        "threads": shape.integer("Threads"),
                        "age_s": shape.number("Time since it started"),
                    }
                ),
                "Largest first",
            ),
        }
    )

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        key = "cpu_time_s" if arguments.get("sort") == "cpu" else "resident_bytes"
        up = (self._tree.text("proc/uptime", 4096) or "").split()
        up_s = whole(up[0].partition(".")[0]) if up else None
        seen = []
        zombies = 0
        for name in self._tree.names("proc", PIDS):
            pid = whole(name, low=1) if name[0] in "123456789" else None
            process = None if pid is None else self._process(pid, up_s)
            if process is not None:
                zombies += process["state"] == "zombie"
                seen.append(process)
        top = heapq.nlargest(int(arguments.get("limit", 10)), seen, key=lambda process: process[key] or 0)
        return {"process_count": len(seen), "zombie_count": zombies, "processes": top}

    def describe(self, observed: Observed) -> str:
        lines = [f"{observed['process_count']} processes, {observed['zombie_count']} of them zombies"]
        lines.extend(
            f"{process['pid']} {phrase.plain(process['name'])}: {phrase.size(process['resident_bytes'])}, "
            f"{phrase.duration(process['cpu_time_s'])} of processor time"
            for process in observed["processes"]
        )
        return "\n".join(lines)

    def _process(self, pid: int, up_s: int | None) -> Observed | None:
        """One line of /proc/PID/stat (proc_pid_stat(5)); the name in parentheses may itself hold parentheses."""
        data = self._tree.data(f"proc/{pid}/stat", 4096)
        if data is None:
            return None
        text = data.decode("utf-8", "replace")
        start, end = text.find("("), text.rfind(")")
        fields = text[end + 1 :].split()
        if start < 0 or end < start or len(fields) < 22:
            return None
        user, system, began = whole(fields[11]), whole(fields[12]), whole(fields[19])
        pages = whole(fields[21])
        age = None if up_s is None or began is None else up_s - began / self._ticks_per_s
        return {
            "pid": pid,
            "name": printable(text[start + 1 : end], 64),
            "state": STATES.get(fields[0]),
            "resident_bytes": scaled(pages, self._page_bytes),
            "cpu_time_s": None if user is None or system is None else round((user + system) / self._ticks_per_s, 2),
            "threads": whole(fields[17], high=2**22),
            "age_s": None if age is None else round(max(age, 0.0), 1),
        }
