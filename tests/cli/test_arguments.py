"""Arguments as they are typed, against schemas as servers write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.arguments import BadArguments, read_arguments
from tidegate.cli.raw_json import elements, encode, members
from tidegate.cli.schema_words import describe_arguments, type_words, types_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([None, 1]))
def test_members_are_the_text_they_came_in(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert {key: json.loads(raw) for key, raw in members(text).items()} == value
    assert all(raw in text for raw in members(text).values())


@given(st.lists(JSON, max_size=5))
def test_elements_are_the_text_they_came_in(value: list[Any]) -> None:
    assert [json.loads(raw) for raw in elements(json.dumps(value))] == value


@given(JSON)
def test_what_is_encoded_is_the_same_value(value: Any) -> None:
    assert json.loads(encode(value)) == value


def test_json_on_several_lines_is_sent_on_one() -> None:
    raw = members('{"a": [1,\r\n2], "b": "\\n"}')
    assert encode(raw) == '{"a":[1,  2],"b":"\\n"}'


@pytest.mark.parametrize("text", ["", "[", "{", "{]", '{"a"}', '{"a":1,}', '{"a":1}x', "[1,]", "[1 2]", "1"])
def test_what_is_no_object_or_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        members(text)
    with pytest.raises(ValueError, match=r"."):
        elements(text)


def test_numbers_keep_every_digit() -> None:
    words = ["a=12345678901234567890.10", "b:=1.0", "c=1E2"]
    raw, _ = read_arguments(words, schema(a={"type": "number"}, c={"type": "integer"}), None)
    assert raw == '{"a":12345678901234567890.10,"b":1.0,"c":1E2}'


def test_text_stays_text_however_it_looks() -> None:
    for kind in ({"type": "string"}, {"type": ["string", "null"]}, {"type": ["integer", "string"]}):
        raw, _ = read_arguments(["a=12", "b=true"], schema(a=kind, b=kind), None)
        assert json.loads(raw) == {"a": "12", "b": "true"}


def test_where_anything_goes_json_is_json_and_the_rest_is_text() -> None:
    raw, _ = read_arguments(["a=12", "b=x y", 'c={"d":1}'], {"type": "object"}, None)
    assert json.loads(raw) == {"a": 12, "b": "x y", "c": {"d": 1}}


def test_a_schema_that_is_none_takes_anything() -> None:
    for wrong in (None, True, [], "x", {"properties": 3, "required": "x"}):
        raw, warnings = read_arguments(["a=1"], wrong, None)
        assert (raw, warnings) == ('{"a":1}', [])


@given(JSON, st.text(min_size=1))
def test_no_schema_and_no_word_breaks_anything(part: Any, word: str) -> None:
    types_of(part, part)
    type_words(part, part)
    describe_arguments(schema(a=part))
    describe_arguments(part)
    try:
        raw, _ = read_arguments([f"a={word}"], schema(a=part), None)
    except BadArguments:
        return
    assert isinstance(json.loads(raw), dict)


def test_references_that_go_round_in_circles_end() -> None:
    circle = {"$ref": "#/$defs/a"}
    root = {**schema(x=circle), "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert types_of(circle, root) == frozenset()
    nest: dict[str, Any] = {"anyOf": [{"$ref": "#/$defs/n"}]}
    assert types_of(nest, {"$defs": {"n": nest}}) == frozenset()
    deep: dict[str, Any] = {"type": "array", "items": {"$ref": "#/$defs/d"}}
    assert type_words(deep, {"$defs": {"d": deep}}).startswith("array of array")


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "string"}, '"a tide"'),
        ({}, '"a tide"'),
        ({"type": "string", "contentEncoding": "base64"}, '"YSB0aWRl"'),
        ({"anyOf": [{"type": "object"}, {"type": "string", "contentEncoding": "base64"}]}, '"YSB0aWRl"'),
        ({"$ref": "#/$defs/b"}, '"YSB0aWRl"'),
        ({"type": "object", "contentEncoding": "base64"}, None),
    ],
)
def test_the_content_of_a_file_is_sent_in_the_encoding_that_is_asked_for(tmp_path: Path, part: Any, sent: Any) -> None:
    (tmp_path / "f").write_bytes(b"a tide")
    asked = schema(x=part) | {"$defs": {"b": {"oneOf": [{"contentEncoding": "base64"}]}}}
    if sent is None:
        with pytest.raises(BadArguments):
            read_arguments([f"x=@{tmp_path}/f"], asked, None)
    else:
        assert read_arguments([f"x=@{tmp_path}/f"], asked, None)[0] == f'{{"x":{sent}}}'


def test_a_file_that_is_no_text_is_sent_where_bytes_are_asked_for_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xff\x00")
    asked = schema(x={"type": "string", "contentEncoding": "base64"}, y={"type": "string"})
    assert read_arguments([f"x=@{tmp_path}/f"], asked, None)[0] == '{"x":"/wA="}'
    with pytest.raises(BadArguments, match="is no UTF-8 text"):
        read_arguments([f"y=@{tmp_path}/f"], asked, None)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "integer", "minimum": 1}, "integer from 1"),
        ({"type": "string", "maxLength": 3}, "string up to 3 characters"),
        ({"type": "string", "format": "date"}, "string (date)"),
        ({"enum": ["a", 1, None]}, "one of a, 1, null"),
        ({"const": "x"}, "x"),
        ({"type": ["string", "null"]}, "string"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "string|integer"),
        ({"properties": {"a": {}}}, "object {a}"),
        ({}, "any"),
        (True, "any"),
    ],
)
def test_types_in_words(part: Any, words: str) -> None:
    assert type_words(part, part) == words
