"""A server needs longer to answer than the gateway waits, or nearly so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend

_NEAR: Final = 0.5
"""Share of `start_timeout_s` from which a busier day may be too much."""
_FETCHING: Final = frozenset(("npx", "uvx", "bunx", "pipx"))


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    trial = case.trials[backend.name]
    if not trial.started or (trial.answered_s is None and trial.exit_status is not None):
        return
    wanted_s = max(backend.start_timeout_s * 2, 60)
    longer = ("# " + case.place(backend.name), f"start_timeout_s = {wanted_s:g}")
    last = f"; its last words on stderr: {case.quote(trial.stderr[-1])}" if trial.stderr else ""
    if trial.answered_s is None:
        fetches = Path(backend.command[0]).name in _FETCHING
        yield Finding(
            "error",
            f"it does not answer within {trial.waited_s:.0f} s",
            f"started, and asked to `initialize`; it neither answered nor ended{last}",
            "the gateway ends it then and tries again; whoever calls its tools waits that long for an error",
            "it may still be fetching its package: run it once by hand; or give it more time"
            if fetches
            else "see whether it speaks MCP on stdin and stdout at all: some need a flag such as `--stdio`; or give it "
            "more time",
            longer,
        )
    elif trial.answered_s > _NEAR * backend.start_timeout_s:
        yield Finding(
            "warning",
            f"it needs {trial.answered_s:.1f} s to answer first, of the {backend.start_timeout_s:g} s it is given",
            f"started, and asked to `initialize`{last}",
            "on a busy box it will be too late, and the first caller waits",
            "give it more time",
            longer,
        )


CHECK = BackendCheck(
    "slow_start",
    "servers answer well within `start_timeout_s` (starts them)",
    lambda case, backend: backend.transport == "stdio",
    _look,
    needs="trial",
)
