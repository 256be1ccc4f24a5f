"""Seals: nobody without the key reads, changes or makes them."""

from __future__ import annotations

import struct

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.pipeline import codec

KEY = bytes(range(32))
NONCE_BYTES, TAG_BYTES = 24, 16

KEYS = st.binary(min_size=32, max_size=32)
DATA = st.binary(max_size=300)

# draft-irtf-cfrg-xchacha-03, A.3.1
DRAFT_KEY = bytes(range(0x80, 0xA0))
DRAFT_NONCE = bytes(range(0x40, 0x58))
DRAFT_AAD = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
DRAFT_PLAINTEXT = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
DRAFT_CIPHERTEXT = bytes.fromhex(
    "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
    "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
    "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
    "21f9664c97637da9768812f615c68b13b52e"
)
DRAFT_TAG = bytes.fromhex("c0875924c1c7987947deafd8780acf49")


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """The key for the last 8 bytes of a nonce, from its first 16 (section 2.2 of the draft)."""
    words = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter_round(a: int, b: int, c: int, d: int) -> None:
        for into, by, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            words[into] = (words[into] + words[by]) & 0xFFFFFFFF
            mixed = words[turned] ^ words[into]
            words[turned] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter_round(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter_round(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<8I", *words[:4], *words[12:])


def sealed_slowly(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """The twin, on another library's ChaCha20-Poly1305."""
    inner = ChaCha20Poly1305(hchacha20(key, nonce[:16]))
    return nonce + inner.encrypt(bytes(4) + nonce[16:], plaintext, aad)


def unsealed_slowly(key: bytes, sealed: bytes, aad: bytes) -> bytes | None:
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        return None
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], rest, aad)
    except InvalidTag:
        return None


def test_the_vector_of_the_draft_is_unsealed() -> None:
    sealed = DRAFT_NONCE + DRAFT_CIPHERTEXT + DRAFT_TAG
    assert sealed_slowly(DRAFT_KEY, DRAFT_NONCE, DRAFT_PLAINTEXT, DRAFT_AAD) == sealed
    assert codec.unseal(DRAFT_KEY, sealed, DRAFT_AAD) == DRAFT_PLAINTEXT


@settings(deadline=None, max_examples=200)
@given(KEYS, DATA, DATA)
def test_what_is_sealed_comes_back_from_both_twins(key: bytes, plaintext: bytes, aad: bytes) -> None:
    sealed = codec.seal(key, plaintext, aad)
    assert len(sealed) == NONCE_BYTES + len(plaintext) + TAG_BYTES
    assert codec.unseal(key, sealed, aad) == unsealed_slowly(key, sealed, aad) == plaintext
    assert sealed == sealed_slowly(key, sealed[:NONCE_BYTES], plaintext, aad)


@settings(deadline=None, max_examples=100)
@given(KEYS, DATA, DATA, DATA, KEYS)
def test_another_key_or_other_aad_is_refused(
    key: bytes, plaintext: bytes, aad: bytes, other_aad: bytes, other_key: bytes
) -> None:
    sealed = codec.seal(key, plaintext, aad)
    assert (codec.unseal(key, sealed, other_aad) is None) == (aad != other_aad)
    assert (codec.unseal(other_key, sealed, aad) is None) == (key != other_key)


def test_bytes_do_not_move_between_aad_and_plaintext() -> None:
    sealed = codec.seal(KEY, b"plaintext", b"aad")
    assert codec.unseal(KEY, sealed, b"aadp") is None
    assert codec.unseal(KEY, sealed, b"aa") is None
    assert codec.unseal(KEY, sealed, b"aad" + bytes(13)) is None


@pytest.mark.parametrize("plaintext", [b"", b"x", b'{"round":1}', bytes(64), bytes(100)])
def test_every_flipped_bit_is_refused(plaintext: bytes) -> None:
    sealed = codec.seal(KEY, plaintext, b"aad")
    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        assert codec.unseal(KEY, bytes(flipped), b"aad") is None
    assert codec.unseal(KEY, sealed, b"aad") == plaintext


def test_every_flipped_bit_of_the_key_is_refused() -> None:
    sealed = codec.seal(KEY, b"plaintext", b"aad")
    for bit in range(8 * len(KEY)):
        flipped = bytearray(KEY)
        flipped[bit // 8] ^= 1 << bit % 8
        assert codec.unseal(bytes(flipped), sealed, b"aad") is None


def test_a_cut_or_longer_seal_is_refused() -> None:
    sealed = codec.seal(KEY, b"plaintext", b"aad")
    for length in range(len(sealed)):
        assert codec.unseal(KEY, sealed[:length], b"aad") is None
    for extra in (b"\0", bytes(16), sealed):
        assert codec.unseal(KEY, sealed + extra, b"aad") is None
        assert codec.unseal(KEY, extra + sealed, b"aad") is None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), DATA)
def test_arbitrary_bytes_are_refused(sealed: bytes, aad: bytes) -> None:
    assert codec.unseal(KEY, sealed, aad) is None


def test_two_seals_of_the_same_differ_in_every_part() -> None:
    one, two = (codec.seal(KEY, bytes(32), b"") for _ in range(2))
    for part in (slice(NONCE_BYTES), slice(NONCE_BYTES, -TAG_BYTES), slice(-TAG_BYTES, None)):
        assert one[part] != two[part]
    assert bytes(32) not in (one[NONCE_BYTES:-TAG_BYTES], two[NONCE_BYTES:-TAG_BYTES])


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_that_is_not_32_bytes_is_refused_and_not_shown(length: int) -> None:
    key = b"k" * length
    for call in (codec.seal, codec.unseal):
        # Also when the bytes are too short to be a seal.
        with pytest.raises(ValueError, match=f"^a key has 32 bytes, not {length}$"):
            call(key, b"", b"")
