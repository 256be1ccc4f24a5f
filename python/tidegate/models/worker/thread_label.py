"""The name of a model's thread, as the kernel shows it: which models a worker has loaded can be seen from outside.

A model has a thread while it is loaded or has something to do (`lane.py`). `top -H` shows it by this name, and the
admin listener reads it for `tidegate status`, so that a worker need not be asked.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

_MARK: Final = "m:"
_KERNEL_CHARS: Final = 15
"""The kernel keeps no more; names of models are ASCII."""


def label_of(model: str) -> str:
    """Models whose names begin alike have the same."""
    return f"{_MARK}{model}"[:_KERNEL_CHARS]


def label_this_thread(model: str) -> None:
    """Threads that it starts from now on, such as those of a library that computes, have the same label."""
    with contextlib.suppress(OSError, MemoryError):
        place = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        place.write_text(label_of(model), encoding="ascii")


def labels_in(pid: int) -> tuple[str, ...]:
    """Of the threads of a process that have one; none where it is gone or not ours to look at."""
    found: set[str] = set()
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208  ten times slower by Path
    except OSError:
        return ()
    for thread in threads:
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/task/{thread}/comm").read_bytes().decode("utf-8", "replace").rstrip("\n")
            if name.startswith(_MARK):
                found.add(name)
    return tuple(sorted(found))
