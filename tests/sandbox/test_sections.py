"""A custom section is found, added and replaced, and no bytes do any harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.sandbox.sections import NotWasm, custom_section, kind_of, with_custom_section

MODULE = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"
TYPES = b"\x01\x04\x01\x60\x00\x00"
"""A type section with one function type."""


def leb(value: int) -> bytes:
    return bytes([value & 0x7F]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + leb(value >> 7)


def custom(name: bytes, content: bytes) -> bytes:
    body = leb(len(name)) + name + content
    return b"\0" + leb(len(body)) + body


@pytest.mark.parametrize(("preamble", "kind"), [(MODULE, "module"), (COMPONENT, "component")])
def test_a_section_is_found_among_others_in_modules_and_components(preamble: bytes, kind: str) -> None:
    wasm = preamble + custom(b"name", b"x") + TYPES + custom(b"mine", b"content") + custom(b"other", b"")
    assert kind_of(wasm) == kind
    assert custom_section(wasm, "mine") == b"content"
    assert custom_section(wasm, "other") == b""
    assert custom_section(wasm, "none") is None


def test_a_section_of_a_nested_module_is_not_that_of_the_component() -> None:
    nested = MODULE + custom(b"mine", b"inner")
    wasm = COMPONENT + b"\x01" + leb(len(nested)) + nested
    assert custom_section(wasm, "mine") is None
    assert custom_section(wasm + custom(b"mine", b"outer"), "mine") == b"outer"


def test_a_section_takes_the_place_of_the_old_one_and_all_else_stays() -> None:
    wasm = MODULE + custom(b"mine", b"old") + TYPES
    assert with_custom_section(wasm, "mine", b"new") == MODULE + TYPES + custom(b"mine", b"new")


@pytest.mark.parametrize(
    ("wasm", "message"),
    [
        (b"", "is not a WASM binary"),
        (b"(module)", "is not a WASM binary; this is WASM text"),
        (b"\0asm\x02\0\0\0", "is WASM of a version"),
        (MODULE + b"\x01", "has no number at byte 9"),
        (MODULE + b"\x01\x05\x60", "ends in the middle of a section, which begins at byte 8"),
        (MODULE + b"\x00\x80\x80\x80\x80\x80\x00", "has no number at byte 9"),
        (MODULE + b"\x00\xff\xff\xff\xff\x7f", "has no number at byte 9"),
        (MODULE + b"\x00\x02\x05a", "has a section at byte 8 whose name is longer than itself"),
        (MODULE + custom(b"mine", b"") * 2, "has 2 sections named `mine`"),
        (MODULE + custom(b"", b"") * 10_001, "has more than 10000 sections"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_in_words(wasm: bytes, message: str) -> None:
    with pytest.raises(NotWasm) as caught:
        custom_section(wasm, "mine")
    assert str(caught.value).startswith(message)


@settings(deadline=None)
@given(st.sampled_from([MODULE, COMPONENT]), st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(preamble: bytes, rest: bytes) -> None:
    try:
        found = custom_section(preamble + rest, "a")
    except NotWasm:
        return
    assert found is None or found in rest


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.binary(max_size=8).filter(lambda name: name != b"mine"), st.binary(max_size=300)), max_size=5
    ),
    st.binary(max_size=20_000),
)
def test_what_is_written_is_read_back_and_the_others_stay(others: list[tuple[bytes, bytes]], content: bytes) -> None:
    wasm = MODULE + b"".join(custom(name, inside) for name, inside in others)
    written = with_custom_section(wasm, "mine", content)
    assert custom_section(written, "mine") == content
    assert written.startswith(wasm)
    assert with_custom_section(written, "mine", content) == written
