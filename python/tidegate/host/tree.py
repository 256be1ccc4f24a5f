"""Bounded, never failing reads of small files below one root.

The facts read /proc, /sys, /etc and /run through this and through nothing else, so a test can put a recorded
tree in their place and a broken or hostile one costs at most `FILE_BYTES` a file. Missing is None, always.
It never writes, and never opens anything that is not a regular file (a FIFO would block).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from tidegate.host.reading import LARGEST, natural, printable, whole

FILE_BYTES: Final = 256 * 1024
"""No file of interest is longer; what is beyond is cut at the last whole line."""
NAMES: Final = 512
"""Entries taken from one directory unless the caller says otherwise."""


class Tree:
    """A view of a file system from `root`; paths are relative to it, without a leading slash."""

    __slots__ = ("_root", "is_machine")

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self.is_machine = self._root == b"/"
        """True: this is the running machine, so asking its kernel directly describes the same box."""

    def locate(self, path: str | bytes) -> bytes | None:
        """Where `path` is on the real file system; None for one that would leave the root."""
        raw = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
        if b"\0" in raw or b".." in raw.split(b"/"):
            return None
        return self._root.rstrip(b"/") + b"/" + raw.lstrip(b"/")

    def data(self, path: str, limit: int = FILE_BYTES) -> bytes | None:
        """At most `limit` bytes of a regular file."""
        where = self.locate(path)
        if where is None:
            return None
        try:
            fd = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (OSError, ValueError):
            return None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            chunks: list[bytes] = []
            left = limit
            while left > 0:
                chunk = os.read(fd, min(left, 65536))
                if not chunk:
                    break
                chunks.append(chunk)
                left -= len(chunk)
            return b"".join(chunks)
        except OSError:
            return None
        finally:
            os.close(fd)

    def text(self, path: str, limit: int = FILE_BYTES) -> str | None:
        """The file decoded, undecodable bytes replaced; a file longer than `limit` ends at its last whole line."""
        data = self.data(path, limit)
        if data is None:
            return None
        if len(data) == limit:
            data = data[: data.rfind(b"\n") + 1]
        return data.decode("utf-8", "replace")

    def lines(self, path: str) -> list[str]:
        """The lines of a file, none when it is missing."""
        text = self.text(path)
        return [] if text is None else text.split("\n")

    def word(self, path: str) -> str | None:
        """The first line of a short file as visible text (device-tree strings end in NUL)."""
        data = self.data(path, 4096)
        if data is None:
            return None
        return printable(data.split(b"\n", 1)[0].split(b"\0", 1)[0].decode("utf-8", "replace"))

    def whole(self, path: str, *, low: int = 0, high: int = LARGEST) -> int | None:
        """A file that holds one decimal integer."""
        data = self.data(path, 64)
        return None if data is None else whole(data.decode("ascii", "replace"), low=low, high=high)

    def names(self, path: str, limit: int = NAMES) -> list[str]:
        """Entries of a directory in natural order, at most `limit`; none when it is missing."""
        where = self.locate(path)
        if where is None:
            return []
        found: list[str] = []
        try:
            with os.scandir(where) as entries:
                for entry in entries:
                    if len(found) >= limit:
                        break
                    found.append(os.fsdecode(entry.name))
        except (OSError, ValueError):
            return []
        return sorted(found, key=natural)

    def exists(self, path: str) -> bool:
        where = self.locate(path)
        if where is None:
            return False
        try:
            os.stat(where)  # noqa: PTH116 - a Path cannot hold raw bytes
        except (OSError, ValueError):
            return False
        return True

    def target(self, path: str) -> str | None:
        """Where a symbolic link points, as written."""
        where = self.locate(path)
        if where is None:
            return None
        try:
            return os.fsdecode(os.readlink(where))  # noqa: PTH115 - a Path cannot hold raw bytes
        except (OSError, ValueError):
            return None
