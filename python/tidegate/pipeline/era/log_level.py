"""Levels of log lines: RFC 5424, as every revision has them."""

from __future__ import annotations

from typing import Final

from tidegate.pipeline.json_text import json_value

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""The most talkative first."""


def rank(level: str | None) -> int | None:
    """Place in `LEVELS`; None for none of them."""
    return LEVELS.index(level) if level in LEVELS else None


def reaches(message: bytes, level: int) -> bool:
    """Whether a `notifications/message` is of this rank or above; one that does not say passes."""
    if level == 0:
        return True
    params = json_value(message).get("params")
    own = rank(params.get("level")) if isinstance(params, dict) and isinstance(params.get("level"), str) else None
    return own is None or own >= level
