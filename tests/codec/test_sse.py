"""Server-sent events, read and written."""

from __future__ import annotations

import re

import frame_twins
import pytest
from agreement import cuts
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import TooLarge
from tidegate.pipeline import codec

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"data:  c",
        b"id: 7",
        b"id",
        b"id: \0",
        b"event: e",
        b"event:",
        b"retry: 30",
        b"retry: x",
        b"retry:",
        b": comment",
        b"",
        b"",
        b"unknown: 1",
        b"id: \xff\xe2\x82",
        b"\xef\xbb\xbfdata: d",
        b"retry: 18446744073709551616",
        b"retry: 007",
        b"data:\xef\xbb\xbf",
        b" data: x",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])
STREAMS = st.one_of(
    st.tuples(
        st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef"]),
        st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=10).map(b"".join),
        LINES,
    ).map(b"".join),
    st.binary(max_size=40),
)


def run(pieces: list[bytes], max_bytes: int) -> tuple[list[frame_twins.Event], bool]:
    decoder = codec.SseDecoder(max_bytes)
    events: list[frame_twins.Event] = []
    try:
        for piece in pieces:
            events += [(event.event, event.data, event.id, event.retry_ms) for event in decoder.feed(piece)]
    except TooLarge:
        with pytest.raises(TooLarge):
            decoder.feed(b"")
        return events, True
    return events, False


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


@settings(deadline=None, max_examples=600)
@given(STREAMS, st.integers(0, 40) | st.just(1000), st.lists(st.integers(0, 100), max_size=4))
def test_events_agree_with_the_twin_wherever_the_stream_is_cut(
    stream: bytes, max_bytes: int, places: list[int]
) -> None:
    expected = frame_twins.decode_sse(stream, max_bytes)
    assert run(bytewise(stream), max_bytes) == expected
    for pieces in ([stream], cuts(stream, places)):
        events, failed = run(pieces, max_bytes)
        assert failed == expected[1]
        assert events == (expected[0][: len(events)] if failed else expected[0])


def test_every_single_cut_yields_the_same_events() -> None:
    stream = b"\xef\xbb\xbfid: 1\ndata:\n\n:hi\r\nevent: e\rdata: a\r\ndata: b\n\nretry: 5\n\nevent: only\n\ndata: rest"
    expected = [("message", b"", "1", None), ("e", b"a\nb", None, None), ("message", b"", None, 5)]
    for at in range(len(stream) + 1):
        assert run([stream[:at], stream[at:]], 1000) == (expected, False)


ONE_LINE = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda text: not set(text) & set("\r\n\0")
)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=30), st.none() | ONE_LINE, st.none() | ONE_LINE, st.none() | st.integers(0, 2**64 - 1))
def test_what_is_written_is_read_back(data: bytes, event: str | None, id_: str | None, retry_ms: int | None) -> None:
    written = codec.encode_sse(data, event, id_, retry_ms)
    read = re.sub(rb"\r\n|\r", b"\n", data)
    assert run([written], 1000) == ([(event or "message", read, id_, retry_ms)], False)


def test_an_event_is_written_in_the_usual_order() -> None:
    assert codec.encode_sse(b"{}\n", "message", "7", 100) == (
        b"event: message\nid: 7\nretry: 100\ndata: {}\ndata: \n\n"
    )


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_a_field_cannot_bring_its_own_lines(text: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        codec.encode_sse(b"", text)
    with pytest.raises(ValueError, match="one line"):
        codec.encode_sse(b"", None, text)
