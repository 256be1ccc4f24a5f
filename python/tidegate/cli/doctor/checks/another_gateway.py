"""More than one gateway runs, so that clients and operators may talk to different ones."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.gateway_processes import config_files, gateway_pids


def _look(case: Case) -> Iterator[Finding]:
    ours = case.running.pid if case.running is not None else None
    others = sorted((pid for pid in gateway_pids() if pid not in (ours, os.getpid())), reverse=True)
    if not others:
        return
    listed = ", ".join(str(pid) for pid in others[:8])
    if ours is None:
        files = config_files(others[0])
        yield Finding(
            "warning",
            f"a gateway runs (pid {listed}), but not on the admin address of this configuration",
            "looked for processes of `tidegate serve`, and asked the admin address",
            "what was looked at here may not be what is running; its ports may be in the way",
            "look at its own configuration, or name its admin listener",
            (f"tidegate doctor {' '.join(files)}".rstrip(), "tidegate doctor --admin URL"),
        )
        return
    yield Finding(
        "note",
        f"{len(others)} more gateway{'s' if len(others) > 1 else ''} of this box run{'' if len(others) > 1 else 's'} "
        f"(pid {listed})",
        f"looked for processes of `tidegate serve`; the one that was asked is pid {ours}",
        "clients take the first socket they find, so they may be served by another one than you look at",
        "end those that are not meant, or say which one is: `$TIDEGATE_SOCKET`, `$TIDEGATE_ADMIN`",
        (f"ps -fp {listed.replace(', ', ',')}",),
    )


CHECK = BoxCheck("another_gateway", "one gateway runs, the one that is looked at", _look)
