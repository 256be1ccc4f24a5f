"""TOML that somebody unknown wrote, as values that JSON has: bounded before, while and after it is parsed.

For what comes with plugins and models. Whether the keys are known and the values make sense is the reader's to say.
"""

from __future__ import annotations

import math
import re
import tomllib
from typing import Any, Final

MAX_DEPTH: Final = 32
"""Of tables and lists."""

_MAX_DOTS: Final = 16
_KEY_PART: Final = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY: Final = re.compile(rf"""(?<![\w"'-])(?:{_KEY_PART}){{{_MAX_DOTS + 1}}}""")
"""A key of very many parts keeps the TOML parser busy for minutes."""
_MAX_INTEGER: Final = (1 << 63) - 1


class NotAcceptable(ValueError):
    """The message says what was expected, for whoever wrote it."""


def read_untrusted(text: bytes, max_bytes: int) -> dict[str, Any]:
    """Raises: NotAcceptable, whatever the bytes are."""
    if len(text) > max_bytes:
        raise NotAcceptable(f"expected at most {max_bytes} bytes of manifest")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotAcceptable("the manifest is not UTF-8 text") from None
    if _LONG_KEY.search(decoded):
        raise NotAcceptable(f"expected keys of at most {_MAX_DOTS} parts")
    try:
        tree = tomllib.loads(decoded)
    except RecursionError:
        raise NotAcceptable("the manifest is nested too deeply") from None
    except ValueError as error:
        raise NotAcceptable(f"the manifest is not TOML: {str(error)[:200]}") from None
    check_values(tree)
    return tree


def check_values(value: object, depth: int = 0) -> None:
    """Nothing that JSON has not, and no deeper than it may be. Raises: NotAcceptable."""
    if depth > MAX_DEPTH:
        raise NotAcceptable(f"expected at most {MAX_DEPTH} levels of tables and lists")
    if isinstance(value, dict):
        for key, item in value.items():
            check_values(key, depth + 1)
            check_values(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_values(item, depth + 1)
    elif isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise NotAcceptable("expected text without lone surrogates")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotAcceptable("expected numbers that JSON has, so neither `inf` nor `nan`")
    elif isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise NotAcceptable("expected numbers of at most 64 bits")
    elif value is not None:
        raise NotAcceptable("expected values that JSON has; write a date or time as a string")
