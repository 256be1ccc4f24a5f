"""The head of a GGUF file: what fits is read, and whatever does not is refused by name before any loader sees it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_gguf import ARRAY, STRING, U32, Gguf, Tensor, entry, text, words

from tidegate.models.runtimes.gguf import BrokenGguf, GgufHead, read_head

WRONG = {
    "is 10 bytes long": b"GGUF" + bytes(6),
    "does not begin with `GGUF`": Gguf(magic=b"GGML").raw(),
    "version 1": Gguf(version=1).raw(),
    "version 50331648": Gguf(version=3 << 24).raw(),
    "declares 0 tensors": Gguf(tensors=[]).raw(),
    "declares 18446744073709551615 tensors": Gguf(tensor_count=2**64 - 1).raw(),
    "declares 4097 entries": Gguf(entry_count=4097).raw(),
    "a key is 1000 bytes long": Gguf(entries=[entry("k" * 1000, U32, bytes(4))]).raw(),
    "a key is no UTF-8": Gguf(entries=[text(b"\xff") + struct.pack("<I", U32) + bytes(4)]).raw(),
    "`a` twice": Gguf(entries=[entry("a", U32, bytes(4))] * 2).raw(),
    "unknown type 13": Gguf(entries=[entry("a", 13, bytes(4))]).raw(),
    "`a` is 9223372036854775807 bytes long": Gguf(entries=[entry("a", STRING, struct.pack("<Q", 2**63 - 1))]).raw(),
    "`a` declares 1152921504606846976 entries": Gguf(entries=[entry("a", ARRAY, struct.pack("<IQ", U32, 2**60))]).raw(),
    "array of the type 9": Gguf(entries=[entry("a", ARRAY, struct.pack("<IQ", ARRAY, 1))]).raw(),
    "an entry of 4294967296 bytes": Gguf(entries=[entry("a", ARRAY, struct.pack("<IQQ", STRING, 1, 2**32))]).raw(),
    "for what its head declares": Gguf(entries=[entry("a", ARRAY, struct.pack("<IQ", U32, 4_000_000))]).raw(),
    "one part of several": Gguf(entries=[entry("split.count", U32, struct.pack("<I", 2))]).raw(),
    "alignment is `33`": Gguf(entries=[entry("general.alignment", U32, struct.pack("<I", 33))]).raw(),
    "`general.architecture` has the wrong type": Gguf(entries=[entry("general.architecture", U32, bytes(4))]).raw(),
    "has 5 dimensions": Gguf(tensors=[Tensor(shape=(1,) * 5)]).raw(),
    "declares the shape [4294967296, 4294967296]": Gguf(tensors=[Tensor(shape=(2**32, 2**32))]).raw(),
    "declares the shape [0, 4]": Gguf(tensors=[Tensor(shape=(0, 4))]).raw(),
    "does not begin at a multiple of 32": Gguf(tensors=[Tensor(offset=7)]).raw(),
    "does not fill blocks of 32": Gguf(tensors=[Tensor(kind=2)]).raw(),
    "the tensor `a` twice": Gguf(tensors=[Tensor("a"), Tensor("a")]).raw(),
    "the name of a tensor is 64 bytes": Gguf(tensors=[Tensor("a" * 64)]).raw(),
    "it is cut off": Gguf().raw()[:-1],
    "and the file at": Gguf(tensors=[Tensor(offset=2**63)]).raw(),
}


def test_a_right_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(Gguf().raw())
    assert read_head(path) == GgufHead("llama", 64, "{{ messages }}", 1)


@pytest.mark.parametrize(("why", "raw"), WRONG.items(), ids=WRONG)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, why: str, raw: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(raw)
    with pytest.raises(BrokenGguf) as refused:
        read_head(path)
    assert why in str(refused.value)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    raw = Gguf().raw()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(BrokenGguf):
            read_head(path)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(Gguf().raw()) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_other_bytes_are_read_or_refused_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(Gguf(entries=[*Gguf().entries, words("more", ["x" * 40] * 3)]).raw())
    for at, byte in changes:
        raw[at] = byte
    path = Path(f"/dev/shm/tidegate-gguf-{id(raw)}")
    path.write_bytes(raw)
    try:
        read_head(path)
    except BrokenGguf:
        pass
    finally:
        path.unlink()
