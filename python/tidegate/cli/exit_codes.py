"""Exit codes of `tidegate`, the same for every verb.

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | the thing asked for failed: a tool answered with an error, a file already exists, `doctor` found an error |
| 2 | wrong usage, or a configuration that cannot be used |
| 3 | no daemon could be reached |
| 4 | refused: no token, the wrong one, or not allowed |
| 5 | a backend failed |
| 130 | interrupted from the keyboard |

A script may rely on them; a new meaning gets a new number.
"""

from __future__ import annotations

from typing import Final

from tidegate import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_DAEMON: Final = 3
REFUSED: Final = 4
BACKEND: Final = 5
INTERRUPTED: Final = 130

MEANINGS: Final = {
    OK: "done",
    FAILED: "the thing asked for failed (a tool answered with an error, a file already exists, doctor found an error)",
    USAGE: "wrong usage, or a configuration that cannot be used",
    NO_DAEMON: "no daemon could be reached",
    REFUSED: "refused: no token, the wrong one, or not allowed",
    BACKEND: "a backend failed",
    INTERRUPTED: "interrupted from the keyboard",
}


def describe(*codes: int) -> str:
    """The lines for the end of a `--help`: these codes, or all of them when none is named."""
    lines = [f"  {code:<4}{MEANINGS[code]}" for code in codes or MEANINGS]
    return "\n".join(["exit codes:", *lines])


def of_error(error: errors.TidegateError) -> int:
    """The code for an error that ended a verb."""
    if isinstance(error, errors.ConfigError):
        return USAGE
    if isinstance(error, errors.Unauthorized | errors.Forbidden):
        return REFUSED
    if isinstance(error, errors.UpstreamError):
        return BACKEND
    return FAILED
