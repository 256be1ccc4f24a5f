"""The box has less memory than what is configured may take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend
from tidegate.host.facts.memory import Memory
from tidegate.host.phrase import size

_MIB: Final = 1024 * 1024
_DAEMON: Final = 45 * _MIB
_OF_NODE: Final = 90 * _MIB
_OF_OTHER: Final = 50 * _MIB
"""Of one idle server; measured with the reference servers, and a guess for any other."""
_NODE: Final = frozenset(("node", "npx", "npm", "bunx", "deno"))


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None:
        return
    observed = Memory(case.tree).observe({})
    total, group = observed["total_bytes"], observed["cgroup_limit_bytes"]
    if total is None:
        return
    room, where = (group, "the control group has") if group is not None and group < total else (total, "the box has")
    # Workers of models share one budget, of which `model_files` tells.
    children = [backend for backend in case.backends if backend.transport == "stdio" and not backend.models]
    bounds = {backend.name: backend.memory_bytes for backend in children if backend.memory_bytes}
    needed = _DAEMON + sum(bounds.get(backend.name) or _idle(backend) for backend in children)
    if needed > room:
        limited = f", of which {size(sum(bounds.values()))} are limits (`memory_bytes`)" if bounds else ""
        yield Finding(
            "warning",
            f"the servers may take {size(needed)} of memory, and {where} {size(room)}",
            f"{len(children)} servers that are programs, each counted once{limited}; the rest is estimated",
            "when it is used up the kernel ends programs, not always the right one",
            "run fewer at once (`enabled = false`, or let them stop when idle), or set lower limits",
            tuple(f"[backends.{name}]\nmemory_bytes = {bound // 2}" for name, bound in [*bounds.items()][:1]),
        )
    available = observed["available_bytes"]
    if case.running is None and available is not None and available < _DAEMON:
        yield Finding(
            "error",
            f"{size(available)} of memory are left",
            "MemAvailable of the kernel",
            f"the gateway alone needs about {size(_DAEMON)}",
            "see what takes it",
            ("ps -eo rss,comm --sort=-rss | head",),
        )


def _idle(backend: Backend) -> int:
    return _OF_NODE if Path(backend.command[0]).name in _NODE else _OF_OTHER


CHECK = BoxCheck("memory", "the box has the memory that the configured servers may take", _look)
