"""The mark in the environment of every child, which all that it starts inherit.

A process that leaves its group and its parent still carries the mark, so it is found by `family.py`, and by
`keeper.py` after the daemon was killed. The mark names the daemon beyond doubt (boot, PID namespace, pid, start) and
the child by a number. A gateway that is itself the child of another adds its mark to the one it has inherited.
"""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Final

from tidegate.pipeline.upstream.child.proc import read_row

VARIABLE: Final = "TIDEGATE_CHILD"

_numbers = count(1)


@lru_cache(maxsize=1)
def started() -> int:
    """When this process was, as `Row.started`."""
    own = read_row(os.getpid())
    return own.started if own is not None else 0


@lru_cache(maxsize=1)
def daemon_mark() -> str:
    """What the marks of all children of this process begin with."""
    return f"{_boot()}.{_namespace()}.{os.getpid()}.{started()}."


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "0"


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116  of the link's target, which has no path
    except OSError:
        return 0


def next_mark() -> str:
    """The mark of one more child."""
    return f"{daemon_mark()}{next(_numbers)}"


def marked(environment: dict[str, str], mark: str) -> dict[str, str]:
    """`environment` for a child with that mark."""
    outer = os.environ.get(VARIABLE)
    own = {VARIABLE: f"{outer} {mark}" if outer else mark}
    # In front, where it is found first.
    return own | environment | own
