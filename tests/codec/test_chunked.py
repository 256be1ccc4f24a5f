"""The chunked transfer coding, however the bytes arrive."""

from __future__ import annotations

import frame_twins
import pytest
from agreement import cuts
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import BadHttp, TidegateError, TooLarge
from tidegate.pipeline import codec

CHUNKS = st.tuples(
    st.binary(min_size=1, max_size=20), st.sampled_from([b"", b"", b";a", b';a="b c"']), st.booleans()
).map(lambda parts: b"%s%s\r\n%s\r\n" % ((b"%X" if parts[2] else b"%02x") % len(parts[0]), parts[1], parts[0]))
LAST = st.sampled_from([b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\r\n\r\n", b"0\r\nX: y\r\nZ:\r\n\r\n"])
BODIES = st.tuples(st.lists(CHUNKS, max_size=4).map(b"".join), LAST, st.binary(max_size=8)).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    body = draw(BODIES)
    at = draw(st.integers(0, len(body)))
    return body[:at] + draw(st.binary(max_size=2)) + body[at + draw(st.integers(0, 2)) :]


def run(pieces: list[bytes], max_bytes: int) -> tuple[bytes, bool, bytes, str | None]:
    decoder = codec.ChunkDecoder(max_bytes)
    payload = b""
    try:
        for piece in pieces:
            payload += decoder.feed(piece)
    except TidegateError as error:
        with pytest.raises(type(error)):
            decoder.feed(b"")
        return b"", decoder.done, b"", type(error).__name__
    return payload, decoder.done, decoder.rest, None


@settings(deadline=None, max_examples=800)
@given(BODIES | damaged() | st.binary(max_size=20), st.integers(0, 60), st.lists(st.integers(0, 100), max_size=4))
def test_bodies_agree_with_the_twin_wherever_they_are_cut(stream: bytes, max_bytes: int, places: list[int]) -> None:
    payload, done, rest, error = run([stream], max_bytes)
    assert run(cuts(stream, places), max_bytes) == (payload, done, rest, error)
    assert run([stream[at : at + 1] for at in range(len(stream))], max_bytes) == (payload, done, rest, error)
    try:
        expected = frame_twins.decode_chunks(stream, max_bytes)
    except TooLarge:
        assert error == "TooLarge"
        return
    assert error != "TooLarge"
    assert done == (expected is not None)
    if expected:
        assert (payload, rest) == expected


@settings(deadline=None, max_examples=300)
@given(BODIES)
def test_no_prefix_of_a_good_body_is_refused(body: bytes) -> None:
    for end in range(len(body) + 1):
        assert run([body[:end]], 1000)[3] is None


@pytest.mark.parametrize(
    "body",
    [
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"\r\n",
        b";a\r\n",
        b"10000000000000005\r\nhello\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX y\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n\n",
    ],
)
def test_an_ambiguous_body_is_refused(body: bytes) -> None:
    with pytest.raises(BadHttp):
        codec.ChunkDecoder(2**62).feed(body)


def test_a_size_over_the_limit_is_refused_before_its_payload() -> None:
    with pytest.raises(TooLarge):
        codec.ChunkDecoder(10).feed(b"b\r\n")
    with pytest.raises(TooLarge):
        codec.ChunkDecoder(10).feed(b"6\r\nabcdef\r\n5\r\n")


@pytest.mark.parametrize("filler", [b"1;" + b"a" * 20_000, b"0\r\n" + b"X: y\r\n" * 5_000])
def test_a_body_made_of_overhead_is_refused(filler: bytes) -> None:
    with pytest.raises(BadHttp):
        codec.ChunkDecoder(10**6).feed(filler)


def test_bytes_after_the_end_pile_up_in_rest() -> None:
    decoder = codec.ChunkDecoder(100)
    assert decoder.feed(b"2\r\nhi\r\n0\r\n\r\nGET") == b"hi"
    assert decoder.feed(b" /") == b""
    assert decoder.done
    assert decoder.rest == b"GET /"
