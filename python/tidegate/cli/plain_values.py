"""Single values of what a gateway said, made fit to be relied on.

Called by whatever reads a page of the admin listener. Anything may stand there, from this version or another one, and
much of it was said by servers and clients: what is missing or odd becomes nothing, text one clean line of bounded
length, numbers finite and not negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from tidegate.cli.terminal import one_line

_MAX_CHARS: Final = 1000
_MAX_COUNT: Final = 10**15


def text(value: object) -> str:
    """One clean line; empty for what is no text."""
    if isinstance(value, str):
        return one_line(value[: 4 * _MAX_CHARS])[:_MAX_CHARS]
    return str(value)[:_MAX_CHARS] if isinstance(value, int) and not isinstance(value, bool) else ""


def number(value: object) -> float | None:
    """Finite and not negative; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return float(min(value, _MAX_COUNT)) if value >= 0 else None
    return value if math.isfinite(value) and value >= 0 else None


def items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(min(found, _MAX_COUNT))


def count_of(value: object) -> int:
    return whole(value) or 0
