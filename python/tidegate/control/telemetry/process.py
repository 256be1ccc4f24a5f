"""What the kernel says about this process, under the names that every Prometheus client library uses.

Read from /proc when asked, so an idle gateway pays nothing. What cannot be read is left out.
"""

from __future__ import annotations

import resource
from pathlib import Path

from tidegate.control.telemetry.exposition import Exposition
from tidegate.pipeline.upstream.child.proc import PAGE_BYTES, TICKS_PER_S


def write_process(page: Exposition) -> None:
    """Appends the `process_*` families."""
    fields = _stat()
    if fields:
        page.single(
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time spent, in seconds.",
            _cpu_s(fields),
        )
        page.single("process_threads", "gauge", "Threads of the process.", int(fields[17]))
        page.single("process_virtual_memory_bytes", "gauge", "Virtual memory, in bytes.", int(fields[20]))
        page.single("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.", _resident_bytes(fields))
        started_s = _boot_s()
        if started_s is not None:
            page.single(
                "process_start_time_seconds",
                "gauge",
                "Start of the process, in seconds since the epoch.",
                started_s + int(fields[19]) / TICKS_PER_S,
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
    return _resident_bytes(fields) if fields else None


def cpu_s() -> float | None:
    """User and system CPU time of this process so far; None where the kernel does not tell."""
    fields = _stat()
    return _cpu_s(fields) if fields else None


def _resident_bytes(fields: list[str]) -> int:
    return int(fields[21]) * PAGE_BYTES


def _cpu_s(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _stat() -> list[str]:
    """Counted from the state, the first field after the parenthesised name (proc_pid_stat(5), field 3)."""
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
