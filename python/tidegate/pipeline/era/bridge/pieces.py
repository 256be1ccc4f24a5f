"""Small edits of raw JSON that never fail: what is not there, or is of another type, stays as it is.

Called by the files of this package that fit a message to a revision. Every function takes the bytes of exactly
one JSON value, no white space around it, out of a message that `scan` has passed, and returns the like: the very
same object when nothing changes. A key written with escapes counts as another key, which at worst leaves a member in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Final

from tidegate.errors import ParseError
from tidegate.pipeline.codec import array_spans, member_spans, patch_object, splice

_KEY: Final = re.compile(r'[\s,]*("(?:[^"\\]|\\.)*")\s*:\s*')
_VALUES: Final = json.JSONDecoder(parse_int=str, parse_float=str)
"""Finds where a value ends, whatever its numbers."""

Turn = Callable[[bytes], bytes]
"""One raw value to another; the same object for no change."""


def _spans(value: bytes) -> list[tuple[str, int, int]]:
    """Members of an object as spans; none for anything else."""
    try:
        return member_spans(value)
    except ParseError:
        return _odd_spans(value) if value.startswith(b"{") else []


def _odd_spans(value: bytes) -> list[tuple[str, int, int]]:
    """As `member_spans`, where a key holds half a surrogate pair: one such key must not hide the others."""
    text = value.decode("latin-1")  # A character a byte; what is looked for is ASCII.
    found: list[tuple[str, int, int]] = []
    at = 1
    while (mark := _KEY.match(text, at)) is not None:
        start = mark.end()
        _, end = _VALUES.raw_decode(text, start)
        found.append((json.loads(value[mark.start(1) : mark.end(1)]), start, end))
        at = end
    return found


def members(value: bytes) -> dict[str, bytes]:
    """Key → raw value. Empty for anything but an object; of a repeated key the last one, as most readers have it."""
    return {key: value[start:end] for key, start, end in _spans(value)}


def elements(value: bytes) -> list[bytes]:
    """Raw elements. Empty for anything but an array."""
    return [value[start:end] for start, end in array_spans(value)] if value.startswith(b"[") else []


def text_of(value: bytes | None) -> str | None:
    """The string that `value` spells, or None for anything else."""
    if value is None or not value.startswith(b'"'):
        return None
    text: str = json.loads(value)
    return text


@cache
def _marks(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(b'"' + name.encode() + b'"' for name in names)


def mentions(value: bytes, names: tuple[str, ...]) -> bool:
    """Whether one of the names stands in quotes anywhere in `value`: cheap, and wrong only towards yes."""
    for mark in _marks(names):  # noqa: SIM110  a generator would cost more than the search
        if mark in value:
            return True
    return False


def without(value: bytes, names: tuple[str, ...]) -> bytes:
    """The object less these members."""
    if not mentions(value, names) or not value.startswith(b"{"):
        return value
    left = patch_object(value, [(name, None) for name in names])
    return value if left == value else left


def within(value: bytes, name: str, turn: Turn) -> bytes:
    """The object with its member `name`, if it has one, turned."""
    if not mentions(value, (name,)):
        return value
    span = next(((start, end) for key, start, end in reversed(_spans(value)) if key == name), None)
    if span is None:
        return value
    old = value[span[0] : span[1]]
    new = turn(old)
    return value if new is old else splice(value, [(span[0], span[1], new)])


def for_each(value: bytes, turn: Turn) -> bytes:
    """The array with every element turned."""
    return _turned(value, array_spans(value), turn) if value.startswith(b"[") else value


def for_each_member(value: bytes, turn: Turn) -> bytes:
    """The object with the value of every member turned."""
    return _turned(value, [(start, end) for _, start, end in _spans(value)], turn)


def _turned(value: bytes, spans: list[tuple[int, int]], turn: Turn) -> bytes:
    edits: list[tuple[int, int, bytes]] = []
    for start, end in spans:
        old = value[start:end]
        new = turn(old)
        if new is not old:
            edits.append((start, end, new))
    return splice(value, edits) if edits else value


def without_meta(value: bytes, names: tuple[str, ...]) -> bytes:
    """The object less these entries of its `_meta`, and less `_meta` itself when nothing else was in it."""
    if not mentions(value, names):
        return value
    meta = members(value).get("_meta")
    if meta is None:
        return value
    left = without(meta, names)
    if left is meta:
        return value
    if not left[1:-1].strip():
        return without(value, ("_meta",))
    return within(value, "_meta", lambda _: left)
