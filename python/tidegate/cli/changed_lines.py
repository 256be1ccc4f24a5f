"""What changes in a file of another program, shown to a person: unified, without secrets, no line too long.

Called by `install.py`. The file is JSON or TOML; only its strings are looked at.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterator
from typing import Final

from tidegate.config.secret_shape import looks_secret, value_looks_secret

_CONTEXT_LINES: Final = 2
_LINE_CHARS: Final = 400
_STRING: Final = r'"(?:[^"\\\n]|\\.)*"|\x27[^\x27\n]*\x27'
_LITERAL: Final = re.compile(_STRING)
_VALUE: Final = re.compile(rf"((?:{_STRING}|[\w.-]+)\s*[:=]\s*)?({_STRING})(\s*[:=])?")
"""(key before it), (string), (mark behind it, when it is a key itself)"""


def changed_lines(before: str, after: str, name: str) -> Iterator[str]:
    """The lines that change, and a few around them, of which only the keys are shown: the rest is not ours to show."""
    old, new = before.splitlines(), after.splitlines()
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    start = max(same - _CONTEXT_LINES, 0)
    stays = set(_LITERAL.findall(before)) & set(_LITERAL.findall(after))
    for line in difflib.unified_diff(old[start:], new[start:], name, name, n=_CONTEXT_LINES, lineterm=""):
        if line.startswith(("---", "+++")):
            yield line
        elif line.startswith("@@"):
            yield re.sub(r"([-+])(\d+)", lambda match: f"{match[1]}{int(match[2]) + start}", line)
        else:
            yield _cut(_without_secrets(line, stays))


def _without_secrets(line: str, stays: Container[str]) -> str:
    """Of what was there and stays, the values of other servers, only the keys; of what comes or goes, no secret."""

    def shown(match: re.Match[str]) -> str:
        key, literal, behind = match[1] or "", match[2], match[3]
        value = literal[1:-1]
        if behind or not value:
            return match[0]
        hidden = literal in stays or value_looks_secret(value) or looks_secret(key.strip(" \t:=\"'"), value)
        return f"{key}{literal[0]}…{literal[0]}" if hidden else match[0]

    return _VALUE.sub(shown, line)


def _cut(line: str) -> str:
    """A file may be one line of a megabyte."""
    return line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}… ({len(line)} characters)"
