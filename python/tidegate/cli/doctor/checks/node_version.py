"""A server of the node world has no node, or one that is too old for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.program_version import version_said
from tidegate.config.snapshot import Backend

_RUNNERS: Final = frozenset(("node", "npx", "npm", "pnpm", "yarn"))
_OLDEST: Final = 18
"""What the official TypeScript SDK asks for; older ones have no `fetch`."""


def _concerns(case: Case, backend: Backend) -> bool:
    return backend.transport == "stdio" and Path(backend.command[0]).name in _RUNNERS


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    program = backend.command[0]
    path = case.search_path(backend)
    if shutil.which(program, path=path) is None:
        return  # `commands` says so
    node = shutil.which(program if Path(program).name == "node" else "node", path=path)
    if node is None:
        yield Finding(
            "error",
            f"`{Path(program).name}` is there, but `node` is not",
            "looked on the PATH that the server gets",
            "the server cannot be started",
            "install node",
            ("apt install nodejs",),
        )
        return
    said = version_said(node)
    found = re.match(r"v(\d+)\.", said)
    if found is None:
        yield Finding(
            "warning",
            f"`{node}` does not tell its version",
            f"`{node} --version` said: {case.quote(said) or 'nothing'}",
            "it is hardly a node that works",
            "install node again",
            ("apt install --reinstall nodejs",),
        )
    elif int(found[1]) < _OLDEST:
        yield Finding(
            "error",
            f"node {said.strip()} is too old",
            f"`{node} --version`",
            f"servers made with the official SDK need node {_OLDEST} or newer, and end at once with a syntax error",
            "install a newer one, and put it first on PATH, or name it in `command`",
            (f"# {case.place(backend.name)}", 'env = { PATH = "/opt/node/bin:/usr/bin:/bin" }'),
        )


CHECK = BackendCheck("node_version", f"node is there for npx servers, {_OLDEST} or newer", _concerns, _look)
