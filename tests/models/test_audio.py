"""WAV files as samples: against sine waves whose values are known, at every rate and width."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.models.inputs.audio import decode_wav
from tidegate.models.task import BadInput

np = pytest.importorskip("numpy")


def wav(body: bytes, rate: int = 16_000, bits: int = 16, channels: int = 1, kind: int = 1, extra: bytes = b"") -> bytes:
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def sine(rate: int, hertz: float, seconds: float = 0.5) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def written(samples: Any, bits: int, kind: int) -> bytes:
    if kind == 3:
        return bytes(samples.astype("<f4" if bits == 32 else "<f8").tobytes())
    if bits == 8:
        return bytes((samples * 128 + 128).astype(np.uint8).tobytes())
    whole = (samples * 2 ** (bits - 1)).astype("<i4")
    if bits == 24:
        return bytes(whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    return bytes(whole.astype(f"<i{bits // 8}").tobytes())


@pytest.mark.parametrize(("bits", "kind"), [(8, 1), (16, 1), (24, 1), (32, 1), (32, 3), (64, 3)])
def test_every_width_of_sample_is_the_same_wave(bits: int, kind: int) -> None:
    samples = sine(16_000, 440)
    found = decode_wav(wav(written(samples, bits, kind), bits=bits, kind=kind), 16_000, 10)
    assert found.dtype == np.float32
    assert np.abs(found - samples).max() < (0.01 if bits == 8 else 1e-4)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 11_024, 47_999])
def test_every_rate_is_the_same_wave(rate: int) -> None:
    found = decode_wav(wav(written(sine(rate, 440), 16, 1), rate), 16_000, 10)
    expected = sine(16_000, 440)
    assert abs(len(found) - len(expected)) <= 8
    middle = slice(400, 7_000)  # at its ends the filter sees the silence beyond
    assert np.abs(found[middle] - expected[middle]).max() < (0.01 if rate not in (11_024, 47_999) else 0.1)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_what_is_too_high_for_the_new_rate_is_silence_and_no_other_tone(rate: int) -> None:
    found = decode_wav(wav(written(sine(rate, 10_500), 16, 1), rate), 16_000, 10)
    assert np.abs(found[400:7_000]).max() < 0.002


def test_channels_are_mixed() -> None:
    both = np.stack([sine(16_000, 440), np.zeros(8_000)], axis=1).reshape(-1)
    found = decode_wav(wav(written(both, 16, 1), channels=2), 16_000, 10)
    assert np.abs(found - sine(16_000, 440) / 2).max() < 1e-4


def test_an_extended_header_and_other_chunks_are_read_over() -> None:
    samples = sine(16_000, 440)
    extended = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + bytes(14)
    plain = wav(written(samples, 16, 1), kind=0xFFFE, extra=extended)
    noted = plain[:12] + b"LIST" + struct.pack("<I", 5) + b"INFO!\0" + plain[12:]
    for data in (plain, noted, noted + b"junk"):
        assert np.abs(decode_wav(data, 16_000, 10) - samples).max() < 1e-4


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0x80000000, 0])
def test_a_recorder_that_did_not_know_the_length_is_forgiven(length: int) -> None:
    data = bytearray(wav(written(sine(16_000, 440), 16, 1)))
    data[40:44] = struct.pack("<I", length)
    data[4:8] = struct.pack("<I", length and 0xFFFFFFFF)
    assert len(decode_wav(bytes(data), 16_000, 10)) == 8_000


def test_a_file_that_is_cut_off_is_refused_and_one_that_counts_its_header_is_not() -> None:
    whole = wav(bytes(64_000))
    with pytest.raises(BadInput, match=r"its header says 2\.00 s, and 0\.03 s are there; send the whole file"):
        decode_wav(whole[:1_000], 16_000, 10)
    with pytest.raises(BadInput, match="is cut off"):
        decode_wav(whole[:44], 16_000, 10)
    counted = whole[:40] + struct.pack("<I", 64_000 + 44) + whole[44:]
    assert len(decode_wav(counted, 16_000, 10)) == 32_000
    # Some say the size of their last buffer, and leave it half empty.
    rounded = whole[:40] + struct.pack("<I", 64_000 + 3_000) + whole[44:]
    assert len(decode_wav(rounded, 16_000, 10)) == 32_000


def test_floats_that_are_no_sound_are_bounded() -> None:
    odd = struct.pack("<5f", float("nan"), float("inf"), -7.0, 3e38, 0.25)
    assert decode_wav(wav(odd, bits=32, kind=3), 16_000, 10).tolist() == [0, 1, -1, 1, 0.25]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wav(b""), "without sound"),
        (wav(bytes(3), bits=16, channels=2), "without sound"),
        (wav(bytes(64), kind=85), "samples of the kind 85 and 16 bits"),
        (wav(bytes(64), bits=12), "samples of the kind 1 and 12 bits"),
        (wav(bytes(64), kind=3), "samples of the kind 3 and 16 bits"),
        (wav(bytes(64), channels=0), "0 channels"),
        (wav(bytes(64), channels=9), "9 channels and may have up to 8"),
        (wav(bytes(64), rate=0), "0 samples a second"),
        (wav(bytes(64), rate=1_000_000), "1000000 samples a second"),
        (wav(bytes(32_000 * 11)), "lasts 11 s and may last 10 s: send it in parts"),
        (wav(bytes(64))[:20], "a header that is cut off"),
        (wav(bytes(64))[:12], "without a header or samples"),
    ],
)
def test_a_file_that_cannot_be_heard_is_told_why(data: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        decode_wav(data, 16_000, 10)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_heard_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(wav(written(sine(16_000, 440, 0.01), 16, 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    try:
        found = decode_wav(bytes(whole[: data.draw(st.integers(0, len(whole)))]), 16_000, 10)
    except BadInput:
        return
    assert np.isfinite(found).all()
    assert len(found)
