"""A key that no table has: what is said about it in each table of the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from tidegate.config.explain import explain, key_path
from tidegate.config.locate import KeyPath
from tidegate.config.schema import Configuration, json_schema

SCHEMA = json_schema()


def tables(schema: dict[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Every table with keys of its own, with a path at which it may stand."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    for one in schema.get("anyOf", ()):
        yield from tables(one, path)
    if "properties" in schema:
        yield path, schema["properties"]
        for key, one in schema["properties"].items():
            yield from tables(one, (*path, key))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from tables(schema["additionalProperties"], (*path, "a"))
    elif "items" in schema:
        yield from tables(schema["items"], (*path, 0))


def said(path: KeyPath, key: str) -> str:
    """About `key` at `path`."""
    tree: Any = {key: 1}
    for part in reversed(path):
        tree = [tree] if isinstance(part, int) else {part: tree}
    with pytest.raises(ValidationError) as caught:
        Configuration.model_validate(tree)
    (found,) = [one for one in caught.value.errors() if one["type"] == "extra_forbidden"]
    assert key_path(found) == (*path, key)
    return explain(found)


def test_every_table_of_the_schema_is_looked_at() -> None:
    at = {".".join(map(str, path)) for path, _ in tables(SCHEMA)}
    assert {"", "models", "power", "capabilities.a", "sampling", "openai", "backends.a.models.0"} <= at
    named = {schema["title"] for schema in SCHEMA["$defs"].values() if "properties" in schema}
    assert len(at) > len(named)


@pytest.mark.parametrize(("path", "known"), [*tables(SCHEMA)], ids=lambda one: ".".join(map(str, one)))
def test_an_unknown_key_is_told_with_what_the_table_has(path: KeyPath, known: dict[str, Any]) -> None:
    assert said(path, "zzqq") == f"unknown key; expected one of {', '.join(sorted(known))}"
    key = max(known, key=len)
    assert said(path, f"{key[:-2]}{key[-1]}") == f"unknown key; did you mean `{key}`?"
