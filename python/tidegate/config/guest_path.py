"""How a folder is called inside a plugin: the same rule for what its manifest asks for and what it is granted."""

from __future__ import annotations

from typing import Final

MAX_CHARS: Final = 256


def is_guest_path(text: str) -> bool:
    """An absolute path that leads nowhere else: no `.`, `..` or empty part, no control characters."""
    parts = text.split("/")[1:]
    return (
        text.startswith("/")
        and (text == "/" or not any(part in ("", ".", "..") for part in parts))
        and len(text) <= MAX_CHARS
        and not any(ord(char) < 32 for char in text)
    )
