"""How long something has lasted, or will."""

from __future__ import annotations


def stretch(seconds: float) -> str:
    """A stretch of time as a person says it, in at most two units: `12 s`, `3 min`, `2 h 5 min`, `4 d 6 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h" + (f" {whole // 60 % 60} min" if whole // 60 % 60 else "")
    return f"{whole // 86400} d" + (f" {whole // 3600 % 24} h" if whole // 3600 % 24 else "")
