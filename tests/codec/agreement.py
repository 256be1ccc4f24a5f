"""Runs a native function and its twin on the same input."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tidegate.errors import DepthExceeded, TidegateError


def outcome(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    """("value", result), or the name of the error's class and the id it answers.

    Which id answers a message that is nested too deep depends on whether it came first; that is no part of this.
    """
    try:
        return "value", function(*arguments)
    except DepthExceeded:
        return "DepthExceeded", None
    except (TidegateError, ValueError) as error:
        return type(error).__name__, getattr(error, "id_raw", None)


def assert_agree(native: Callable[..., Any], twin: Callable[..., Any], *arguments: Any) -> Any:
    """Both return the same, or fail the same. Returns the outcome."""
    got, expected = outcome(native, *arguments), outcome(twin, *arguments)
    assert got == expected
    return got


def cuts(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, cut at these places."""
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]
