"""CPU time and memory of child processes with all that they started, as the kernel tells it.

Asked by the admin listener while somebody watches; nothing is kept. A child leads a process group of its own
(`upstream/stdio_child.py`), so its group is what it started. One pass over /proc serves all children.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final, NamedTuple

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_MOST_PROCESSES: Final = 20_000
"""Looked at in one pass; on a small box there are hundreds."""


class Usage(NamedTuple):
    """Of a process group at one moment."""

    cpu_s: float
    """User and system time of those that run, and of what they waited for."""
    memory_bytes: int
    """Resident."""
    processes: int


def group_usage(pids: Collection[int]) -> dict[int, Usage]:
    """Usage of the process groups that these processes lead; without those that are gone. Reads files."""
    if not pids:
        return {}
    found: dict[int, Usage] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208  names alone
    except OSError:
        return {}
    for name in names[:_MOST_PROCESSES]:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  hundreds at a time
                raw = file.read()
        except OSError:  # ended meanwhile
            continue
        # Counted from the state, the first field after the parenthesised name (proc_pid_stat(5), field 3).
        fields = raw[raw.rfind(b")") + 2 :].split()
        if len(fields) < 22 or (group := int(fields[2])) not in pids:
            continue
        ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
        before = found.get(group, Usage(0.0, 0, 0))
        found[group] = Usage(
            before.cpu_s + ticks / _TICKS_PER_S,
            before.memory_bytes + int(fields[21]) * _PAGE_BYTES,
            before.processes + 1,
        )
    return found
