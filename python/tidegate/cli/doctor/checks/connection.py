"""Nobody answers at the address of a server."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    visit = case.visits[backend.name]
    if visit.step != "connection" or not visit.failed:
        return
    paste: tuple[str, ...]
    if backend.transport == "unix":
        fix, paste = "start the server, or mend the path", (f"ls -l {visit.address}",)
    elif visit.refused:
        fix, paste = "start the server there, or mend the port; nothing listens at it", ()
    elif visit.timed_out:
        fix, paste = "something on the way swallows it: a firewall, a wrong address, a machine that is off", ()
    else:
        fix, paste = "mend the address, or the route to it", ("ip route",)
    yield Finding(
        "error",
        f"nobody answers at `{visit.address}`",
        f"tried to connect: {visit.failed}",
        "its tools cannot be called; the gateway tries again by itself",
        fix,
        paste,
    )


CHECK = BackendCheck(
    "connection",
    "servers reached by address accept a connection",
    lambda case, backend: backend.transport in ("http", "sse", "tcp", "unix", "openai"),
    _look,
    needs="visit",
)
