"""What a daemon holds: memory, descriptors, tasks, children, sessions; and the judgement over many looks."""

from __future__ import annotations

import json
import statistics
import urllib.request
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


@dataclass
class Look:
    """At one moment. Bytes, and counts."""

    calls: int
    """Answered, given up or failed so far."""
    rss_bytes: int
    anon_bytes: int
    """Of `rss_bytes`, what is no file's."""
    descriptors: int
    threads: int
    children: int
    """And what they started in turn."""
    connections: int
    sessions: int
    listeners: int
    in_flight: int
    queued: int
    suspended: int
    tasks: int
    """Of the event loop."""


HELD = ("descriptors", "children", "connections", "sessions", "listeners", "in_flight", "queued", "suspended", "tasks")
"""Threads are not among them: those of executors come and go, and are judged by the most there were in the warm-up."""


def status(admin: str) -> dict[str, Any]:
    with urllib.request.urlopen(admin + "/status", timeout=30) as page:
        found: dict[str, Any] = json.load(page)
        return found


def look(pid: int, admin: str, calls: int) -> Look:
    """A look at the daemon, which counts its own connection to the admin listener too."""
    said = status(admin)
    memory = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())

    def kib(key: str) -> int:
        return int(memory[key].split()[0]) * 1024

    connections = said["connections"]
    return Look(
        calls=calls,
        rss_bytes=kib("VmRSS"),
        anon_bytes=kib("RssAnon"),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(memory["Threads"]),
        children=len(descendants(pid)),
        connections=int(connections["open"] if isinstance(connections, dict) else connections),
        sessions=int(said["sessions"]),
        listeners=int(said["listeners"]),
        in_flight=int(said["in_flight"]),
        queued=sum(int(backend.get("queued", 0)) for backend in said["backends"]),
        suspended=int(said["suspended"]["calls"]),
        tasks=int(said["loop_tasks"]),
    )


def children_of(pid: int) -> list[int]:
    """Of all its threads; none when it is gone."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            continue
    return found


def descendants(pid: int) -> list[int]:
    found = []
    for child in children_of(pid):
        found += [child, *descendants(child)]
    return found


def growth_bytes(looks: list[Look]) -> float:
    """How much more `rss_bytes` the straight line through all looks has at their end than at their beginning."""
    if len(looks) < 2:
        return 0.0
    slope, _ = statistics.linear_regression([look.calls for look in looks], [look.rss_bytes for look in looks])
    return slope * (looks[-1].calls - looks[0].calls)


def grown(base: Look, last: Look) -> list[str]:
    """What of `HELD` is more at the end than it was at the beginning."""
    return [
        f"{name}: {getattr(base, name)} at first, {getattr(last, name)} at the end"
        for name in HELD
        if getattr(last, name) > getattr(base, name)
    ]


def table(looks: list[Look]) -> str:
    """Markdown."""
    heads = [field.name for field in fields(Look)]
    lines = ["| " + " | ".join(heads).replace("_bytes", " MiB") + " |", "|" + " ---: |" * len(heads)]
    for each in looks:
        cells = [
            f"{getattr(each, name) / MIB:.2f}" if name.endswith("_bytes") else f"{getattr(each, name):,}"
            for name in heads
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
