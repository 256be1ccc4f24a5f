"""What one worker is told to serve: the environment variable `TIDEGATE_MODELS`, written by the gateway or by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tidegate.errors import ConfigError

VARIABLE: Final = "TIDEGATE_MODELS"
"""As `config/model_workers.py` has it, which a worker has no other use for and so does not import."""

MAX_MODELS: Final = 64
_MAX_CHARS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the set."""

    path: str
    """A folder, or the name of one that comes with tidegate."""
    shipped: bool = False
    digest: str = ""
    """Of its manifest; empty: any."""

    @property
    def folder(self) -> Path:
        """Raises: ConfigError, when no such model comes with tidegate."""
        if not self.shipped:
            return Path(self.path)
        from tidegate.config.shipped_models import not_shipped, shipped_model_folder

        folder = shipped_model_folder(self.path)
        if folder is None:
            raise ConfigError(not_shipped(self.path))
        return folder


@dataclass(frozen=True, slots=True)
class Assignment:
    """The whole of it."""

    name: str
    """Of the set, which is the backend's."""
    models: tuple[ModelEntry, ...]
    memory_bytes: int = 0
    """For the worker; 0: no bound."""
    unload_idle_s: float = 300.0
    """A model that nobody called for so long gives its memory back; 0: never."""
    line_bytes: int = 4 * 1024 * 1024
    """Of one message that comes."""
    result_bytes: int = 16 * 1024 * 1024
    """Of one message that goes."""
    depth: int = 64
    """Of arrays and objects in each other."""
    stuck_s: float = 30.0
    """A model that still computes so long after its time is up takes the worker with it."""
    power: Mapping[str, Any] = field(default_factory=dict)
    """For `models/power.py`."""


def read_assignment(text: str) -> Assignment:
    """Raises: ConfigError, naming the key."""
    if len(text) > _MAX_CHARS:
        raise ConfigError(f"`{VARIABLE}`: expected at most {_MAX_CHARS} characters")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"`{VARIABLE}`: expected JSON") from None
    if not isinstance(told, dict):
        raise ConfigError(f"`{VARIABLE}`: expected an object")
    entries = told.get("models")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_MODELS:
        raise ConfigError(f"`{VARIABLE}`: `models`: expected a list of 1 to {MAX_MODELS}")
    numbers = {key: _number(told, key) for key in _NUMBERS if key in told}
    power = told.get("power") or {}
    if not isinstance(power, dict):
        raise ConfigError(f"`{VARIABLE}`: `power`: expected an object")
    return Assignment(
        name=_text(told, "set", "models"), models=tuple(_entry(entry) for entry in entries), power=power, **numbers
    )


_NUMBERS: Final[dict[str, type]] = {
    "memory_bytes": int,
    "unload_idle_s": float,
    "line_bytes": int,
    "result_bytes": int,
    "depth": int,
    "stuck_s": float,
}


def _entry(entry: object) -> ModelEntry:
    if not isinstance(entry, dict):
        raise ConfigError(f"`{VARIABLE}`: `models`: expected objects")
    path = _text(entry, "path", "")
    if not path or "\0" in path:
        raise ConfigError(f"`{VARIABLE}`: `models`: expected a `path` in each")
    return ModelEntry(path, entry.get("shipped") is True, _text(entry, "digest", ""))


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"`{VARIABLE}`: `{key}`: expected text")
    return value


def _number(table: Mapping[str, Any], key: str) -> Any:
    value = table[key]
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"`{VARIABLE}`: `{key}`: expected a number, not below 0")
    return _NUMBERS[key](value)
