"""Small documents that outlive the process and may be lost: each a file of its own, replaced as a whole.

What is read back may be torn by a power cut, written by another version or by somebody else; whoever reads it
checks it. Nothing is flushed to the disk by force: what is kept here can be learned again, and a flash card has
better things to do. A disk that is full or read-only is told once, and costs nothing but the memory.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_log = logging.getLogger("tidegate.storage")

_MAX_BYTES: Final = 32 * 1024 * 1024
_DIGEST_BYTES: Final = 64
"""Hexadecimal SHA-256 of the rest, then a newline, before everything else."""


class Documents:
    """The documents in one directory, which is made when the first is written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._failing = False
        self._numbers = itertools.count(1)

    def read(self, name: str) -> bytes | None:
        """The document as it was written, or None. `name` must be usable as a file name."""
        path = self._directory / name
        try:
            # A FIFO or a device in its place would never end.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return None
                data = stream.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("unreadable path=%s error=%s", path, error.strerror)
            return None
        digest, text = data[:_DIGEST_BYTES], data[_DIGEST_BYTES + 1 :]
        if len(data) > _MAX_BYTES or digest != _digest(text):
            _log.warning("ignored path=%s: it is not whole", path)
            return None
        return text

    def write(self, name: str, text: bytes) -> None:
        """Replaces the document. Blocks for as long as the disk takes: call it in a worker thread."""
        if len(text) + _DIGEST_BYTES + 1 > _MAX_BYTES:
            return
        path = self._directory / name
        # Two threads may write the same one.
        temporary = path.with_name(f".{name}.{os.getpid()}.{next(self._numbers)}.new")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(_digest(text) + b"\n" + text)
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if not self._failing:
                self._failing = True
                _log.warning(
                    "not_kept path=%s error=%s: the gateway goes on, and has to learn this again after a restart",
                    path,
                    error.strerror,
                )
        else:
            self._failing = False


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
