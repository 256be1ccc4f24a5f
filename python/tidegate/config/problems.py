"""What is wrong with a configuration: every problem at once, each with file, line and key.

The lowest module of the configuration room: no validator, no file access, so the daemon can print what the
validating child found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from tidegate.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend. `message` says what was expected; it never holds a value that may be secret."""

    file: str
    """As the person gave it; empty when the problem is in no single file."""
    line: int
    """1-based; 0 when the key stands nowhere (it is missing)."""
    key: str
    """Dotted, as written in that file, such as `backends.files.command`."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """One error listing all of them, in file and line order; `data` holds the same as JSON values."""
    ordered = sorted(set(problems))
    return ConfigError("\n".join(map(str, ordered)), data=[asdict(problem) for problem in ordered])


def problems_of(error: ConfigError) -> Sequence[Problem]:
    """The problems inside `error`; a ConfigError raised elsewhere is one problem without a place."""
    if isinstance(error.data, list):
        return [Problem(**item) for item in error.data]
    return [Problem("", 0, "", str(error))]
