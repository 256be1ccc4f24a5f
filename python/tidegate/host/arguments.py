"""Checks tool arguments against the few JSON Schema words the host tools use in `inputSchema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.errors import InvalidParams
from tidegate.host.shape import Schema


def admit(tool: str, schema: Schema, arguments: Mapping[str, Any]) -> None:
    """Passes arguments that fit `schema`.

    Raises:
        InvalidParams: naming the argument and what it should have been.
    """
    properties: dict[str, Schema] = schema["properties"]
    for name, value in arguments.items():
        rule = properties.get(name)
        if rule is None:
            known = ", ".join(f"`{key}`" for key in properties) or "none"
            raise InvalidParams(f"`{tool}` takes no argument `{name[:64]}`; its arguments: {known}")
        if not _fits(rule, value):
            raise InvalidParams(f"argument `{name}` of `{tool}` must be {_wanted(rule)}")


def _fits(rule: Schema, value: object) -> bool:
    if rule["type"] == "boolean":
        return isinstance(value, bool)
    if rule["type"] == "string":
        return isinstance(value, str) and value in rule["enum"]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON Schema: 5.0 is an integer
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return bool(rule["minimum"] <= value <= rule["maximum"])


def _wanted(rule: Schema) -> str:
    if rule["type"] == "boolean":
        return "`true` or `false`"
    if rule["type"] == "string":
        return "one of " + ", ".join(f"`{choice}`" for choice in rule["enum"])
    return f"an integer from {rule['minimum']} to {rule['maximum']}"
