"""The recorded box under `tree/` (a Raspberry-Pi-like machine) and what its file systems answer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tidegate.clock import ManualClock
from tidegate.host.server import HostServer

TREE = Path(__file__).parent / "tree"
NOW_S = 1764086050.25
"""2025-11-25T15:54:10Z, 36050.25 s after the recorded boot."""

Answers = dict[str, tuple[int, int, int, int, int]]
ANSWERS: Answers = {
    "/": (7_000_000, 2_000_000, 1_600_000, 1_900_000, 1_600_000),
    "/boot/firmware": (130_000, 60_000, 60_000, 0, 0),
    "/mnt/usb disk": (100_000_000, 4_000_000, 4_000_000, 6_000_000, 5_999_000),
    "/srv/nas": (500_000, 100_000, 100_000, 0, 0),
}
"""Mount point: blocks, free, available to users, inodes, free inodes; 4096-byte blocks."""


def statvfs_below(root: Path, answers: Answers | None = None) -> Callable[[bytes], os.statvfs_result]:
    """A stand-in for `os.statvfs` that answers for `root` from `answers`."""
    known = ANSWERS if answers is None else answers

    def statvfs(path: bytes) -> os.statvfs_result:
        place = "/" + os.path.relpath(os.fsdecode(path), root)
        place = "/" if place == "/." else place
        if place not in known:
            raise FileNotFoundError(place)
        blocks, free, available, inodes, inodes_free = known[place]
        return os.statvfs_result((4096, 4096, blocks, free, available, inodes, inodes_free, inodes_free, 0, 255))

    return statvfs


def recorded_server(root: Path = TREE, clock: ManualClock | None = None, answers: Answers | None = None) -> HostServer:
    return HostServer(clock or ManualClock(NOW_S), root, statvfs=statvfs_below(root, answers))


def copied_tree(where: Path) -> Path:
    """A writable copy of the recorded tree."""
    return Path(shutil.copytree(TREE, where, symlinks=True))


def write(root: Path, path: str, text: str | bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
