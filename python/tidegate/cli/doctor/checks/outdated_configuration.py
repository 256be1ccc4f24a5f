"""The running gateway works with an older configuration than the file holds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.running import Running
from tidegate.cli.stretch import stretch

_SOON_S: Final = 5.0
"""A gateway that watches its files has taken a change up by then."""


def _look(case: Case) -> Iterator[Finding]:
    running = case.running
    if running is None:
        return
    if case.files and running.files and [*map(_real, case.files)] != [*map(_real, running.files)]:
        yield Finding(
            "note",
            f"the gateway that answers (pid {running.pid}) runs with other files than were looked at here",
            f"it was started with {', '.join(running.files)}",
            "what was found in the one need not be true of the other",
            "look at its own files, or name another gateway",
            (" ".join(["tidegate doctor", *map(shlex.quote, running.files)]), "tidegate doctor --admin URL FILE"),
        )
    told = running.status.get("configuration")
    last = told.get("last_reload") if isinstance(told, dict) else None
    if isinstance(last, dict) and last.get("result") == "refused":
        yield Finding(
            "error",
            f"the gateway (pid {running.pid}) refused the configuration that is in its files now",
            f"it says: {case.quote(str(last.get('error')))}",
            "the last one that was good is in force; when it is started again, it does not start",
            "mend the file; it is then taken up",
            (_check(running), running.command("reload")),
        )
        return
    now_s = case.clock.wall_s()
    read_s = _read_at(running, last, now_s)
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
                (f"ls -l {shlex.quote(file)}",),
            )
            continue
        if read_s is not None and read_s < changed_s < now_s - _SOON_S:
            yield Finding(
                "warning",
                f"`{file}` was changed after the gateway (pid {running.pid}) had read it",
                f"changed {stretch(now_s - changed_s)} ago, read {stretch(now_s - read_s)} ago",
                "what is in force is not what the file says",
                "check the file, and have it read again",
                (_check(running), running.command("reload")),
            )


def _real(file: str) -> Path:
    return Path(file).resolve()


def _read_at(running: Running, last: Mapping[str, Any] | None, now_s: float) -> float | None:
    """Seconds since the epoch."""
    try:
        return datetime.fromisoformat(str((last or {})["at"])).timestamp()
    except (KeyError, ValueError):
        uptime_s = running.status.get("uptime_s")
        return now_s - uptime_s if isinstance(uptime_s, int | float) else None


def _check(running: Running) -> str:
    return " ".join(["tidegate check", *map(shlex.quote, running.files)])


CHECK = BoxCheck("outdated_configuration", "the running gateway works with what its files say", _look)
