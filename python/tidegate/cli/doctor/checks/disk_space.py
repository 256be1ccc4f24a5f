"""The disk that the gateway writes to is full, or nearly."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.nearest import nearest_existing
from tidegate.config.paths import state_directory
from tidegate.host.phrase import size

_MIB: Final = 1024 * 1024
FULL_BYTES: Final = 16 * _MIB
NEARLY_BYTES: Final = 128 * _MIB
"""One package that npx or uvx fetches."""
_FEW_INODES: Final = 1000


def _look(case: Case) -> Iterator[Finding]:
    places = {"temporary files": _temporary(case)}
    if (directory := state_directory(case.environ)) is not None:
        places = {"what it remembers": nearest_existing(directory), **places}
    seen: set[int] = set()
    for what, place in places.items():
        device = place.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield from _judge(what, place)


def _temporary(case: Case) -> Path:
    return nearest_existing(Path(case.environ.get("TMPDIR") or tempfile.gettempdir()))


def _judge(what: str, place: Path) -> Iterator[Finding]:
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    if free < NEARLY_BYTES:
        yield Finding(
            "error" if free < FULL_BYTES else "warning",
            f"{size(free)} are left on the disk of `{place}`",
            f"asked the file system; {what} are written there",
            "npx and uvx cannot fetch a server, servers fail in their own ways, and nothing can be kept",
            "see what takes it",
            (f"df -h {place}", f"du -xh --max-depth=2 {place} | sort -h | tail", "journalctl --vacuum-size=50M"),
        )
    elif found.f_files and found.f_favail < _FEW_INODES:
        yield Finding(
            "error",
            f"the disk of `{place}` can take {found.f_favail} more files, however small",
            "asked the file system for its inodes",
            "nothing new can be written although there is room",
            "remove many small files; caches of package managers are full of them",
            (f"df -i {place}", "npm cache clean --force", "uv cache clean"),
        )


CHECK = BoxCheck("disk_space", "there is room on the disks that are written to", _look)
