"""Content codings: compress, and inflate within bounds."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import frame_twins
import pytest
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import BadEncoding, TooLarge
from tidegate.pipeline import codec

DATA = st.binary(max_size=200) | st.text("ab{}", max_size=3000).map(str.encode)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["gzip", "zstd"]), DATA, st.integers(-3, 30))
def test_what_is_compressed_inflates_to_itself_and_no_further(coding: str, data: bytes, level: int) -> None:
    packed = codec.compress(coding, data, level)
    assert codec.inflate(coding, packed, len(data)) == data
    assert codec.inflate(coding, packed + packed, 2 * len(data)) == data + data
    if data:
        with pytest.raises(TooLarge):
            codec.inflate(coding, packed, len(data) - 1)


@settings(deadline=None, max_examples=200)
@given(DATA, st.integers(0, 3000))
def test_gzip_and_deflate_agree_with_the_twin(data: bytes, max_bytes: int) -> None:
    assert gzip.decompress(codec.compress("gzip", data)) == data
    packed = gzip.compress(data)
    for whole in (packed, packed + packed, packed[:-1], packed + b"x", packed[:-8] + bytes(8)):
        # What is too large and damaged may be called either.
        if len(data) <= max_bytes or whole is packed:
            assert_agree(codec.inflate, frame_twins.inflate, "gzip", whole, max_bytes)
    packed = zlib.compress(data)
    for whole in (packed, packed[:-1], packed + b"x", packed + packed):
        if len(data) <= max_bytes or whole is packed:
            assert_agree(codec.inflate, frame_twins.inflate, "deflate", whole, max_bytes)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["gzip", "zstd", "deflate"]), st.binary(max_size=60))
def test_garbage_is_refused_and_never_more(coding: str, data: bytes) -> None:
    with suppress(BadEncoding, TooLarge):
        assert len(codec.inflate(coding, data, 1000)) <= 1000


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_is_cut_short(coding: str) -> None:
    bomb = codec.compress(coding, bytes(50_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="1000 bytes"):
        codec.inflate(coding, bomb, 1000)


def test_a_zstd_window_over_8_mib_is_refused() -> None:
    # Magic, no content size, window descriptor for 2^24, one empty last raw block.
    frame = bytes.fromhex("28b52ffd 00") + bytes([(24 - 10) << 3]) + bytes.fromhex("010000")
    with pytest.raises(BadEncoding):
        codec.inflate("zstd", frame, 1000)
    small = bytes.fromhex("28b52ffd 00") + bytes([(23 - 10) << 3]) + bytes.fromhex("010000")
    assert codec.inflate("zstd", small, 1000) == b""


@pytest.mark.parametrize("coding", ["br", "", "GZIP", "identity"])
def test_another_coding_is_refused(coding: str) -> None:
    with pytest.raises(BadEncoding):
        codec.inflate(coding, b"x", 10)
    with pytest.raises(ValueError, match="cannot compress"):
        codec.compress(coding, b"x")
