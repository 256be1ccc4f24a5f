"""Which version of itself a program is, in its own words. Some say it on stdout, some on stderr."""

from __future__ import annotations

import subprocess
from typing import Final

_ASK_S: Final = 5.0
_MOST_CHARS: Final = 200


def version_said(program: str) -> str:
    """What `program --version` says; empty when it cannot be asked."""
    try:
        done = subprocess.run(  # noqa: S603  a program of the configuration, or one beside it
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_S,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr)[:_MOST_CHARS]
