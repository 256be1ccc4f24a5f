"""Starting and ending what a benchmark runs, and what the kernel says about it. Processes are ended by their own id."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

WORK = Path(__file__).parent / ".work"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process:
    """A child; with `says` its first line on stdout is awaited (at most 20 s)."""

    def __init__(self, *command: str | Path, says: bool = False, environment: dict[str, str] | None = None) -> None:
        self.started_s = time.perf_counter()
        with (WORK / "stderr.log").open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our words
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if says else log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._child.pid
        self.said = _first_line(self._child.stdout) if self._child.stdout is not None else b""
        self.said_s = time.perf_counter() - self.started_s

    def end(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(10)
        if self._child.stdout is not None:
            self._child.stdout.close()


def _first_line(stream: IO[bytes]) -> bytes:
    if not select.select([stream], [], [], 20)[0]:
        raise TimeoutError("the process said nothing for 20 s")
    return stream.readline()


def announced(process: Process) -> dict[str, object]:
    fields: dict[str, object] = json.loads(process.said)
    return fields


@contextmanager
def on_one_core(pids: Iterable[int]) -> Iterator[None]:
    """These processes, this one and what it starts take turns on one processor meanwhile."""
    before = os.sched_getaffinity(0)
    everybody = [os.getpid(), *pids]
    _bind(everybody, {min(before)})
    try:
        yield
    finally:
        _bind(everybody, before)


def _bind(pids: Iterable[int], processors: set[int]) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), processors)


def cpu_s(pid: int) -> float:
    """User and system time of this one process since it started."""
    return sum(_times_s(pid))


def kernel_s(pid: int) -> float:
    """System time alone."""
    return _times_s(pid)[1]


def _times_s(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS_PER_S, int(fields[12]) / _TICKS_PER_S


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory_kib(pid: int) -> dict[str, int]:
    """RSS, PSS and USS."""
    rows = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    value = {name: int(text.split()[0]) for name, text in rows.items()}
    return {"rss": value["Rss"], "pss": value["Pss"], "uss": value["Private_Clean"] + value["Private_Dirty"]}


def wakeups(pid: int) -> int:
    """How often its threads went from waiting to running of their own accord, since they started."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        count += int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return count
