"""Of which classes a call's data are, and whether they must stay on the box."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from unicodedata import category, normalize

from tidegate.errors import InvalidParams
from tidegate.pipeline.codec import Envelope, find_member
from tidegate.pipeline.json_text import json_value
from tidegate.protocol.meta_keys import DATA_CLASS


def read_classes(message: bytes, envelope: Envelope, usual: str) -> tuple[str, ...]:
    """As the call says, in its `_meta`: one or a list. `usual`: where it says nothing.

    Raises: InvalidParams. What cannot be read might be what must stay.
    """
    span = envelope.meta_span
    if span is not None and message[span[0] : span[0] + 1] != b"{":
        raise InvalidParams("`params._meta` must be an object")
    at = find_member(message, DATA_CLASS, *span) if span is not None else None
    said = json_value(message[at[0] : at[1]]) if at is not None else None
    listed = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    if (said is not None and not isinstance(said, str | list)) or not all(isinstance(one, str) for one in listed):
        raise InvalidParams(f'`_meta["{DATA_CLASS}"]` must be the name of a class, or a list of them')
    classes = tuple(one for one in listed if one)
    return classes or ((usual,) if usual else ())


def must_stay(classes: Sequence[str], stay: Sequence[str]) -> str:
    """The class for which nothing may leave the box; empty for none. `stay`: glob patterns. However it is spelled: who
    writes `Patient` means no other data than who writes `patient`.
    """
    patterns = [_plain(pattern) for pattern in stay]
    return next((one for one in classes if any(fnmatchcase(_plain(one), pattern) for pattern in patterns)), "")


def _plain(name: str) -> str:
    """Without what only looks like another letter, or like nothing at all."""
    visible = (letter for letter in normalize("NFKC", name) if category(letter) != "Cf")
    return "".join(visible).strip().casefold()
