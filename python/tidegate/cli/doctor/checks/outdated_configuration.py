"""The running gateway works with an older configuration than the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.host.phrase import duration


def _look(case: Case) -> Iterator[Finding]:
    running = case.running
    if running is None:
        return
    uptime_s = running.status.get("uptime_s")
    if not isinstance(uptime_s, int | float):
        return
    now_s = case.clock.wall_s()
    for file in running.files:
        try:
            changed_s = Path(file).stat().st_mtime
        except OSError as error:
            yield Finding(
                "warning",
                f"`{file}`, which the running gateway was started with, cannot be looked at",
                f"{error.strerror}; pid {running.pid}",
                "when it is started again, it does not start",
                "put the file back, or start the gateway with the right one",
            )
            continue
        if changed_s > now_s - uptime_s:
            yield Finding(
                "warning",
                f"`{file}` was changed after the gateway (pid {running.pid}) had read it",
                f"changed {duration(max(now_s - changed_s, 0))} ago; the gateway has run for {duration(uptime_s)}",
                "what is in force is not what the file says",
                "check the file, and have it read again",
                (f"tidegate check {file}", "tidegate reload"),
            )


CHECK = BoxCheck("outdated_configuration", "the running gateway works with what its files say", _look)
