"""A server prints to stdout what is no message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    trial = case.trials[backend.name]
    if not trial.noise:
        return
    number, line = trial.noise[0]
    more = f", and {len(trial.noise) - 1} more such lines" if len(trial.noise) > 1 else ""
    silent = trial.answered_s is None
    yield Finding(
        "error" if silent else "warning",
        "it prints to stdout what is no message",
        f"line {number} of its stdout: {case.quote(line)}{more}",
        "stdout belongs to the protocol. The gateway drops such a line; other hosts end the connection, and a line "
        "printed in the middle of an answer spoils it",
        "have the server log to stderr, or switch its banner off",
        _example(backend),
    )


def _example(backend: Backend) -> tuple[str, ...]:
    program = Path(backend.command[0]).name
    if program.startswith(("python", "uv")):
        return ("print(…, file=sys.stderr)          # instead of print(…)", "logging.basicConfig(stream=sys.stderr)")
    if program in ("node", "npx", "bunx", "deno"):
        return ("console.error(…)                   // instead of console.log(…)",)
    if program in ("sh", "bash", "dash"):
        return ("echo … >&2",)
    return ()


CHECK = BackendCheck(
    "stdout_noise",
    "servers print nothing but messages to stdout (starts them)",
    lambda case, backend: backend.transport == "stdio",
    _look,
    needs="trial",
)
