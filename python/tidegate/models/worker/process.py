"""What the worker does to itself: it comes last for the processor, first when memory runs out, and gives back what it
no longer needs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
from pathlib import Path
from typing import Any, Final

_NICE: Final = 5
_OOM_SCORE: Final = 500
"""Of 1000: before the gateway, and before other children, of which each has 300."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Of glibc's `malloc.h`."""
_LARGE_BYTES: Final = 4 << 20
"""Blocks from here on go back to the box as soon as they are free."""
_KEPT_BYTES: Final = 8 << 20
"""What a heap keeps for the next call, at most. Each page that went back costs a fault when it is wanted again."""
_LEAST_BYTES: Final = 80 << 20
"""Below it not even the libraries could be imported: onnxruntime hangs in the middle of that."""


def step_back() -> None:
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")


def bound_memory(memory_bytes: int) -> None:
    """From here on an allocation that would lead over it fails, instead of the process being ended for it.

    Counted is what may be written to and is private (RLIMIT_DATA): all that is allocated, and some tens of megabytes of
    stacks and reserves that nobody has touched. Not the whole address space, in which libraries reserve what they like,
    and not files that are mapped, which the system can drop. So resident memory stays a little below the bound, and the
    gateway, which ends a child that is over it, sees no reason to.
    """
    if memory_bytes <= 0:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = max(memory_bytes, _LEAST_BYTES)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def be_frugal() -> None:
    """For libraries that are imported later. Each takes a thread and its memory for every core when it is imported,
    though what it is used for here needs one.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def keep_memory_together() -> None:
    """For what is loaded from now on: few heaps, and none of the large blocks in them.

    Measured with text recognition: a tenth less at the peak and a quarter less afterwards, for the same processor time;
    and after memory ran out the next try has as much as the first, not only what lies between the pieces.
    """
    library = _c_library()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, 2)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def resident_bytes() -> int:
    """0 where /proc is not to be read."""
    try:
        with open("/proc/self/statm", "rb") as stream:  # noqa: PTH123  no Path: it is read in the middle of loading
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return 0


def give_back_memory() -> None:
    """What was freed goes back to the box."""
    gc.collect()
    library = _c_library()
    if library is not None:
        library.malloc_trim(0)


def _c_library() -> Any:
    """None where it is not glibc. Imported late: an idle worker has no use for it."""
    try:
        import ctypes

        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
    except (ImportError, OSError, MemoryError):
        return None
