"""A capability, sampling or `/v1` names a tool that no backend can have, or that the running gateway does not list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.running import Running
from tidegate.cli.named_tools import NamedTool, cannot_be, named_tools, nearest, owners
from tidegate.config.snapshot import Snapshot
from tidegate.control.telemetry.backend_state import TROUBLE, backend_state

_LIST_S: Final = 5.0

_WHY: Final = {
    "capability": "it is passed over, each time; a capability without any tool is not listed",
    "sampling": "a server that asks for a model gets none from here",
    "openai": "a program that asks for this model is told that there is none",
}


def _look(case: Case) -> Iterator[Finding]:
    snapshot = case.snapshot
    if snapshot is None:
        return
    named = [*named_tools(snapshot)]
    possible = []
    for one in named:
        if why := cannot_be(one, snapshot):
            yield _finding(case, one, case.quote(why), "no backend of the configuration could have it")
        else:
            possible.append(one)
    if case.running is None or not (asked := [one for one in possible if _can_be_told(case, snapshot, one)]):
        return
    listed = _listed(case.running)
    if listed is None:
        return
    for one in asked:
        if one.name not in listed:
            near = nearest(one.name, listed)
            meant = f"; did you mean `{near}`?" if near else ""
            what = f"there is no tool `{case.quote(one.name)}`{case.quote(meant)}"
            yield _finding(case, one, what, f"the running gateway lists {len(listed)} tools, and not this one")


def _finding(case: Case, one: NamedTool, what: str, found: str) -> Finding:
    place = case.document.place(one.path)
    return Finding(
        "warning",
        f"{case.quote(place.key)}: {what}",
        f"{place.file}:{place.line}: {found}",
        _WHY[one.used_for],
        "write the name of a tool that there is, as `tidegate tools` lists it, or take this one out",
        ("tidegate tools",),
    )


def _can_be_told(case: Case, snapshot: Snapshot, one: NamedTool) -> bool:
    """Whether a list of the running gateway says something about it, and asking for one starts nothing."""
    running = case.running
    # With clients, each sees tools of its own. A gateway of another configuration has other tools.
    if running is None or snapshot.clients or (running.files and running.files != _absolute(case)):
        return False
    rows = {str(row.get("backend")): row for row in running.backends}
    heard = all(row.get("catalogue") is not None or backend_state(row) in TROUBLE for row in rows.values())
    mine = owners(one.name, snapshot)
    if not heard or any(backend.capabilities or backend.name not in rows for backend in mine):
        return False
    # What is down is told by `backends_down`.
    return not any(backend_state(rows[backend.name]) in TROUBLE for backend in mine)


def _absolute(case: Case) -> tuple[str, ...]:
    return tuple(os.path.normpath(Path(file).absolute()) for file in case.files)


def _listed(running: Running) -> set[str] | None:
    """The names of its tools; None where it cannot be asked."""
    from tidegate.cli.client import Client
    from tidegate.cli.progress import Narrator
    from tidegate.cli.wires import HttpWire, NoDaemon, Wire, connect_unix
    from tidegate.errors import TidegateError

    listen = running.status.get("listen")
    places = listen if isinstance(listen, dict) else {}
    http = places.get("http")
    try:
        wire: Wire
        if isinstance(unix := places.get("unix"), str) and unix:
            wire = connect_unix(unix)
        elif isinstance(http, list) and http:
            wire = HttpWire(str(http[0]), None)
        else:
            return None
        with Client(wire, token=None, timeout_s=_LIST_S, capabilities={}, listener=Narrator(quiet=True)) as client:
            return {str(entry.value.get("name")) for entry in client.list_all("tools")}
    except (OSError, ValueError, NoDaemon, TidegateError):
        return None


CHECK = BoxCheck("missing_tools", "the tools that capabilities, sampling and `/v1` name are there", _look)
