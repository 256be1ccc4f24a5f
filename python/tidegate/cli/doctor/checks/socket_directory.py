"""The unix socket cannot be made where it should be, or is not safe there."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.nearest import nearest_existing

LONGEST_BYTES: Final = 107
"""sun_path of unix(7) without its final NUL."""
_OTHER: Final = ("export TIDEGATE_SOCKET=$XDG_RUNTIME_DIR/tidegate.sock",)


def _look(case: Case) -> Iterator[Finding]:
    path = case.snapshot.listen.unix if case.snapshot is not None else ""
    if not path or (case.running is not None and path in case.running.listen):
        return
    if (size := len(os.fsencode(path))) > LONGEST_BYTES:
        yield _finding(f"its path has {size} bytes; the system takes {LONGEST_BYTES}", "choose a shorter one", _OTHER)
        return
    directory = Path(path).absolute().parent
    nearest = nearest_existing(directory)
    if not nearest.is_dir():
        yield _finding(f"`{nearest}` is no directory", "choose another place", _OTHER)
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield _finding(
            f"`{nearest}` may not be written to by this user (uid {os.getuid()}, mode "
            f"{stat.S_IMODE(nearest.stat().st_mode):04o})",
            "run this as the user of the gateway; if it is that user, give it the directory or choose another place",
            (f"sudo install -d -o $USER -m 700 {shlex.quote(str(directory))}", *_OTHER),
        )
    elif directory.exists() and directory.stat().st_mode & stat.S_IWOTH and not directory.stat().st_mode & stat.S_ISVTX:
        yield Finding(
            "warning",
            f"every user of this box can replace the unix socket in `{directory}`",
            f"its mode is {stat.S_IMODE(directory.stat().st_mode):04o}",
            "clients would talk to somebody else, and give away what they send",
            "take the right away",
            (f"chmod o-w {shlex.quote(str(directory))}",),
        )


def _finding(found: str, fix: str, paste: tuple[str, ...]) -> Finding:
    return Finding(
        "error",
        "the unix socket cannot be made",
        found,
        "the gateway does not start; local clients and `tidegate connect` come in by it",
        fix,
        paste,
    )


CHECK = BoxCheck("socket_directory", "the unix socket can be made in its directory, and is safe there", _look)
