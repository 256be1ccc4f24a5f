"""JSON in MessagePack and back, and messages one after the other on a stream."""

from __future__ import annotations

import frame_twins
import json_texts
import pytest
import twins
from agreement import assert_agree, cuts, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import DepthExceeded, InvalidUtf8, ParseError, TidegateError
from tidegate.pipeline import codec

CONTAINERS = json_texts.OBJECTS | json_texts.arrays(json_texts.VALUES)
PACKED = CONTAINERS.map(str.encode).map(frame_twins.json_to_msgpack)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    whole = draw(PACKED)
    at = draw(st.integers(0, len(whole)))
    return whole[:at] + draw(st.binary(max_size=2)) + whole[at + draw(st.integers(0, 2)) :]


STREAMS = st.lists(PACKED, max_size=3).map(b"".join)


@settings(deadline=None, max_examples=800)
@given(json_texts.VALUES.map(str.encode) | json_texts.damaged(json_texts.VALUES))
def test_packing_agrees_with_the_twin(buf: bytes) -> None:
    assert_agree(codec.json_to_msgpack, frame_twins.json_to_msgpack, buf)


@settings(deadline=None, max_examples=800)
@given(PACKED | damaged() | st.binary(max_size=12))
def test_unpacking_agrees_with_the_twin(buf: bytes) -> None:
    got, expected = outcome(codec.msgpack_to_json, buf), outcome(frame_twins.msgpack_to_json, buf)
    # Of two faults the native side finds the earlier one, the twin the one in the framing.
    assert got == expected or (got[0], expected[0]) == ("InvalidUtf8", "ParseError")


@settings(deadline=None, max_examples=500)
@given(json_texts.VALUES)
def test_nothing_is_lost_there_and_back(text: str) -> None:
    back = codec.msgpack_to_json(codec.json_to_msgpack(text.encode()))

    assert meaning(twins.tree(back)) == meaning(twins.tree(text.encode()))


def meaning(node: twins.Node) -> object:
    """Everything but white space and the spelling of strings."""
    if node.kind == "string":
        return node.text
    if node.kind in ("object", "array"):
        members = [(member.key.text, meaning(member.value)) for member in node.members]
        return node.kind, members, [meaning(item) for item in node.items]
    return node.raw


def run(pieces: list[bytes], max_bytes: int, max_depth: int) -> tuple[list[bytes | None], str | None]:
    splitter = codec.MsgpackSplitter(max_bytes, max_depth)
    found: list[bytes | None] = []
    try:
        for piece in pieces:
            found += splitter.feed(piece)
    except TidegateError as error:
        with pytest.raises(type(error)):
            splitter.feed(b"")
        return found, type(error).__name__
    return found, None


@settings(deadline=None, max_examples=800)
@given(
    STREAMS | st.tuples(STREAMS, damaged()).map(b"".join) | st.binary(max_size=20),
    st.integers(0, 60) | st.just(10_000),
    st.sampled_from([64, 64, 2, 1, 0]),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_messages_agree_with_the_twin_wherever_the_stream_is_cut(
    stream: bytes, max_bytes: int, max_depth: int, places: list[int]
) -> None:
    expected = frame_twins.split_msgpack(stream, max_bytes, max_depth)
    assert run([stream[at : at + 1] for at in range(len(stream))], max_bytes, max_depth) == expected
    for pieces in ([stream], cuts(stream, places)):
        found, error = run(pieces, max_bytes, max_depth)
        assert error == expected[1]
        assert found == (expected[0][: len(found)] if error else expected[0])


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("{}", "80"),
        ("[]", "90"),
        ("127", "7f"),
        ("128", "cc80"),
        ("-32", "e0"),
        ("-33", "d0df"),
        ("18446744073709551615", "cfffffffffffffffff"),
        ("-9223372036854775808", "d38000000000000000"),
        ("18446744073709551616", "c71401" + b"18446744073709551616".hex()),
        ("1.0", "cb3ff0000000000000"),
        ("1.00", "d601" + b"1.00".hex()),
        ("1e16", "cb4341c37937e08000"),
        ("1E16", "d601" + b"1E16".hex()),
        ("-0", "d501" + b"-0".hex()),
        ("-0.0", "cb8000000000000000"),
        ("562949953421312.3", "cb4300000000000002"),
        ("562949953421312.2", "c71101" + b"562949953421312.2".hex()),
        ('"\\ud800"', "d701" + b'"\\ud800"'.hex()),
        ('{"a":null,"a":true}', "82a161c0a161c3"),
    ],
)
def test_each_spelling_has_its_form(text: str, packed: str) -> None:
    assert codec.json_to_msgpack(text.encode()).hex() == packed
    assert codec.msgpack_to_json(bytes.fromhex(packed)).decode() == text


@pytest.mark.parametrize(
    "packed",
    [
        "c1",
        "c40100",
        "d40501",
        "81 01 01",
        "81 c0 01",
        "cb7ff0000000000000",
        "ca7fc00000",
        "d4015b",
        "d5015b5d",
        "d40120",
        "80 80",
        "a2 61",
        "dc",
        "",
        "d6017472 7565",
        "81 d40131 01",
    ],
)
def test_what_has_no_json_is_refused(packed: str) -> None:
    with pytest.raises(ParseError):
        codec.msgpack_to_json(bytes.fromhex(packed))


def test_a_string_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidUtf8):
        codec.msgpack_to_json(b"\xa1\xff")


def test_a_message_over_the_limit_is_walked_over() -> None:
    long = codec.json_to_msgpack(b'{"a":"' + b"x" * 100 + b'"}')
    splitter = codec.MsgpackSplitter(50, 8)
    assert splitter.feed(long[:60]) == [None]
    assert splitter.feed(long[60:] + b"\x80") == [b"{}"]
    assert codec.MsgpackSplitter(50, 8).feed(codec.json_to_msgpack(b'["' + b"\\u0001" * 20 + b'"]')) == [None]


def test_huge_promises_cost_nothing() -> None:
    splitter = codec.MsgpackSplitter(1000, 8)
    assert splitter.feed(b"\xdf\xff\xff\xff\xff" + b"\xa1a\xdb\xff\xff\xff\xff") == []
    with pytest.raises(ParseError):
        codec.msgpack_to_json(b"\xdd\xff\xff\xff\xff")


def test_deep_nesting_costs_no_stack() -> None:
    deep = b"\x91" * 500_000 + b"\x90"
    assert codec.msgpack_to_json(deep) == b"[" * 500_001 + b"]" * 500_001
    assert codec.json_to_msgpack(b"[" * 500_001 + b"]" * 500_001) == deep
    with pytest.raises(DepthExceeded):
        codec.MsgpackSplitter(10**6, 64).feed(deep)
