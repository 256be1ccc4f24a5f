"""Values as JSON text in bytes, and back, whatever a peer has written.

JSON numbers have no bound, Python's have: one beyond every float is read as infinite and written as null, and an
integer of thousands of digits, which `int` refuses to read, becomes a float.
"""

from __future__ import annotations

import json
from typing import Any, Final

_MOST_DIGITS: Final = 4000
"""Of an integer. Python reads 4300, in time that grows with their square."""


def json_bytes(value: object) -> bytes:
    """Compact UTF-8. A lone surrogate, which a peer can write as an escape and UTF-8 cannot carry, stays an escape."""
    try:
        return _text(value, ascii_only=False).encode()
    except UnicodeEncodeError:
        return _text(value, ascii_only=True).encode()


def json_value(text: bytes) -> Any:
    """What `text`, one JSON text that `scan` has passed, says. Numbers are not to be passed on from here."""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text, parse_int=_number)


def _text(value: object, *, ascii_only: bool) -> str:
    try:
        return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=ascii_only, separators=(",", ":"))


def _number(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
