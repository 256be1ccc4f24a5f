"""The host name of a server has no address."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    visit = case.visits[backend.name]
    if visit.step != "name" or not visit.failed:
        return
    host = visit.address.rpartition(":")[0]
    yield Finding(
        "error",
        f"the name `{host}` has no address",
        f"asked the resolver of this box: {visit.failed}",
        "its tools cannot be called from here",
        "mend the name, or the resolver (`/etc/resolv.conf`); where there is no link to the world, that is why",
        (f"getent hosts {host}",),
    )


CHECK = BackendCheck(
    "name_resolution",
    "host names of servers have an address",
    lambda case, backend: backend.transport in ("http", "sse", "tcp", "openai"),
    _look,
    needs="visit",
)
