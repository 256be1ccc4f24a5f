"""A task's `[settings]`, read strictly: a wrong type, a value out of bounds or a key that the task does not know
refuses the model, so that a slip of the pen is not a wrong answer. Constructors of tasks use it; nothing else does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from tidegate.errors import ModelRefused
from tidegate.models.manifest import ModelManifest

ENTRIES: Final = 100_000
"""Of one list or table of settings, such as labels."""

_ABSENT: Final = object()


class Settings:
    """Takes each setting once; `done` refuses what was not taken."""

    def __init__(self, manifest: ModelManifest) -> None:
        self._model = manifest.name
        self._values: Mapping[str, Any] = manifest.settings
        self._taken: set[str] = set()

    def text(self, key: str, default: str) -> str:
        value = self._take(key)
        if value is _ABSENT:
            return default
        if not isinstance(value, str):
            self.refuse(key, "is not a string")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.refuse(key, f"is `{value}`, and not one of {', '.join(f'`{choice}`' for choice in choices)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key)
        if value is _ABSENT:
            return default
        if not isinstance(value, bool):
            self.refuse(key, "is neither `true` nor `false`")
        return value

    def whole(self, key: str, default: int, *, low: int, high: int) -> int:
        value = self._take(key)
        if value is _ABSENT:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(key, f"is not a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        value = self._take(key)
        if value is _ABSENT:
            return default
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not low <= value <= high
        ):
            self.refuse(key, f"is not a number from {low:g} to {high:g}")
        return float(value)

    def numbers(self, key: str, default: tuple[float, ...], *, low: float, high: float) -> tuple[float, ...]:
        """As many as the default has; one number stands for all."""
        value = self._take(key)
        if value is _ABSENT:
            return default
        listed = value if isinstance(value, list) else [value] * len(default)
        if len(listed) != len(default) or not all(
            isinstance(entry, int | float) and not isinstance(entry, bool) and low <= entry <= high for entry in listed
        ):
            self.refuse(key, f"is not a list of {len(default)} numbers from {low:g} to {high:g}")
        return tuple(float(entry) for entry in listed)

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._take(key)
        if value is _ABSENT:
            return default
        if not isinstance(value, list) or len(value) > ENTRIES or not all(isinstance(entry, str) for entry in value):
            self.refuse(key, "is not a list of strings")
        return tuple(value)

    def words(self, key: str) -> dict[str, str]:
        """A table of strings; empty when it is absent."""
        value = self._take(key)
        if value is _ABSENT:
            return {}
        if (
            not isinstance(value, dict)
            or len(value) > ENTRIES
            or not all(isinstance(entry, str) for pair in value.items() for entry in pair)
        ):
            self.refuse(key, "is not a table of strings")
        return dict(value)

    def done(self) -> None:
        """Raises: ModelRefused for a key that nothing asked for."""
        known = ", ".join(f"`{name}`" for name in sorted(self._taken))
        for key in sorted(set(self._values) - self._taken):
            self.refuse(key, f"is not one of its task, which knows {known}")

    def refuse(self, key: str, why: str) -> NoReturn:
        raise ModelRefused(f"model `{self._model}`: the setting `{key}` {why}")

    def _take(self, key: str) -> Any:
        self._taken.add(key)
        return self._values.get(key, _ABSENT)
