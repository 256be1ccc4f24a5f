"""A tool's JSON Schema in words a person can type from: one line an argument.

Also says which JSON types an argument may have, which `arguments.py` parses by. A schema is untrusted and may be
anything; what is not understood is shown as `any`.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any, Final

from tidegate.cli.terminal import clean, one_line

_MAX_REFERENCES: Final = 8
_MAX_CHOICES: Final = 12
_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null")


@dataclass(frozen=True)
class ArgumentWords:
    """One property of a schema."""

    name: str
    type: str
    required: bool
    description: str


def describe_arguments(schema: object) -> list[ArgumentWords]:
    """The properties of an object schema, required ones first, otherwise in the schema's order."""
    properties = properties_of(schema)
    required = required_of(schema)
    rows = []
    for name, part in properties.items():
        found = resolve(part, schema)
        description = found.get("description") or found.get("title")
        extra = f" (default {_shown(found['default'])})" if "default" in found else ""
        words = one_line(description) if isinstance(description, str) else ""
        rows.append(ArgumentWords(clean(name), type_words(part, schema), name in required, words + extra))
    return sorted(rows, key=lambda row: not row.required)


def one_argument(row: ArgumentWords, required_word: str = "required") -> tuple[str, str, str, str]:
    return row.name, row.type, required_word if row.required else "", row.description.strip()


def example_arguments(schema: object) -> str:
    """` path=TEXT count=N` for the required ones; empty when there is none."""
    words = []
    for name in required_of(schema):
        part = properties_of(schema).get(name)
        kinds = types_of(part, schema)
        kind = next((kind for kind in _TYPES if kind in kinds), "string")
        sample = {"integer": "=N", "number": "=N", "boolean": "=true", "array": "=VALUE", "object": ":={}"}
        operator = sample.get(kind, "=TEXT")
        choices = choices_of(part, schema)
        if choices and isinstance(choices[0], str):
            operator = f"={shlex.quote(choices[0])}"
        words.append(f" {shlex.quote(clean(name))}{clean(operator)}")
    return "".join(words)


def properties_of(schema: object) -> dict[str, Any]:
    properties = resolve(schema, schema).get("properties")
    return properties if isinstance(properties, dict) else {}


def required_of(schema: object) -> list[str]:
    required = resolve(schema, schema).get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def resolve(part: object, root: object) -> dict[str, Any]:
    """`part` with a local `$ref` followed; an empty schema when it leads nowhere."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(part, dict):
            return {}
        reference = part.get("$ref")
        if not isinstance(reference, str):
            return part
        found: object = root
        for step in reference.removeprefix("#").split("/")[1:] if reference.startswith("#") else [""]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        beside = {key: value for key, value in part.items() if key != "$ref"}
        part = {**found, **beside} if isinstance(found, dict) else beside
    return {}


def types_of(part: object, root: object, depth: int = 0) -> frozenset[str]:
    """The JSON types that a value may have; empty when the schema does not say, and any may."""
    schema = resolve(part, root)
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset((kind,))
    if isinstance(kind, list):
        return frozenset(each for each in kind if isinstance(each, str))
    if choices := choices_of(part, root):
        return frozenset(map(_type_of, choices))
    if depth < _MAX_REFERENCES:
        for key in ("anyOf", "oneOf"):
            options = schema.get(key)
            if isinstance(options, list) and options:
                each = [types_of(option, root, depth + 1) for option in options]
                return frozenset().union(*each) if all(each) else frozenset()
        options = schema.get("allOf")
        if isinstance(options, list):
            for option in options:
                if found := types_of(option, root, depth + 1):
                    return found
    if "properties" in schema:
        return frozenset(("object",))
    return frozenset(("array",)) if "items" in schema else frozenset()


def takes_base64(part: object, root: object, depth: int = 0) -> bool:
    """Whether text for it is the base64 of something, in one of its forms."""
    schema = resolve(part, root)
    if schema.get("contentEncoding") == "base64":
        return "string" in types_of(schema, root) or "type" not in schema
    options = [option for key in ("anyOf", "oneOf") if isinstance(found := schema.get(key), list) for option in found]
    return depth < _MAX_REFERENCES and any(takes_base64(option, root, depth + 1) for option in options)


def choices_of(part: object, root: object) -> list[Any]:
    """The values of an enumeration; empty when it is none."""
    schema = resolve(part, root)
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    for key in ("oneOf", "anyOf"):
        options = schema.get(key)
        if (
            isinstance(options, list)
            and options
            and all(isinstance(each, dict) and "const" in each for each in options)
        ):
            return [each["const"] for each in options]
    return []


def type_words(part: object, root: object, depth: int = 0) -> str:
    """`integer 1…10`, `one of red, green`, `array of string`."""
    schema = resolve(part, root)
    if choices := choices_of(part, root):
        shown = [_shown(choice) for choice in choices[:_MAX_CHOICES]]
        more = ", …" if len(choices) > _MAX_CHOICES else ""
        return shown[0] if len(choices) == 1 else f"one of {', '.join(shown)}{more}"
    kinds = types_of(part, root)
    if not kinds:
        return "any"
    words = "|".join(sorted((clean(kind) for kind in kinds if kind != "null"), key=_order)) or "null"
    if words == "array" and depth < 3 and "items" in schema:
        inner = type_words(schema["items"], root, depth + 1)
        words = f"array of {inner}" if inner != "any" else "array"
    elif words == "object" and depth < 3 and (inside := properties_of_part(schema)):
        words = f"object {{{', '.join(clean(name) for name in list(inside)[:_MAX_CHOICES])}}}"
    return words + _bounds(schema)


def properties_of_part(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _bounds(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("minLength", schema.get("minItems")))
    high = schema.get("maximum", schema.get("maxLength", schema.get("maxItems")))
    unit = " characters" if "minLength" in schema or "maxLength" in schema else ""
    words = ""
    if isinstance(low, int | float) and isinstance(high, int | float):
        words = f" {low}…{high}{unit}"
    elif isinstance(low, int | float) and low:
        words = f" from {low}{unit}"
    elif isinstance(high, int | float):
        words = f" up to {high}{unit}"
    kind = schema.get("format")
    return f"{words} ({one_line(kind)})" if isinstance(kind, str) and kind else words


def _order(kind: str) -> int:
    return _TYPES.index(kind) if kind in _TYPES else len(_TYPES)


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _shown(value: object) -> str:
    return one_line(value if isinstance(value, str) and value else json.dumps(value))
