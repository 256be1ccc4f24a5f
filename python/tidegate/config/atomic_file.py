"""Replaces a file as a whole: a reader, or a power cut, sees the old text or the new one and nothing between."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE_MODE: Final = 0o600
"""A configuration may hold secrets."""


def write_atomically(path: str, text: str, *, private: bool = False) -> None:
    """Writes `text` to `path`, keeping the mode (and, where allowed, the owner) of the file it replaces.

    A symbolic link stays one; its target is replaced. A new file gets mode 0600, and
    with `private` so does one that is replaced.

    Raises: OSError; nothing is left behind then.
    """
    target = Path(path).resolve()
    directory = target.parent
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            _take_over(target, descriptor, private)
            os.fsync(descriptor)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink()
        raise
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _take_over(target: Path, descriptor: int, private: bool) -> None:
    try:
        found = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, PRIVATE_MODE)
        return
    if found.st_uid != os.geteuid() or found.st_gid != os.getegid():
        # Not ours to give away; the new file belongs to whoever runs this, as an editor would leave it.
        with suppress(PermissionError):
            os.fchown(descriptor, found.st_uid, found.st_gid)
    os.fchmod(descriptor, PRIVATE_MODE if private else stat.S_IMODE(found.st_mode))
