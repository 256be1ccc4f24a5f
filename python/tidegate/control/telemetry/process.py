"""What the kernel says about this process, under the names that every Prometheus client library uses.

Read from /proc when asked, so an idle gateway pays nothing. What cannot be read is left out.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

from tidegate.control.telemetry.exposition import Exposition

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def write_process(page: Exposition) -> None:
    """Appends the `process_*` families."""
    fields = _stat()
    if fields:
        # Counted from the state, the first field after the parenthesised name (proc_pid_stat(5), field 3).
        page.single(
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time spent, in seconds.",
            (int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        )
        page.single("process_threads", "gauge", "Threads of the process.", int(fields[17]))
        page.single("process_virtual_memory_bytes", "gauge", "Virtual memory, in bytes.", int(fields[20]))
        page.single(
            "process_resident_memory_bytes", "gauge", "Resident memory, in bytes.", int(fields[21]) * _PAGE_BYTES
        )
        started_s = _boot_s()
        if started_s is not None:
            page.single(
                "process_start_time_seconds",
                "gauge",
                "Start of the process, in seconds since the epoch.",
                started_s + int(fields[19]) / _TICKS_PER_S,
            )
    try:
        # One of them is the directory that is being read.
        open_fds = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
    except OSError:
        pass
    else:
        page.single("process_open_fds", "gauge", "Open file descriptors.", open_fds)
    page.single(
        "process_max_fds",
        "gauge",
        "Most file descriptors that the process may open.",
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def resident_bytes() -> int | None:
    """Of this process; None where the kernel does not tell."""
    fields = _stat()
    return int(fields[21]) * _PAGE_BYTES if fields else None


def cpu_s() -> float | None:
    """User and system CPU time of this process so far; None where the kernel does not tell."""
    fields = _stat()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else None


def _stat() -> list[str]:
    try:
        raw = Path("/proc/self/stat").read_text("ascii", "replace")
    except OSError:
        return []
    return raw[raw.rindex(")") + 2 :].split()


def _boot_s() -> int | None:
    """When the machine started, in seconds since the epoch."""
    try:
        for line in Path("/proc/stat").read_text("ascii", "replace").splitlines():
            if line.startswith("btime "):
                return int(line.split()[1])
    except OSError:
        pass
    return None
