"""The line of every key: the scanners against the standard parsers, which know the keys but not the lines."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.locate import KeyPath, locate_json, locate_toml, without_json_comments
from tidegate.config.toml_text import toml_value

TOML = '''\
# a comment with [brackets] and = signs
title = "a # b" # trailing
[listen]
http = [ # why
  "127.0.0.1:1", # one
  '[::1]:2',

]
"quoted key" = 1
a.b . 'c d' = { x = [1, 2], "y.z" = { w = "}" } }

[backends."we]ird"]
text = """
[not.a.table]
key = "no" \\"""
"""
raw = \'\'\'
[also.not]'\'\'\'
when = 1979-05-27 07:32:00Z
after = true
[[list]]
name = "one"
[list.sub]
deep = 1
[[list]]
name = "two"
  [[list.inner]]
  k = -1.5e3
'''


def test_every_toml_key_has_its_line() -> None:
    assert locate_toml(TOML) == {
        ("title",): 2,
        ("listen",): 3,
        ("listen", "http"): 4,
        ("listen", "http", 0): 5,
        ("listen", "http", 1): 6,
        ("listen", "quoted key"): 9,
        ("listen", "a"): 10,
        ("listen", "a", "b"): 10,
        ("listen", "a", "b", "c d"): 10,
        ("listen", "a", "b", "c d", "x"): 10,
        ("listen", "a", "b", "c d", "x", 0): 10,
        ("listen", "a", "b", "c d", "x", 1): 10,
        ("listen", "a", "b", "c d", "y.z"): 10,
        ("listen", "a", "b", "c d", "y.z", "w"): 10,
        ("backends",): 12,
        ("backends", "we]ird"): 12,
        ("backends", "we]ird", "text"): 13,
        ("backends", "we]ird", "raw"): 17,
        ("backends", "we]ird", "when"): 19,
        ("backends", "we]ird", "after"): 20,
        ("list",): 21,
        ("list", 0): 21,
        ("list", 0, "name"): 22,
        ("list", 0, "sub"): 23,
        ("list", 0, "sub", "deep"): 24,
        ("list", 1): 25,
        ("list", 1, "name"): 26,
        ("list", 1, "inner"): 27,
        ("list", 1, "inner", 0): 27,
        ("list", 1, "inner", 0, "k"): 28,
    }


def test_the_toml_scanner_knows_exactly_the_keys_the_parser_found() -> None:
    assert set(locate_toml(TOML)) == set(_paths(tomllib.loads(TOML)))


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment", "a=1", "a=1\r\nb=2\r\n", "a = \"\"\nb = ''", "a=[]\nb={}"]
)
def test_small_toml_texts_are_scanned_to_their_end(text: str) -> None:
    assert set(locate_toml(text)) == set(_paths(tomllib.loads(text)))


_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = st.recursive(
    _TEXT | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_TREES = st.dictionaries(_TEXT, _VALUES, max_size=4)


@given(_TREES)
def test_any_toml_is_scanned_into_the_keys_the_parser_finds(tree: dict[str, Any]) -> None:
    text = "\n".join(f"{toml_value(key)} = {_inline(value)}" for key, value in tree.items())
    assert tomllib.loads(text) == tree
    assert set(locate_toml(text)) == set(_paths(tree))


@given(_TREES, st.sampled_from([None, 1, 3]), st.booleans())
def test_any_json_is_scanned_into_the_keys_the_parser_finds(
    tree: dict[str, Any], indent: int | None, ascii_: bool
) -> None:
    lines, repeated = locate_json(json.dumps(tree, indent=indent, ensure_ascii=ascii_))
    assert set(lines) == set(_paths(tree))
    assert repeated == []


@given(_TREES)
def test_json_without_comments_is_left_as_it_is(tree: dict[str, Any]) -> None:
    text = json.dumps(tree, indent=2)
    assert without_json_comments(text) == text


def test_comments_and_trailing_commas_are_blanked_without_moving_a_line() -> None:
    text = '{ // one, two\n "a": "// no /* comment */", /* long\n , */ "b": [1, 2, // last\n ],\n}\n'
    plain = without_json_comments(text)
    assert json.loads(plain) == {"a": "// no /* comment */", "b": [1, 2]}
    assert [len(line) for line in plain.split("\n")] == [len(line) for line in text.split("\n")]
    assert locate_json(plain)[0] == {("a",): 2, ("b",): 3, ("b", 0): 3, ("b", 1): 3}


def test_a_repeated_json_member_is_found_with_its_second_line() -> None:
    assert locate_json('{"a": {"x": 1,\n"x": 2}}')[1] == [(("a", "x"), 2)]


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_value(key)} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n".join(map(_inline, value)) + "]"
    return toml_value(value)


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def test_a_bracket_in_a_comment_behind_a_comma_closes_nothing() -> None:
    assert json.loads(without_json_comments('{"a": 1, // }\n "b": 2, /* ] */ "c": 3}')) == {"a": 1, "b": 2, "c": 3}
