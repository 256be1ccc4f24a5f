"""A validator's finding in words: what was expected, and what stood there instead where that is no secret."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from tidegate.config.locate import KeyPath
from tidegate.config.schema import Configuration

_NEVER_SHOWN: Final = frozenset({"env", "headers", "settings", "token_sha256"})

_TABLES_OF_STRINGS: Final = frozenset({"env", "headers", "aliases", "descriptions", "folders", "writable"})

_EXPECTED: Final = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list of strings",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "missing": "it to be given",
    "string_too_short": "a string that is not empty",
}


def key_path(details: ErrorDetails) -> KeyPath:
    """The path of the key to blame. What is wrong with a key itself is reported at that key."""
    return tuple(part for part in details["loc"] if part != "[key]")


def explain(details: ErrorDetails) -> str:
    """One line without the key; never the value of something that may be secret."""
    kind = details["type"]
    context: dict[str, Any] = details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(key_path(details))
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"expected {context['expected'].replace(chr(39), chr(34))}{_got(details)}"
    if kind == "too_short":
        return "expected a list that is not empty"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters"
    for bound, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if bound in context:
            number = context[bound]
            # `g` would say 1.07374e+09 of a number of bytes.
            return f"expected {words} {number if isinstance(number, int) else f'{number:g}'}{_got(details)}"
    if kind in _EXPECTED:
        expected = _EXPECTED[kind]
        if kind == "dict_type" and key_path(details)[-1] in _TABLES_OF_STRINGS:
            expected = "a table of strings"
        return f"expected {expected}{'' if kind == 'missing' else _got(details)}"
    return details["msg"]


def _unknown_key(path: KeyPath) -> str:
    known = _known_keys(path[:-1])
    near = get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"unknown key; did you mean `{near[0]}`?"
    return f"unknown key; expected one of {', '.join(known)}" if known else "unknown key"


def _known_keys(path: KeyPath) -> list[str]:
    """Of the table at `path`, as the schema has it; none where no table with keys of its own stands there."""
    kind: Any = Configuration
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field is not None else None
        else:
            kind = next(reversed(get_args(kind)), None)  # a name of a table of tables, or a place in a list
        kind = _container(kind)
    return sorted(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _container(kind: Any) -> Any:
    """The table, the table of tables or the list that may stand where a type allows several things; else None."""
    if get_origin(kind) in (dict, list) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return kind
    # A plain `dict` has no arguments, and neither has `str`.
    return next((found for one in get_args(kind) if (found := _container(one)) is not None), None)


def _got(details: ErrorDetails) -> str:
    value = details["input"]
    secret = bool(_NEVER_SHOWN.intersection(key_path(details)))
    if value is None:
        return ", got null"
    if isinstance(value, bool):
        return f", got {'true' if value else 'false'}"
    if isinstance(value, int | float):
        return ", got a number" if secret else f", got {value}"
    if isinstance(value, str):
        return f', got "{value[:60]}"' if details["type"] == "literal_error" else ", got a string"
    if isinstance(value, list):
        return ", got a list"
    if isinstance(value, dict):
        return ", got a table"
    return ", got a date or time"
