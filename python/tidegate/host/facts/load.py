"""How busy the processors are: load averages, utilisation since the last look, tasks, pressure."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.clock import Clock
from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.facts.pressure import PRESSURE, read_pressure
from tidegate.host.reading import fraction, percent, whole
from tidegate.host.tree import Tree

SHORTEST_S: Final = 0.5
"""Two readings closer than this say nothing (the kernel counts in 10 ms): the one before is kept instead."""
CPUS: Final = 1024


@dataclass(frozen=True, slots=True)
class _Reading:
    """The `cpu` lines of /proc/stat at one moment; ticks of user, nice, system, idle, iowait, irq, softirq, steal."""

    at_s: float
    ticks: dict[str, tuple[int, ...]]


class Load:
    name = "load"
    title = "Processor load"
    description = (
        "Load averages, number of processors, utilisation of each since the previous look, running and blocked "
        "tasks, and processor and I/O pressure."
    )
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "load_1min": shape.number("Load average over 1 minute"),
            "load_5min": shape.number("Load average over 5 minutes"),
            "load_15min": shape.number("Load average over 15 minutes"),
            "cpu_count": shape.integer("Processors online"),
            "interval_s": shape.number("Time the utilisation covers; null when there was no earlier look"),
            "utilisation_percent": shape.number("All processors together, 0 to 100"),
            "iowait_percent": shape.number("Idle while waiting for storage"),
            "steal_percent": shape.number("Taken by the hypervisor"),
            "cpus": shape.array(
                shape.record(
                    {
                        "cpu": shape.integer("Processor number", null=False),
                        "utilisation_percent": shape.number("0 to 100"),
                    }
                ),
                "One entry a processor",
            ),
            "running_tasks": shape.integer("Threads running or ready to run"),
            "blocked_tasks": shape.integer("Threads waiting for storage"),
            "total_tasks": shape.integer("All threads"),
            "cpu_pressure": PRESSURE,
            "io_pressure": PRESSURE,
        }
    )

    def __init__(self, tree: Tree, clock: Clock) -> None:
        self._tree = tree
        self._clock = clock
        self._lock = threading.Lock()
        self._latest, _ = self._look()
        self._previous: _Reading | None = None

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        now, counts = self._look()
        before = self._turn(now)
        averages = (self._tree.text("proc/loadavg", 4096) or "").split()
        tasks = averages[3].split("/") if len(averages) > 3 else []
        spent = _spent(before, now, "cpu")
        total = sum(spent) if spent else None
        return {
            "load_1min": fraction(averages[0]) if averages else None,
            "load_5min": fraction(averages[1]) if len(averages) > 1 else None,
            "load_15min": fraction(averages[2]) if len(averages) > 2 else None,
            "cpu_count": sum(1 for name in now.ticks if name != "cpu") or None,
            "interval_s": round(now.at_s - before.at_s, 3) if before is not None and total else None,
            "utilisation_percent": _busy(spent),
            "iowait_percent": percent(spent[4], total) if spent else None,
            "steal_percent": percent(spent[7], total) if spent else None,
            "cpus": [
                {"cpu": int(name[3:]), "utilisation_percent": _busy(_spent(before, now, name))}
                for name in now.ticks
                if name != "cpu"
            ],
            "running_tasks": counts.get("procs_running"),
            "blocked_tasks": counts.get("procs_blocked"),
            "total_tasks": whole(tasks[1]) if len(tasks) == 2 else None,
            "cpu_pressure": read_pressure(self._tree, "cpu"),
            "io_pressure": read_pressure(self._tree, "io"),
        }

    def describe(self, observed: Observed) -> str:
        lines = [
            "Load {} {} {} (1, 5, 15 min) on {} processors".format(
                *(phrase.plain(observed[key]) for key in ("load_1min", "load_5min", "load_15min", "cpu_count"))
            )
        ]
        if observed["utilisation_percent"] is not None:
            each = ", ".join(phrase.share(cpu["utilisation_percent"]) for cpu in observed["cpus"][:64])
            lines.append(
                f"Utilisation {phrase.share(observed['utilisation_percent'])} over the last "
                f"{observed['interval_s']:.1f} s ({each})"
            )
        running, total = phrase.plain(observed["running_tasks"]), phrase.plain(observed["total_tasks"])
        lines.append(f"Tasks: {running} running, {total} in all")
        return "\n".join(lines)

    def _look(self) -> tuple[_Reading, dict[str, int | None]]:
        ticks: dict[str, tuple[int, ...]] = {}
        counts: dict[str, int | None] = {}
        for line in self._tree.lines("proc/stat"):
            words = line.split()
            if len(words) < 2:
                continue
            name = words[0]
            if name.startswith("cpu") and len(ticks) <= CPUS:
                if name != "cpu" and whole(name[3:], high=65535) is None:
                    continue
                values = [whole(word) for word in words[1:9]]
                if len(values) >= 4 and None not in values:
                    known = tuple(value for value in values if value is not None)
                    ticks[name] = known + (0,) * (8 - len(known))
            elif name in ("procs_running", "procs_blocked"):
                counts[name] = whole(words[1])
        return _Reading(self._clock.now_s(), ticks), counts

    def _turn(self, now: _Reading) -> _Reading | None:
        """Keeps `now` for the next call and gives the reading to compare it with."""
        with self._lock:
            if now.at_s - self._latest.at_s >= SHORTEST_S:
                self._previous, self._latest = self._latest, now
            return self._previous


def _spent(before: _Reading | None, now: _Reading, name: str) -> list[int] | None:
    """Ticks used in each state between two readings; None when that cannot be said."""
    if before is None or name not in before.ticks or name not in now.ticks:
        return None
    # iowait may run backwards (proc(5)), and a processor that went offline starts again
    spent = [max(new - old, 0) for old, new in zip(before.ticks[name], now.ticks[name], strict=True)]
    return spent if sum(spent) > 0 else None


def _busy(spent: list[int] | None) -> float | None:
    if spent is None:
        return None
    total = sum(spent)
    return percent(total - spent[3] - spent[4], total)
