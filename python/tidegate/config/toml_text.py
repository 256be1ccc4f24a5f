"""Writes the few TOML shapes a configuration needs: tables, strings, numbers, lists and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tidegate.config.document import dotted
from tidegate.config.locate import KeyPath


def toml_table(path: KeyPath, values: Mapping[str, Any], comments: Mapping[KeyPath, str] | None = None) -> str:
    """`[path]` with its values, then one `[path.key]` for each value that is a table.

    `comments` go at the end of the line of their key; keys are relative to `path`.
    """
    comments = comments or {}
    lines = [f"[{dotted(path)}]"]
    for key, value in values.items():
        if not isinstance(value, dict):
            lines += _pair(key, value, _comment(comments, (key,)))
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += ["", f"[{dotted((*path, key))}]"]
            for name, item in value.items():
                lines += _pair(name, item, _comment(comments, (key, name)))
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{dotted((key,))} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)


def _comment(comments: Mapping[KeyPath, str], path: KeyPath) -> str:
    return f"  # {comments[path]}" if path in comments else ""


def _pair(key: str, value: Any, comment: str) -> list[str]:
    return [f"{dotted((key,))} = {toml_value(value)}{comment}"]


def _string(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL and lone surrogates."""
    escaped = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return re.sub("[\ud800-\udfff]", "\ufffd", escaped)
