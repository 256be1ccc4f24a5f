"""Spans of members and elements, splice and patch, against their twins."""

from __future__ import annotations

import json

import json_texts
import pytest
import twins
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import DuplicateKey, ParseError
from tidegate.pipeline import codec

BYTES = st.one_of(json_texts.VALUES.map(str.encode), json_texts.damaged(json_texts.VALUES), st.binary())
KEYS = st.one_of(st.sampled_from("abcd"), st.text(st.characters(exclude_categories=["Cs"]), max_size=3))
CHANGES = st.lists(st.tuples(KEYS, st.none() | json_texts.VALUES.map(str.encode) | st.binary(max_size=3)), max_size=4)


@settings(deadline=None, max_examples=600)
@given(BYTES, st.sampled_from("abc"))
def test_spans_agree_with_the_twin(buf: bytes, key: str) -> None:
    assert_agree(codec.array_spans, twins.array_spans, buf)
    assert_agree(codec.member_spans, twins.member_spans, buf)
    assert_agree(codec.find_member, twins.find_member, buf, key)


@settings(deadline=None, max_examples=300)
@given(BYTES, st.integers(0, 40), st.integers(-2, 60))
def test_spans_inside_a_range_agree_with_the_twin(buf: bytes, start: int, end: int) -> None:
    assert_agree(codec.array_spans, twins.array_spans, buf, start, end)
    assert_agree(codec.member_spans, twins.member_spans, buf, start, end)


@settings(deadline=None, max_examples=300)
@given(json_texts.OBJECTS, st.binary(max_size=5), st.binary(max_size=5))
def test_spans_are_offsets_into_the_whole_buffer(text: str, before: bytes, after: bytes) -> None:
    buf = text.encode()
    shift = len(before)
    inside = assert_agree(codec.member_spans, twins.member_spans, buf)
    within = assert_agree(codec.member_spans, twins.member_spans, before + buf + after, shift, shift + len(buf))
    if inside[0] == "value":
        assert within[1] == [(key, start + shift, end + shift) for key, start, end in inside[1]]


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=30),
    st.lists(st.tuples(st.integers(0, 32), st.integers(0, 32), st.binary(max_size=4)), max_size=4),
    st.booleans(),
)
def test_splice_agrees_with_the_twin(buf: bytes, edits: list[tuple[int, int, bytes]], tidy: bool) -> None:
    if tidy:
        bounds = sorted(bound for start, end, _ in edits for bound in (start, end))
        edits = [(bounds[2 * n], bounds[2 * n + 1], with_) for n, (_, _, with_) in enumerate(edits)]
    assert_agree(codec.splice, twins.splice, buf, edits)


@settings(deadline=None, max_examples=800)
@given(st.one_of(json_texts.OBJECTS.map(str.encode), BYTES), CHANGES)
def test_patch_agrees_with_the_twin(buf: bytes, changes: list[tuple[str, bytes | None]]) -> None:
    assert_agree(codec.patch_object, twins.patch_object, buf, changes)


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(KEYS, st.integers()),
    st.dictionaries(KEYS, st.none() | st.integers()),
    st.sampled_from([None, 2]),
)
def test_patch_means_what_a_dictionary_update_means(
    before: dict[str, int], changes: dict[str, int | None], indent: int | None
) -> None:
    raw = [(key, None if value is None else b"%d" % value) for key, value in changes.items()]
    after = {**before, **changes}
    patched = json.loads(codec.patch_object(json.dumps(before, indent=indent).encode(), raw))
    assert list(patched.items()) == [(key, value) for key, value in after.items() if value is not None]


@pytest.mark.parametrize(
    ("buf", "changes", "expected"),
    [
        (b'{"a":1,"b":2}', [("a", b"9")], b'{"a":9,"b":2}'),
        (b'{"a":1,"b":2}', [("a", None)], b'{"b":2}'),
        (b'{"a":1,"b":2}', [("b", None)], b'{"a":1}'),
        (b'{ "a" : 1.0 , "b":2 }\n', [("b", None), ("c", b"[]")], b'{ "a" : 1.0,"c":[] }\n'),
        (b"{ }", [("c", b"1")], b'{"c":1 }'),
        (b'{"\\u0061":1}', [("a", b"2")], b'{"\\u0061":2}'),
        (b'{"a":1,"a":2}', [("a", None)], b"{}"),
        (b"{}", [('"\n', b"1")], b'{"\\"\\n":1}'),
    ],
)
def test_patch_leaves_every_other_byte(buf: bytes, changes: list[tuple[str, bytes | None]], expected: bytes) -> None:
    assert codec.patch_object(buf, changes) == expected


def test_a_key_there_twice_is_neither_found_nor_set() -> None:
    with pytest.raises(DuplicateKey):
        codec.find_member(b'{"a":1,"a":2}', "a")
    with pytest.raises(DuplicateKey):
        codec.patch_object(b'{"a":1,"a":2}', [("a", b"3")])


def test_what_would_break_the_object_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        codec.patch_object(b"{}", [("a", b"1,")])
    with pytest.raises(ValueError, match="twice"):
        codec.patch_object(b"{}", [("a", b"1"), ("a", None)])


def test_deep_values_cost_no_stack() -> None:
    buf = b"[" * 500_000 + b"]" * 500_000
    assert codec.array_spans(b"[" + buf + b"]") == [(1, 1_000_001)]
    assert codec.find_member(b'{"a":' + buf + b"}", "a") == (5, 1_000_005)
    with pytest.raises(ParseError):
        codec.array_spans(buf[:-1])
