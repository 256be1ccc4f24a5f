"""Small edits of raw JSON that never fail: what is not there, or is of another type, stays as it is.

Called by the files of this package that fit a message to a revision. Every function takes and returns the
bytes of exactly one JSON value that `scan` has passed, and returns the very same object when nothing changes.
A key written with escapes counts as another key, which at worst leaves a member in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from tidegate.pipeline.codec import array_spans, member_spans, patch_object, splice

Turn = Callable[[bytes], bytes]
"""One raw value to another; the same object for no change."""


def members(value: bytes) -> dict[str, bytes]:
    """Key → raw value. Empty for anything but an object; of a repeated key the last one, as most readers have it."""
    if not value.lstrip().startswith(b"{"):
        return {}
    return {key: value[start:end] for key, start, end in member_spans(value)}


def elements(value: bytes) -> list[bytes]:
    """Raw elements. Empty for anything but an array."""
    if not value.lstrip().startswith(b"["):
        return []
    return [value[start:end] for start, end in array_spans(value)]


def text_of(value: bytes | None) -> str | None:
    """The string that `value` spells, or None for anything else."""
    if value is None or not value.startswith(b'"'):
        return None
    text: str = json.loads(value)
    return text


def mentions(value: bytes, names: Iterable[str]) -> bool:
    """Whether one of the names stands in quotes anywhere in `value`: cheap, and wrong only towards yes."""
    return any(b'"' + name.encode() + b'"' in value for name in names)


def without(value: bytes, names: Iterable[str]) -> bytes:
    """The object less these members."""
    if not mentions(value, names):
        return value
    known = members(value)
    gone: list[tuple[str, bytes | None]] = [(name, None) for name in names if name in known]
    return patch_object(value, gone) if gone else value


def within(value: bytes, name: str, turn: Turn) -> bytes:
    """The object with its member `name`, if it has one, turned."""
    if not mentions(value, (name,)) or not value.lstrip().startswith(b"{"):
        return value
    span = next(((start, end) for key, start, end in reversed(member_spans(value)) if key == name), None)
    if span is None:
        return value
    old = value[span[0] : span[1]]
    new = turn(old)
    return value if new is old else splice(value, [(span[0], span[1], new)])


def for_each(value: bytes, turn: Turn) -> bytes:
    """The array with every element turned."""
    if not value.lstrip().startswith(b"["):
        return value
    edits: list[tuple[int, int, bytes]] = []
    for start, end in array_spans(value):
        old = value[start:end]
        new = turn(old)
        if new is not old:
            edits.append((start, end, new))
    return splice(value, edits) if edits else value


def for_each_member(value: bytes, turn: Turn) -> bytes:
    """The object with the value of every member turned."""
    if not value.lstrip().startswith(b"{"):
        return value
    edits: list[tuple[int, int, bytes]] = []
    for _, start, end in member_spans(value):
        old = value[start:end]
        new = turn(old)
        if new is not old:
            edits.append((start, end, new))
    return splice(value, edits) if edits else value


def without_meta(value: bytes, names: Iterable[str]) -> bytes:
    """The object less these entries of its `_meta`, and less `_meta` itself when nothing else was in it."""
    if not mentions(value, names):
        return value
    meta = members(value).get("_meta")
    if meta is None:
        return value
    left = without(meta, names)
    if left is meta:
        return value
    if not members(left):
        return without(value, ("_meta",))
    return within(value, "_meta", lambda _: left)
