"""Main memory and swap, the pressure on them, and the limit of the control group tidegate runs in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.facts.pressure import PRESSURE, read_pressure
from tidegate.host.reading import percent, scaled, whole
from tidegate.host.tree import Tree

NO_LIMIT_BYTES: Final = 2**62
"""Control groups v1 spell "no limit" as a number near 2**63."""
ANCESTORS: Final = 32
"""Control groups looked at on the way up; a limit of any of them binds."""


class Memory:
    name = "memory"
    title = "Memory"
    description = "Memory and swap in bytes, memory pressure, and the control group limit if there is one."
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "total_bytes": shape.integer("Installed and usable"),
            "available_bytes": shape.integer("Could be given to programs without swapping"),
            "used_bytes": shape.integer("Total less available"),
            "used_percent": shape.number("Of total"),
            "free_bytes": shape.integer("Not used for anything"),
            "buffers_bytes": shape.integer("Block device buffers"),
            "cached_bytes": shape.integer("Page cache"),
            "swap_total_bytes": shape.integer("Swap space"),
            "swap_free_bytes": shape.integer("Unused swap"),
            "swap_used_percent": shape.number("Of the swap space"),
            "pressure": PRESSURE,
            "cgroup_limit_bytes": shape.integer("Tightest control group limit on this process; null for none"),
            "cgroup_used_bytes": shape.integer("Used in the control group that has the limit"),
        }
    )

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        kib: dict[str, int | None] = {}
        for line in self._tree.lines("proc/meminfo")[:256]:
            name, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB":
                kib[name] = whole(words[0])
        total = scaled(kib.get("MemTotal"), 1024)
        free = scaled(kib.get("MemFree"), 1024)
        available = scaled(kib.get("MemAvailable"), 1024)
        swap_total = scaled(kib.get("SwapTotal"), 1024)
        swap_free = scaled(kib.get("SwapFree"), 1024)
        used = max(total - available, 0) if total is not None and available is not None else None
        swap_used = swap_total - swap_free if swap_total is not None and swap_free is not None else None
        limit, held = self._cgroup()
        return {
            "total_bytes": total,
            "available_bytes": available,
            "used_bytes": used,
            "used_percent": percent(used, total),
            "free_bytes": free,
            "buffers_bytes": scaled(kib.get("Buffers"), 1024),
            "cached_bytes": scaled(kib.get("Cached"), 1024),
            "swap_total_bytes": swap_total,
            "swap_free_bytes": swap_free,
            "swap_used_percent": percent(swap_used, swap_total),
            "pressure": read_pressure(self._tree, "memory"),
            "cgroup_limit_bytes": limit,
            "cgroup_used_bytes": held,
        }

    def describe(self, observed: Observed) -> str:
        used, total = phrase.size(observed["used_bytes"]), phrase.size(observed["total_bytes"])
        share, left = phrase.share(observed["used_percent"]), phrase.size(observed["available_bytes"])
        lines = [f"Memory {used} of {total} used ({share}), {left} available"]
        if observed["swap_total_bytes"]:
            share = phrase.share(observed["swap_used_percent"])
            lines.append(f"Swap {phrase.size(observed['swap_total_bytes'])}, {share} used")
        elif observed["swap_total_bytes"] == 0:
            lines.append("No swap")
        if observed["cgroup_limit_bytes"] is not None:
            lines.append(
                f"Control group limit {phrase.size(observed['cgroup_limit_bytes'])}, "
                f"{phrase.size(observed['cgroup_used_bytes'])} used"
            )
        pressure = observed["pressure"]
        if pressure is not None and pressure["some_avg10_percent"] is not None:
            lines.append(f"Pressure {phrase.share(pressure['some_avg10_percent'])} over the last 10 s")
        return "\n".join(lines)

    def _cgroup(self) -> tuple[int | None, int | None]:
        """(limit, used) of the tightest group from ours to the root; both versions of the hierarchy."""
        best: tuple[int | None, int | None] = (None, None)
        for line in self._tree.lines("proc/self/cgroup")[:64]:
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                top, limit_file, used_file = "sys/fs/cgroup", "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                top, limit_file, used_file = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            parts = [part for part in path.split("/") if part]
            for depth in range(min(len(parts), ANCESTORS), -1, -1):
                group = "/".join([top, *parts[:depth]])
                limit = self._tree.whole(f"{group}/{limit_file}", high=NO_LIMIT_BYTES)
                if limit is not None and (best[0] is None or limit < best[0]):
                    best = limit, self._tree.whole(f"{group}/{used_file}")
        return best
