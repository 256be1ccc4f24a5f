"""The head of a GGUF file, read within bounds before the C++ loader sees the file.

The loader has had its overflows, and a few hundred bytes can declare a model of a terabyte. What passes here has
counts, lengths and shapes that fit the file, and names no other file. Reading maps the file and copies next to nothing.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_ENTRIES_MAX: Final = 4096
"""Of metadata; models have a few dozen."""
_TENSORS_MAX: Final = 16_384
_KEY_BYTES_MAX: Final = 256
_NAME_BYTES_MAX: Final = 63
"""Of a tensor: the library keeps them in 64 with the zero."""
_TEXT_BYTES_MAX: Final = 1024 * 1024
"""Of one string of metadata, such as a chat template."""
_ARRAY_MAX: Final = 4 * 1024 * 1024
"""Entries of an array, such as the vocabulary."""
_DIMENSIONS_MAX: Final = 4
_ELEMENTS_MAX: Final = 1 << 40
_ALIGNMENT_MAX: Final = 65536

_SCALARS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING: Final = 8
_ARRAY: Final = 9

_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Type of a tensor → elements of a block, its bytes. A type that is not here must at least begin inside the file."""


class BrokenGguf(ValueError):
    """It is no GGUF file, or not one that can be trusted to be read. The message says what of it."""


@dataclass(frozen=True, slots=True)
class GgufHead:
    """What a file says of itself."""

    architecture: str
    context: int
    """Tokens that it was trained on; 0 when it does not say."""
    template: str
    """Of a chat; empty: none."""
    tensors: int


def read_head(path: Path) -> GgufHead:
    """Raises: BrokenGguf, OSError."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        if size < 24:
            raise BrokenGguf(f"it is {size} bytes long, and a GGUF file at least 24")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _Reader(mapped, size).head()


class _Reader:
    def __init__(self, mapped: mmap.mmap, size: int) -> None:
        self._mapped = mapped
        self._size = size
        self._at = 0

    def head(self) -> GgufHead:
        if self._mapped[:4] != _MAGIC:
            raise BrokenGguf("it does not begin with `GGUF`")
        self._at = 4
        version = self._number("<I")
        if version not in _VERSIONS:
            raise BrokenGguf(f"it is of version {version}, and only 2 and 3 are read")
        tensors, entries = self._number("<Q"), self._number("<Q")
        if not 0 < tensors <= _TENSORS_MAX:
            raise BrokenGguf(f"it declares {tensors} tensors, and may have 1 to {_TENSORS_MAX}")
        if entries > _ENTRIES_MAX:
            raise BrokenGguf(f"it declares {entries} entries of metadata, and may have {_ENTRIES_MAX}")
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self._text(_KEY_BYTES_MAX, "a key")
            if key in metadata:
                raise BrokenGguf(f"its metadata has `{key}` twice")
            metadata[key] = self._value(key)
        if metadata.get("split.count", 0) not in (0, 1):
            raise BrokenGguf("it is one part of several files, and the others would not be checked")
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= _ALIGNMENT_MAX or alignment & (alignment - 1):
            raise BrokenGguf(f"its alignment is `{alignment}`, which is no power of two up to {_ALIGNMENT_MAX}")
        self._tensors(tensors, alignment)
        architecture = _as(metadata.get("general.architecture", ""), str, "general.architecture")
        context = _as(metadata.get(f"{architecture}.context_length", 0), int, "context_length")
        template = _as(metadata.get("tokenizer.chat_template", ""), str, "tokenizer.chat_template")
        return GgufHead(architecture, context, template, tensors)

    def _tensors(self, count: int, alignment: int) -> None:
        ends: list[tuple[str, int, int]] = []
        names: set[str] = set()
        for _ in range(count):
            name = self._text(_NAME_BYTES_MAX, "the name of a tensor")
            if name in names:
                raise BrokenGguf(f"it has the tensor `{name}` twice")
            names.add(name)
            dimensions = self._number("<I")
            if not 1 <= dimensions <= _DIMENSIONS_MAX:
                raise BrokenGguf(f"tensor `{name}` has {dimensions} dimensions, and may have 1 to {_DIMENSIONS_MAX}")
            shape = [self._number("<Q") for _ in range(dimensions)]
            elements = 1
            for length in shape:
                elements *= length
            kind, offset = self._number("<I"), self._number("<Q")
            if not 0 < elements <= _ELEMENTS_MAX:
                raise BrokenGguf(f"tensor `{name}` declares the shape {shape}")
            if offset % alignment:
                raise BrokenGguf(f"tensor `{name}` does not begin at a multiple of {alignment}")
            block, block_bytes = _BLOCKS.get(kind, (1, 0))
            if shape[0] % block:
                raise BrokenGguf(f"tensor `{name}` of the shape {shape} does not fill blocks of {block}")
            ends.append((name, offset, elements // block * block_bytes))
        start = -(-self._at // alignment) * alignment
        for name, offset, size in ends:
            if start + offset + size > self._size:
                raise BrokenGguf(
                    f"tensor `{name}` ends at byte {start + offset + size}, and the file at {self._size}: it is cut off"
                )

    def _value(self, key: str) -> Any:
        kind = self._number("<I")
        if kind == _STRING:
            return self._text(_TEXT_BYTES_MAX, f"`{key}`")
        if kind == _ARRAY:
            self._array(key)
            return None
        if kind not in _SCALARS:
            raise BrokenGguf(f"`{key}` has the unknown type {kind}")
        return self._number(_SCALARS[kind])

    def _array(self, key: str) -> None:
        """Stepped over: nothing here needs what is in it."""
        kind, count = self._number("<I"), self._number("<Q")
        if count > _ARRAY_MAX:
            raise BrokenGguf(f"`{key}` declares {count} entries, and may have {_ARRAY_MAX}")
        if kind == _STRING:
            mapped, at, size, unpack = self._mapped, self._at, self._size, struct.Struct("<Q").unpack_from
            for _ in range(count):
                if at + 8 > size:
                    raise self._cut()
                (length,) = unpack(mapped, at)
                if length > _TEXT_BYTES_MAX:
                    raise BrokenGguf(f"`{key}` has an entry of {length} bytes")
                at += 8 + length
            if at > size:
                raise self._cut()
            self._at = at
        elif kind in _SCALARS:
            self._step(count * struct.calcsize(_SCALARS[kind]))
        else:
            raise BrokenGguf(f"`{key}` is an array of the type {kind}, which may not be in one")

    def _text(self, most: int, what: str) -> str:
        length = self._number("<Q")
        if length > most:
            raise BrokenGguf(f"{what} is {length} bytes long, and may be {most}")
        start = self._at
        self._step(length)
        try:
            return self._mapped[start : self._at].decode()
        except UnicodeDecodeError:
            raise BrokenGguf(f"{what} is no UTF-8") from None

    def _number(self, form: str) -> Any:
        start = self._at
        self._step(struct.calcsize(form))
        return struct.unpack_from(form, self._mapped, start)[0]

    def _step(self, length: int) -> None:
        if self._at + length > self._size:
            raise self._cut()
        self._at += length

    def _cut(self) -> BrokenGguf:
        return BrokenGguf(f"it is cut off: {self._size} bytes are not enough for what its head declares")


def _as(value: Any, kind: type, key: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BrokenGguf(f"its `{key}` has the wrong type")
    return value
