"""CPU time of child processes with all that they started, as the kernel tells it.

Asked by the admin listener while somebody watches; nothing is kept. What is read is a few files for each process of the
child's own, however many others the machine has.
"""

from __future__ import annotations

from typing import NamedTuple

from tidegate.pipeline.upstream.child.proc import TICKS_PER_S, read_row
from tidegate.pipeline.upstream.child.usage import descendants, estimate


class Usage(NamedTuple):
    """Of a process and its descendants at one moment."""

    cpu_s: float
    """User and system time of those that run, and of what they waited for."""
    memory_bytes: int
    """Resident."""
    processes: int


def tree_usage(pid: int) -> Usage | None:
    """None when the process is gone."""
    rows = [row for row in map(read_row, descendants(pid)) if row is not None and not row.dead]
    if not any(row.pid == pid for row in rows):
        return None
    ticks = sum(row.cpu_ticks for row in rows)
    return Usage(ticks / TICKS_PER_S, estimate(row.pid for row in rows), len(rows))
