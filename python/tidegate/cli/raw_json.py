"""JSON members and elements as the text they came in: numbers, key order and spelling stay what they were.

For `--json` output and for arguments a person typed. The text must be valid JSON; the functions raise ValueError
where it is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


class Raw(str):
    """Text that is JSON already."""

    __slots__ = ()


def members(text: str) -> dict[str, Raw]:
    """The members of the object `text`, each value as it is spelled. Raises: ValueError."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("expected a JSON object")
    found: dict[str, Raw] = {}
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise ValueError("expected a member name")
        name, at = _decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("expected `:`")
        start = _skip(text, at + 1)
        _, end = _decode(text, start)
        found[str(name)] = Raw(text[start:end])
        at = _next(text, end, "}")
    _end(text, at)
    return found


def elements(text: str) -> list[Raw]:
    """The elements of the array `text`. Raises: ValueError."""
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise ValueError("expected a JSON array")
    found: list[Raw] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        _, end = _decode(text, at)
        found.append(Raw(text[at:end]))
        at = _next(text, end, "]")
    _end(text, at)
    return found


def parse(text: str) -> object:
    """The value of `text`, which must be JSON and nothing more. Raises: ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode(value: object) -> str:
    """Compact JSON of plain values with `Raw` ones anywhere in them, on one line: that is what is sent."""
    if isinstance(value, Raw):
        # Between tokens only, since no JSON string has one as it is.
        return value.replace("\n", " ").replace("\r", " ")
    if isinstance(value, dict):
        return encode_object(value.items())
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def encode_object(pairs: Iterable[tuple[str, object]]) -> Raw:
    """An object of values that are `Raw` or plain."""
    inside = ",".join(f"{json.dumps(name)}:{encode(value)}" for name, value in pairs)
    return Raw("{" + inside + "}")


def _decode(text: str, at: int) -> tuple[object, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value, end


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _next(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    found = text[at : at + 1]
    if found == ",":
        at = _skip(text, at + 1)
        if text[at : at + 1] == closing:
            raise ValueError("a comma without anything after it")
        return at
    if found != closing:
        raise ValueError(f"expected `,` or `{closing}`")
    return at


def _end(text: str, at: int) -> None:
    if _skip(text, at + 1) != len(text):
        raise ValueError("something follows the JSON value")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"`{name}` is not JSON")
