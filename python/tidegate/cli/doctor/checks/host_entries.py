"""A host application is to launch a tidegate that is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tidegate.cli.desktop_hosts import HOSTS, Host, user_places
from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.foreign import launches_tidegate
from tidegate.config.json_edit import JsonText, NotEditable
from tidegate.config.toml_edit import TomlText


def _look(case: Case) -> Iterator[Finding]:
    for host, known in HOSTS.items():
        for place in user_places(host, case.environ):
            for name, program in _entries(known, Path(place)):
                if shutil.which(program, path=case.environ.get("PATH")) is None:
                    yield Finding(
                        "warning",
                        f"{known.title} would start `{case.quote(program)}`, which is not there",
                        f"entry `{case.quote(name)}` in {place}",
                        "its user sees no tool, and often no reason. A moved virtual environment looks like this",
                        "write the entry anew",
                        (f"tidegate install {host}",),
                    )


def _entries(known: Host, file: Path) -> Iterator[tuple[str, str]]:
    """(name, program) of those that launch the gateway. A file that cannot be read is its host's business."""
    try:
        text = file.read_text(encoding="utf-8")
        servers: Any = (TomlText if known.format == "toml" else JsonText)(text).get(known.home)
    except (OSError, UnicodeDecodeError, NotEditable):
        return
    for name, server in servers.items() if isinstance(servers, dict) else ():
        if isinstance(server, dict) and launches_tidegate(server):
            command = server.get("command")
            program = command[0] if isinstance(command, list) and command else command
            if isinstance(program, str):
                yield name, os.path.expandvars(program)


CHECK = BoxCheck("host_entries", "what host applications launch as tidegate is there", _look)
