"""A server ends before it has answered anything."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    trial = case.trials[backend.name]
    if trial.not_started:
        yield Finding(
            "error",
            "the system does not start it",
            f"{case.place(backend.name, 'command')}, started as the gateway does: {case.quote(trial.not_started)}",
            "none of its tools can be called",
            "see whether the file is a program for this machine, and what limits this user has",
            (f"file {shlex.quote(case.quote(backend.command[0]))}", "ulimit -a"),
        )
    if not trial.started or trial.answered_s is not None or trial.exit_status is None:
        return
    how = f"with status {trial.exit_status}"
    if trial.exit_status < 0:
        how = f"by signal {_name(-trial.exit_status)}"
    said = f"its last words on stderr: {case.quote(trial.stderr[-1])}" if trial.stderr else "it said nothing on stderr"
    hint = (
        "mend what it says, or its arguments; then start it by hand until it stays"
        if trial.stderr
        else ("start it by hand, and see; a program that is no MCP server ends like this, too")
    )
    yield Finding(
        "error",
        f"it ends by itself {how} before it answers",
        f"started as the gateway does, with the same environment; {said}",
        "none of its tools can be called; the gateway tries again, rarer and rarer",
        hint,
        (case.quote(shlex.join(backend.command)),),
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


CHECK = BackendCheck(
    "exits_at_once",
    "servers stay when they are started (starts them)",
    lambda case, backend: backend.transport == "stdio",
    _look,
    needs="trial",
)
