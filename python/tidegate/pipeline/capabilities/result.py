"""What a tool answered, as a capability reads it and gives it on: only what is looked for is looked at."""

from __future__ import annotations

import math

from tidegate.errors import DuplicateKey
from tidegate.pipeline.codec import find_member, patch_object
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.protocol.meta_keys import SERVED_BY

_OBJECT = b"{"


def says_failed(result: bytes) -> bool:
    """The tool says that it failed."""
    at = find_member(result, "isError")
    return at is not None and result[at[0] : at[1]] == b"true"


def is_structured(result: bytes) -> bool:
    at = find_member(result, "structuredContent")
    return at is not None and result[at[0] : at[0] + 1] == _OBJECT


def confidence_of(result: bytes, path: str) -> float | None:
    """From 0 to 1, where `structuredContent` says how sure it is: `path`, dots go deeper. None: it does not say."""
    span = find_member(result, "structuredContent")
    for part in path.split("."):
        if span is None or result[span[0] : span[0] + 1] != _OBJECT:
            return None
        span = find_member(result, part, *span)
    if span is None:
        return None
    value = json_value(result[span[0] : span[1]])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return min(1.0, max(0.0, float(value)))


def with_served_by(result: bytes, served_by: object) -> bytes:
    """The same answer, which says who gave it. All else stays as the tool wrote it."""
    at = find_member(result, "_meta")
    meta = result[at[0] : at[1]] if at is not None else b"{}"
    if not meta.startswith(_OBJECT):
        meta = b"{}"
    said: list[tuple[str, bytes | None]] = [(SERVED_BY, json_bytes(served_by))]
    try:
        meta = patch_object(meta, said)
    except DuplicateKey:
        # Whoever says twice who served it is not one to be given on.
        meta = patch_object(b"{}", said)
    changes: list[tuple[str, bytes | None]] = [("_meta", meta)]
    if find_member(result, "resultType") is None:
        # From a server of the session era.
        changes.append(("resultType", b'"complete"'))
    return patch_object(result, changes)
