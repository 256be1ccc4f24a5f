"""What a child uses together with all that it started."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tidegate.pipeline.upstream.child.proc import children_of, read_memory, read_proportional

_MOST_PROCESSES: Final = 256
"""Looked at for one child when somebody asks for its statistics."""


def descendants(pid: int) -> list[int]:
    """The process and what it started, as far as parents are still there."""
    found = [pid]
    for known in found:
        if len(found) >= _MOST_PROCESSES:
            break
        found += children_of(known)
    return found[:_MOST_PROCESSES]


def memory_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants. Reads some files, at once."""
    return estimate(descendants(pid))


def estimate(pids: Iterable[int]) -> int:
    """Resident memory: what each has to itself, and once what the largest shares. Never much less than it really is."""
    own, most_shared = 0, 0
    for pid in pids:
        private, shared = read_memory(pid)
        own += private
        most_shared = max(most_shared, shared)
    return own + most_shared


def measure(pids: Iterable[int]) -> int:
    """Resident memory with each shared page counted once, as exactly as the kernel tells. Slow."""
    total = 0
    for pid in pids:
        proportional = read_proportional(pid)
        total += sum(read_memory(pid)) if proportional is None else proportional
    return total
