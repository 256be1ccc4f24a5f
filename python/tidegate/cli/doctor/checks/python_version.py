"""A server written in Python has a Python that is too old for it."""

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

_OLDEST: Final = (3, 10)
"""What the official Python SDK asks for."""
_NAME: Final = re.compile(r"python(3(\.\d+)?)?|uvx|uv")


def _concerns(case: Case, backend: Backend) -> bool:
    return backend.transport == "stdio" and _NAME.fullmatch(Path(backend.command[0]).name) is not None


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    program = shutil.which(backend.command[0], path=case.search_path(backend))
    if program is None:
        return  # `commands` says so
    said = version_said(program)
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None:
        yield Finding(
            "warning",
            f"`{program}` does not tell its version",
            f"`{program} --version` said: {case.quote(said) or 'nothing'}",
            "it hardly works",
            "run it by hand, and see what it says",
            (f"{program} --version",),
        )
    elif said.startswith("Python") and (int(found[1]), int(found[2])) < _OLDEST:
        yield Finding(
            "error",
            f"{said.strip()} is too old",
            f"`{program} --version`",
            f"servers made with the official SDK need Python {_OLDEST[0]}.{_OLDEST[1]} or newer",
            "name a newer one in `command`; `uvx` fetches one by itself",
            ('command = ["uvx", "--python", "3.12", …]',),
        )


CHECK = BackendCheck("python_version", "python, uv and uvx of servers work and are new enough", _concerns, _look)
