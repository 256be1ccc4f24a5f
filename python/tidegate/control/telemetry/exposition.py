"""The Prometheus text format, version 0.0.4: one sample a line, each family under its HELP and TYPE.

Called by `metrics.py`; knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Sequence[tuple[str, str]]


class Exposition:
    """A page of samples in the making. Families are written one after the other and never reopened."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, help_text: str) -> None:
        """Opens a family. `kind`: counter, gauge or histogram."""
        escaped = help_text.replace("\\", r"\\").replace("\n", r"\n")
        self._lines.append(f"# HELP {name} {escaped}\n# TYPE {name} {kind}")

    def sample(self, name: str, value: float, labels: Labels = ()) -> None:
        self._lines.append(f"{name}{_braced(labels)} {number(value)}")

    def single(self, name: str, kind: str, help_text: str, value: float) -> None:
        """A family of one sample without labels."""
        self.family(name, kind, help_text)
        self.sample(name, value)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n" if self._lines else ""


def number(value: float) -> str:
    """Integers without a point; everything else as Python spells a float, which Go reads."""
    if isinstance(value, int):
        return str(value)
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def escape(value: str) -> str:
    """The inside of a label's quotes."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _braced(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in labels) + "}"
