"""Values in words, for the text a person or a model reads beside the structured result."""

from __future__ import annotations


def size(count: float | None) -> str:
    """Bytes in binary units: `1.5 GiB`."""
    if count is None:
        return "unknown"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"


def share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} %"


def degrees(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} °C"


def plain(value: object) -> str:
    return "unknown" if value is None else str(value)


def duration(seconds: float | None) -> str:
    """`3 d 4 h 5 min`, or seconds below a minute."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(parts)
