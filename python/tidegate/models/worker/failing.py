"""Whatever a task or a library raises, as one of our errors: named, short, and written down where it happened."""

from __future__ import annotations

import contextlib
import errno
import sys
import time
import traceback
from typing import Final

from tidegate.errors import ModelFailed, ModelMissing, ModelOutOfMemory, TidegateError
from tidegate.models.runtimes.system_library import unusable

_NO_MEMORY: Final = (
    "bad_alloc",
    "bad allocation",
    "failed to allocate",
    "cannot allocate memory",
    "out of memory",
    "error return without exception set",
)
"""How libraries say it, in lower case. The last is Python's, when there is none left to say it in."""
_MAX_CHARS: Final = 300
_BETWEEN_S: Final = 1.0
"""Of origins written down for one model: whoever can call it must not be able to flood the log."""
_next_s: dict[str, float] = {}


def as_failure(model: str, error: BaseException) -> TidegateError:
    """What callers of the model are told. What nobody foresaw goes to stderr with its origin."""
    if isinstance(error, TidegateError):
        return named(model, error)
    said = " ".join(str(error).split())[:_MAX_CHARS]
    no_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if no_memory or any(words in said.lower() for words in _NO_MEMORY):
        return ModelOutOfMemory(f"model `{model}` is out of memory")
    if isinstance(error, ImportError):
        package = (error.name or "that it imports").partition(".")[0]
        return ModelMissing(f"model `{model}`: {unusable(package, error, 'install what it needs again')}")
    now_s = time.monotonic()
    if now_s >= _next_s.get(model, 0.0):
        _next_s[model] = now_s + _BETWEEN_S
        with contextlib.suppress(MemoryError):
            traceback.print_exception(error, limit=-12, file=sys.stderr)
    return ModelFailed(f"model `{model}` failed: {type(error).__name__}: {said}")


def named(model: str, error: TidegateError) -> TidegateError:
    """The same, with the model's name: a runtime knows only its file."""
    if not isinstance(error, ModelFailed) or f"`{model}`" in str(error):
        return error
    return type(error)(f"model `{model}`: {error}", data=error.data)
