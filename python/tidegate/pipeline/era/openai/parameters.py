"""Members of a request, taken one by one: what has the wrong type or value is refused by its name.

`null` is the same as absent, as it is for the original.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tidegate.errors import InvalidParams


class BadParameter(InvalidParams):
    """A member of the request that cannot be served."""

    slug = "bad_parameter"

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


def flag(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadParameter(f"`{name}` must be `true` or `false`", name)
    return value


def text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise BadParameter(f"`{name}` must be a string", name)
    return value


def whole(values: Mapping[str, Any], name: str, *, low: int, high: int) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadParameter(f"`{name}` must be a whole number from {low} to {high}", name)
    return value


def number(values: Mapping[str, Any], name: str, *, low: float, high: float) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadParameter(f"`{name}` must be a number", name)
    if not (math.isfinite(value) and low <= value <= high):
        raise BadParameter(f"`{name}` must be a number from {low:g} to {high:g}", name)
    return value
