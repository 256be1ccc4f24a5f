"""One thing that `tidegate doctor` has found, in the words it is told in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""Worst first. error: something does not work. warning: it will not, or not for long. note: worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Holds no secret: what was quoted from outside went through `Case.quote`."""

    severity: Severity
    what: str
    """What is wrong, one line."""
    found: str
    """How it was found: what was looked at, and what was seen there."""
    why: str
    """Why it matters, one sentence; empty where `what` says it."""
    fix: str
    """What to do, in words."""
    paste: tuple[str, ...] = ()
    """The same as lines to paste: commands, or lines of a configuration file."""
    backend: str | None = None
    check: str = ""
    """Name of the check, which is also the name of its page; filled in by `rounds.py`."""
