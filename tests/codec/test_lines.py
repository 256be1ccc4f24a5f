"""Newline framing, however the bytes arrive."""

from __future__ import annotations

import frame_twins
from agreement import cuts
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.pipeline import codec

PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"{}", b" ", b"\t", b"abcdef", b"\xff", b"\n\n", b"abcde\r\n"])
STREAMS = st.one_of(st.lists(PIECES, max_size=14).map(b"".join), st.binary(max_size=30))


def run(stream: list[bytes], max_bytes: int) -> tuple[list[bytes | None], bytes]:
    splitter = codec.LineSplitter(max_bytes)
    lines = [line for piece in stream for line in splitter.feed(piece)]
    pending = splitter.pending
    rest = splitter.eof()
    assert len(rest) == pending
    assert splitter.pending == 0
    return lines, rest


@settings(deadline=None, max_examples=500)
@given(STREAMS, st.integers(0, 8), st.lists(st.integers(0, 100), max_size=4))
def test_lines_agree_with_the_twin_wherever_the_stream_is_cut(stream: bytes, max_bytes: int, places: list[int]) -> None:
    expected = frame_twins.split_lines(stream, max_bytes)
    assert run([stream], max_bytes) == expected
    assert run(cuts(stream, places), max_bytes) == expected
    assert run([stream[at : at + 1] for at in range(len(stream))], max_bytes) == expected


def test_every_single_cut_yields_the_same_lines() -> None:
    stream = b'{"a":1}\r\n\n  \r\n{"b":22222222}\n{"c":3}\r\r\nrest'
    for at in range(len(stream) + 1):
        assert run([stream[:at], stream[at:]], 9) == ([b'{"a":1}', None, b'{"c":3}\r'], b"rest")


def test_a_line_over_the_limit_is_told_at_once_and_once() -> None:
    splitter = codec.LineSplitter(4)
    assert splitter.feed(b"abcd") == []
    assert splitter.feed(b"e") == [None]
    assert splitter.pending == 0
    assert splitter.feed(b"f" * 100) == []
    assert splitter.feed(b"\nok\n") == [b"ok"]


def test_an_exact_line_with_a_carriage_return_is_within_the_limit() -> None:
    splitter = codec.LineSplitter(4)
    assert splitter.feed(b"abcd\r") == []
    assert splitter.feed(b"\n") == [b"abcd"]
    assert splitter.feed(b"abcd\r") == []
    assert splitter.feed(b"x") == [None]


def test_the_largest_limit_is_no_limit() -> None:
    splitter = codec.LineSplitter(2**64 - 1)
    assert splitter.feed(b"a\nb") == [b"a"]
    assert splitter.eof() == b"b"
