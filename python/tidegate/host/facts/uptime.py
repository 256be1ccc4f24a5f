"""Since when the box runs and how much of that time its processors idled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.reading import fraction, percent, whole
from tidegate.host.tree import Tree

LAST_SECOND: Final = 253402300799
"""9999-12-31T23:59:59Z, the end of ISO-8601 with four digits."""


def iso(seconds: float) -> str:
    """Seconds since the epoch (0…`LAST_SECOND`) as ISO-8601 UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Uptime:
    name = "uptime"
    title = "Uptime"
    description = "How long the box has been up, when it booted, and how long its processors idled."
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "uptime_s": shape.number("Seconds since boot, suspend included"),
            "booted_at": shape.string("Boot time, ISO-8601 UTC"),
            "idle_s": shape.number("Idle time summed over all processors"),
            "idle_percent": shape.number("Idle share since boot"),
        }
    )

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        words = (self._tree.text("proc/uptime", 4096) or "").split()
        up = fraction(words[0]) if words else None
        idle = fraction(words[1]) if len(words) > 1 else None
        booted: int | None = None
        cpus = 0
        for line in self._tree.lines("proc/stat"):
            if line.startswith("btime "):
                booted = whole(line[6:], high=LAST_SECOND)
            elif line.startswith("cpu") and line[3:4].isdigit():
                cpus += 1
        return {
            "uptime_s": up,
            "booted_at": None if booted is None else iso(booted),
            "idle_s": idle,
            "idle_percent": percent(idle, up * cpus) if up is not None else None,
        }

    def describe(self, observed: Observed) -> str:
        text = f"Up {phrase.duration(observed['uptime_s'])}"
        if observed["booted_at"] is not None:
            text += f", since {observed['booted_at']}"
        if observed["idle_percent"] is not None:
            text += f"; processors idle {phrase.share(observed['idle_percent'])} of it"
        return text
