"""The kernel's word that something in a directory changed: inotify(7), as much of it as watching files needs.

Called by `source_watch.py`. Three system calls through the C library, loaded when a daemon first watches something;
nothing here ticks, so a gateway whose files do not change is never woken.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
ATTRIBUTES: Final = 0x4
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
OVERFLOW: Final = 0x4000
"""Events were lost: anything may have changed."""
IGNORED: Final = 0x8000
"""The watch ended by itself: its directory is gone."""
ONLY_DIRECTORY: Final = 0x01000000

_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 64 * 1024


class Event(NamedTuple):
    """One change. `name` is that of an entry of the watched directory, or empty for the directory itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify descriptor. Raises: OSError, where the system has none left."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._add, self._remove = library.inotify_add_watch, library.inotify_rm_watch
        self.fd: int = _checked(library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, directory: str, mask: int) -> int:
        """Number of the watch; that of the one there is, if the directory has one. Raises: OSError."""
        return _checked(self._add(self.fd, os.fsencode(directory), ctypes.c_uint32(mask | ONLY_DIRECTORY)))

    def remove(self, watch: int) -> None:
        """Its directory may be gone already."""
        self._remove(self.fd, watch)

    def events(self) -> Iterator[Event]:
        """All that happened since the last time; does not wait."""
        while True:
            try:
                data = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                yield Event(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        os.close(self.fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
