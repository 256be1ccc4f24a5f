"""A configuration file with secrets in it can be read, or written, by others."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.document import read_document
from tidegate.config.rules import tables
from tidegate.config.withhold import Withheld


def _look(case: Case) -> Iterator[Finding]:
    for file in case.files:
        path = Path(file)
        if not path.is_file():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        quoted = shlex.quote(file)
        if mode & stat.S_IWOTH:
            yield Finding(
                "error",
                f"`{file}` can be changed by every user of this box",
                f"its mode is {mode:04o}",
                "whoever changes it chooses the programs that the gateway starts",
                "take the right away",
                (f"chmod o-w {quoted}",),
            )
        secrets = _secrets(file)
        if secrets and mode & stat.S_IROTH:
            yield Finding(
                "warning",
                f"`{file}` holds secrets, and every user of this box can read it",
                f"its mode is {mode:04o}; what looks like a secret: {', '.join(secrets)}",
                "a token in it is as good as given away",
                "take the right away, or move the secrets out: `${NAME}` or `${file:PATH}` in their place",
                (f"chmod o-r {quoted}",),
            )


def _secrets(file: str) -> list[str]:
    """Keys of the values that look like secrets, never the values."""
    document = read_document(file)
    withheld = Withheld()
    found = []
    for name, table in tables(document.tree, "backends"):
        before = len(withheld.variables)
        _, changed = withheld.table(name, table)
        if len(withheld.variables) > before:
            found += [document.place(("backends", name, *path)).key for path, made in changed.items() if made]
    return found


CHECK = BoxCheck("config_readable", "configuration files that hold secrets are readable for their owner only", _look)
