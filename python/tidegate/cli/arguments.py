"""Arguments of a tool as a person types them: `key=value`, read by the tool's own schema.

A value keeps the spelling it was typed with, so a number reaches the server digit by digit. Everything is checked
here that a schema says plainly (type, choice, required, unknown); the rest is the server's to judge.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from tidegate.cli.raw_json import Raw, encode, encode_object, members, parse
from tidegate.cli.schema_words import (
    choices_of,
    describe_arguments,
    properties_of,
    required_of,
    resolve,
    takes_base64,
    type_words,
    types_of,
)

_TOKEN: Final = re.compile(r"(.+?)(:=@|:=|=@|=)(.*)", re.DOTALL)
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024


class BadArguments(ValueError):
    """What was typed does not fit the tool. The message says which argument, and what would."""


def read_arguments(tokens: Sequence[str], schema: object, base: str | None) -> tuple[Raw, list[str]]:
    """The arguments object, and warnings. `base` is a JSON object that `tokens` add to; it is not checked.

    Raises: BadArguments.
    """
    values: dict[str, object] = {}
    if base is not None:
        try:
            parse(base)
            values.update(members(base))
        except ValueError as error:
            raise BadArguments(f"the arguments must be one JSON object: {error}") from error
    lists: dict[str, list[str]] = {}
    warnings: list[str] = []
    for token in tokens:
        key, operator, text = split_token(token)
        if (warning := _unknown_key(key, schema)) is not None:
            warnings.append(warning)
        part = properties_of(schema).get(key)
        if "@" in operator:
            text = _file_text(key, text, as_base64=operator == "=@" and takes_base64(part, schema))
        if operator.startswith(":="):
            values[key] = _json(key, text)
        elif "array" in types_of(part, schema) and not text.lstrip().startswith("["):
            # One element; said again, one more.
            items = lists.setdefault(key, [])
            items.append(encode(read_value(key, text, resolve(part, schema).get("items"), schema)))
            values[key] = Raw("[" + ",".join(items) + "]")
        else:
            values[key] = read_value(key, text, part, schema)
    if base is None:
        _check_required(values, schema)
    return encode_object(values.items()), warnings


def split_token(token: str) -> tuple[str, str, str]:
    """(key, operator, text) of `key=text`, `key:=JSON`, `key=@file` or `key:=@file`. Raises: BadArguments."""
    match = _TOKEN.match(token)
    if match is None:
        raise BadArguments(f"expected `key=value`, got `{token}`; values with spaces need quotes")
    return match[1], match[2], match[3]


def read_value(key: str, text: str, part: object, root: object) -> object:
    """`text` as the type that `part` of schema `root` asks for: `Raw` JSON, or a string. Raises: BadArguments."""
    kinds = types_of(part, root)
    choices = choices_of(part, root)
    if "string" in kinds:
        value: object = text
    elif kinds:
        value = _typed(key, text, kinds, type_words(part, root))
    else:
        value = _guessed(text)
    if choices and (parse(value) if isinstance(value, Raw) else value) not in choices:
        raise BadArguments(f"`{key}`: expected {type_words(part, root)}, got `{text[:200]}`")
    return value


def _typed(key: str, text: str, kinds: frozenset[str], words: str) -> Raw:
    try:
        value = parse(text)
    except ValueError:
        value = BadArguments
    fits = (
        ("boolean" in kinds and isinstance(value, bool))
        or ("null" in kinds and value is None)
        or ("array" in kinds and isinstance(value, list))
        or ("object" in kinds and isinstance(value, dict))
        or ("number" in kinds and isinstance(value, int | float) and not isinstance(value, bool))
        or ("integer" in kinds and _is_integer(value))
    )
    if not fits:
        hint = " (JSON)" if kinds & {"array", "object"} else " (`true` or `false`)" if kinds == {"boolean"} else ""
        raise BadArguments(f"`{key}`: expected {words}{hint}, got `{text[:200]}`")
    return Raw(text.strip())


def _guessed(text: str) -> object:
    """Where a schema allows anything: JSON if it is JSON, otherwise a string."""
    try:
        parse(text)
    except ValueError:
        return text
    return Raw(text.strip())


def _json(key: str, text: str) -> Raw:
    try:
        parse(text)
    except ValueError as error:
        raise BadArguments(f"`{key}:=` must be followed by JSON: {error}") from error
    return Raw(text.strip())


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _file_text(key: str, name: str, *, as_base64: bool) -> str:
    path = Path(name).expanduser()
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BadArguments(f"`{key}`: `{name}` has over {_MAX_FILE_BYTES} bytes")
        content = path.read_bytes()
        return base64.b64encode(content).decode() if as_base64 else content.decode("utf-8")
    except OSError as error:
        raise BadArguments(f"`{key}`: `{name}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadArguments(f"`{key}`: `{name}` is no UTF-8 text") from error


def _unknown_key(key: str, schema: object) -> str | None:
    """A warning for an argument the schema does not have. Raises: BadArguments, where it forbids any other."""
    properties = properties_of(schema)
    found = resolve(schema, schema)
    if key in properties or any(name in found for name in ("patternProperties", "anyOf", "oneOf", "allOf")):
        return None
    near = get_close_matches(key, properties, n=1)
    hint = (
        f"did you mean `{near[0]}`?" if near else f"there is {_listed(properties)}" if properties else "it takes none"
    )
    if found.get("additionalProperties") is False:
        raise BadArguments(f"the tool has no argument `{key}`; {hint}")
    return f"the tool does not describe an argument `{key}`; {hint}" if properties else None


def _check_required(values: dict[str, object], schema: object) -> None:
    missing = [name for name in required_of(schema) if name not in values]
    if not missing:
        return
    words = {row.name: row for row in describe_arguments(schema)}
    lines = []
    for name in missing:
        row = words.get(name)
        detail = f"  {row.type}  {row.description}".rstrip() if row is not None else ""
        lines.append(f"\n  {name}={detail}")
    raise BadArguments(f"missing: {_listed(missing)}{''.join(lines)}")


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)
