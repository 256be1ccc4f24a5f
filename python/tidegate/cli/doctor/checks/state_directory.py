"""The directory where the gateway keeps what must outlive it cannot be written to."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.nearest import nearest_existing
from tidegate.config.paths import state_directory


def _look(case: Case) -> Iterator[Finding]:
    directory = state_directory(case.environ)
    if directory is None:
        return  # nothing is to be kept
    if case.running is not None and case.running.user != os.getuid():
        return  # another user's home, not this one's
    nearest = nearest_existing(directory)
    mode = stat.S_IMODE(nearest.stat().st_mode)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding(
            "warning",
            f"nothing can be kept in `{directory}`",
            f"`{nearest}` is not writable for this user (uid {os.getuid()}, mode {mode:04o})",
            "what the gateway remembers is lost when it ends: lists of tools are asked for anew at each start",
            "make it, for the user the gateway runs as; or name another place",
            (f"install -d -m 700 {shlex.quote(str(directory))}", "export TIDEGATE_STATE=/srv/tidegate"),
        )


CHECK = BoxCheck("state_directory", "what must outlive the gateway can be written", _look)
