"""What /proc tells of processes: who descends from whom, what they use. Plain system calls, no state.

Reading one row costs some 15 µs; whoever reads many does so in portions (`family.py`).
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_MOST_BYTES: Final = 128 * 1024
"""An environment's beginning, which is where a marked child has its mark, unless it was started with a huge one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One process, from /proc/PID/stat. A pid is used again; pid and `started` together are not."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started: int
    """Ticks since the machine started."""
    cpu_ticks: int
    """Of its own and of its children that it has waited for."""

    @property
    def dead(self) -> bool:
        """Only waiting to be reaped."""
        return self.state in "ZX"


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208  ten times slower by Path


def _read(path: str, most_bytes: int = _MOST_BYTES) -> bytes:
    """Empty when it is gone or not ours to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, most_bytes)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def read_row(pid: int) -> Row | None:
    """None when there is no such process."""
    data = _read(f"/proc/{pid}/stat", 4096)
    # The name of the program stands in parentheses and may hold any character.
    words = data[data.rfind(b")") + 2 :].split()
    if len(words) < 20:
        return None
    return Row(
        pid=pid,
        state=words[0].decode("ascii"),
        parent=int(words[1]),
        group=int(words[2]),
        session=int(words[3]),
        started=int(words[19]),
        cpu_ticks=int(words[11]) + int(words[12]) + int(words[13]) + int(words[14]),
    )


def read_variable(pid: int, name: str) -> bytes:
    """A variable of the environment that the process was started with; empty when it has none, or keeps it secret."""
    start = name.encode() + b"="
    data = b"\0" + _read(f"/proc/{pid}/environ")
    at = data.find(b"\0" + start)
    if at < 0:
        return b""
    at += 1 + len(start)
    end = data.find(b"\0", at)
    return data[at:end] if end >= 0 else data[at:]


def children_of(pid: int) -> list[int]:
    """Those it started and that still have it as parent. Empty where the kernel does not keep the list."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return found
    for thread in threads:
        found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def read_memory(pid: int) -> tuple[int, int]:
    """(bytes of its own, bytes of files and shared memory that others may have as well), both resident."""
    words = _read(f"/proc/{pid}/statm", 256).split()
    if len(words) < 3:
        return 0, 0
    resident, shared = int(words[1]) * PAGE_BYTES, int(words[2]) * PAGE_BYTES
    return resident - shared, shared


def read_proportional(pid: int) -> int | None:
    """Resident bytes, each shared page divided by the number of those who share it. Slow: a walk of the page table."""
    for line in _read(f"/proc/{pid}/smaps_rollup").split(b"\n"):
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None


def send_signal(row: Row, number: signal.Signals) -> bool:
    """Sends to exactly that process, never to one that has got its pid since. False: it is gone, or not ours."""
    try:
        descriptor = os.pidfd_open(row.pid)
    except OSError:
        descriptor = -1  # Gone, or a kernel before 5.3.
    try:
        now = read_row(row.pid)
        if now is None or now.started != row.started:
            return False
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(row.pid, number)
    except OSError:
        return False
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True
