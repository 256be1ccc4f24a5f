"""Replaces a file as a whole: a reader, or a power cut, sees the old text or the new one and nothing between."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import Final

PRIVATE_MODE: Final = 0o600
"""A configuration may hold secrets."""


def write_atomically(path: str, text: str) -> None:
    """Writes `text` to `path`, keeping the mode (and, where allowed, the owner) of the file it replaces.

    A symbolic link stays one; its target is replaced. A new file gets mode 0600.

    Raises: OSError; nothing is left behind then.
    """
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)}.", dir=directory)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            _take_over(target, descriptor)
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _take_over(target: str, descriptor: int) -> None:
    try:
        found = os.stat(target)
    except FileNotFoundError:
        os.fchmod(descriptor, PRIVATE_MODE)
        return
    if found.st_uid != os.geteuid() or found.st_gid != os.getegid():
        try:
            os.fchown(descriptor, found.st_uid, found.st_gid)
        except PermissionError:
            # Not ours to give away; the new file belongs to whoever runs this, as an editor would leave it.
            pass
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
