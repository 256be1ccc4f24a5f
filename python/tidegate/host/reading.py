"""From the text the kernel (or somebody pretending to be it) wrote to values that are safe to pass on.

Everything below /proc and /sys is treated as hostile: drivers print garbage, containers fake files. Whatever
is not plainly a number in its range, or not readable text, becomes None; nothing here raises.
"""

from __future__ import annotations

import math
from typing import Final

LARGEST: Final = 2**63 - 1
"""Counters above this are taken for garbage; a signed 64-bit reader of our JSON must survive them."""
TEXT_CHARS: Final = 200
"""The longest name or label passed on."""


def whole(text: str | None, *, low: int = 0, high: int = LARGEST) -> int | None:
    """A decimal integer within [low, high]."""
    if text is None:
        return None
    text = text.strip()
    digits = text.removeprefix("-")
    if not 1 <= len(digits) <= 20 or not (digits.isascii() and digits.isdigit()):
        return None
    number = int(text)
    return number if low <= number <= high else None


def scaled(number: int | None, factor: int) -> int | None:
    """`number` in its smaller unit (KiB to bytes: 1024), None when it does not fit any more."""
    if number is None or number * factor > LARGEST:
        return None
    return number * factor


def fraction(text: str | None, *, low: float = 0.0, high: float = 1e15) -> float | None:
    """A plain decimal number (no exponent, no `nan`) within [low, high]."""
    if text is None:
        return None
    text = text.strip()
    if not 1 <= len(text) <= 32 or not text.isascii() or text.strip("-0123456789.") != "":
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def percent(part: float | None, total: float | None) -> float | None:
    """`part` of `total` in percent with one decimal, clamped to 0…100."""
    if part is None or total is None or total <= 0:
        return None
    return round(min(max(100.0 * part / total, 0.0), 100.0), 1)


def printable(text: str | None, limit: int = TEXT_CHARS) -> str | None:
    """One line of visible text: control, format and unassigned characters dropped, cut at `limit`."""
    if text is None:
        return None
    shown = "".join(char for char in text[: 4 * limit] if char.isprintable() and char != "\ufffd").strip()[:limit]
    return shown or None


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts `hwmon2` before `hwmon10`."""
    parts: list[tuple[int, int, str]] = []
    run = ""
    for char in name[:TEXT_CHARS]:
        if run and (char in "0123456789") != (run[-1] in "0123456789"):
            parts.append(_part(run))
            run = ""
        run += char
    if run:
        parts.append(_part(run))
    return tuple(parts)


def _part(run: str) -> tuple[int, int, str]:
    return (0, int(run), run) if run[0] in "0123456789" else (1, 0, run)
