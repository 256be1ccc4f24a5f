"""Fewer files may be open than the configured limits need."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend

OWN: Final = 64
"""The daemon's own: listeners, logs, the loop."""
_OF_CHILD: Final = 4
_OF_BACKEND: Final = 64
"""Connections to one HTTP server, at most."""


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None:
        return
    limit, where = resource.getrlimit(resource.RLIMIT_NOFILE)[0], "this shell (`ulimit -n`)"
    if case.running is not None and (found := _limit_of(case.running.pid)) is not None:
        limit, where = found, f"the running gateway (pid {case.running.pid})"
    connections = case.snapshot.limits.connections
    backends = sum(_of(item) for item in case.backends)
    needed = connections + backends + OWN
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return
    yield Finding(
        "warning",
        f"{limit} files may be open, and the limits of the configuration need up to {needed}",
        f"the limit of {where}; {connections} for `limits.connections`, {backends} for servers, {OWN} its own",
        "before the connections are used up, none can be accepted and no server started",
        "raise the limit where the gateway is started, or take fewer connections",
        (
            f"ulimit -n {needed}",
            "# or, after `systemctl edit tidegate`:",
            "[Service]",
            f"LimitNOFILE={needed}",
            "# or, in tidegate.toml:",
            "[limits]",
            f"connections = {max(limit - backends - OWN, 16)}",
        ),
    )


def _limit_of(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    word = next((line.split()[3] for line in lines if line.startswith("Max open files")), "")
    return int(word) if word.isdigit() else None


CHECK = BoxCheck("descriptors", "enough files may be open for the configured limits", _look)


def _of(backend: Backend) -> int:
    if backend.transport in ("builtin", "wasm"):
        return 0  # no connection leads there
    return _OF_CHILD if backend.transport == "stdio" else _OF_BACKEND
