"""The clock of the box is wrong, or nobody keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.host.facts.clock import WallClock
from tidegate.host.kernel_clock import read_kernel_clock

BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No tidegate is older, so no right clock shows less."""

_SYNCHRONISE: Final = ("timedatectl set-ntp true", "timedatectl timesync-status")


def _look(case: Case) -> Iterator[Finding]:
    now_s = case.clock.wall_s()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now_s))
    why = "certificates are judged by it, so https fails; the times in logs mean nothing"
    if now_s < BUILT.timestamp():
        yield Finding(
            "error",
            f"the clock says {shown}, which is before this program was made",
            "read the clock of the box",
            why,
            "set it, and have it kept; a box without a battery needs that at every start",
            _SYNCHRONISE,
        )
        return
    observed = WallClock(case.tree, case.clock, read_kernel_clock if case.tree.is_machine else lambda: None).observe({})
    if observed["synchronised"] is False:
        daemon = observed["time_daemon"]
        yield Finding(
            "note",
            "nobody keeps the clock of this box",
            f"the kernel says that it is not synchronised; {daemon or 'no time daemon'} is running; it says {shown}",
            f"when it has drifted, {why}",
            "have it kept, unless there is no link to a time source, or the host keeps it (containers)",
            _SYNCHRONISE,
        )


CHECK = BoxCheck("clock", "the clock is plausible and kept", _look)
