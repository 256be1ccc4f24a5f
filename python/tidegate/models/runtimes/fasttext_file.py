"""Whether a fastText file is whole and agrees with itself, found out before the library reads it: that trusts every
number in the file, never comes back from some that are cut short, and answers nonsense with others.

The layout is that of fastText's own writer, version 11 or 12: settings, dictionary, input matrix, output matrix,
nothing after it. All numbers have their little end first.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

_MAGIC: Final = 793712314
_VERSIONS: Final = (11, 12)
_SUPERVISED: Final = 3
_LOSSES: Final = range(1, 5)
_CENTROIDS: Final = 256
"""Of one part of a vector, in a quantised matrix."""
_LARGEST_DIMENSION: Final = 4096
_MOST_LABELS: Final = 10_000_000

Buffer = bytes | mmap.mmap


class BrokenFastText(ValueError):
    """Says what is wrong."""


def check_fasttext(path: Path) -> None:
    """Raises: BrokenFastText, OSError."""
    if path.stat().st_size == 0:
        raise BrokenFastText("it is empty")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        check_fasttext_bytes(buffer)


def check_fasttext_bytes(buffer: Buffer) -> None:
    """Raises: BrokenFastText."""
    reader = _Reader(buffer)
    magic, version = reader.numbers("2i")
    if magic != _MAGIC or version not in _VERSIONS:
        raise BrokenFastText("it does not begin like one")
    dimension, _ws, _epoch, _count, _neg, word_grams, loss, kind, buckets, shortest, longest, _rate = reader.numbers(
        "12i"
    )
    reader.numbers("d")
    if kind != _SUPERVISED:
        raise BrokenFastText("it is no classifier")
    if not 1 <= dimension <= _LARGEST_DIMENSION or loss not in _LOSSES:
        raise BrokenFastText("its settings make no sense")
    if (
        buckets < 0
        or (buckets == 0 and (word_grams > 1 or longest > 0))
        or not 0 <= shortest <= 64
        or not 0 <= longest <= 64
    ):
        raise BrokenFastText("its settings of pieces of words make no sense")
    labels, rows = _dictionary(reader, buckets)
    quantised = reader.flag()
    _matrix(reader, quantised, rows, dimension, "input")
    _matrix(reader, reader.flag() and quantised, labels, dimension, "output")
    if reader.left:
        raise BrokenFastText(f"{reader.left} bytes are left at its end")


class _Reader:
    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._buffer) - self._at

    def skip(self, size: int) -> None:
        if not 0 <= size <= self.left:
            raise BrokenFastText("it is cut short")
        self._at += size

    def numbers(self, layout: str) -> tuple[int, ...]:
        start = self._at
        self.skip(struct.calcsize("<" + layout))
        return struct.unpack_from("<" + layout, self._buffer, start)

    def flag(self) -> bool:
        (value,) = self.numbers("B")
        if value > 1:
            raise BrokenFastText("one of its switches is neither on nor off")
        return value == 1

    def word(self) -> None:
        end = self._buffer.find(b"\0", self._at)
        if end < 0:
            raise BrokenFastText("it is cut short")
        self._at = end + 1


def _dictionary(reader: _Reader, buckets: int) -> tuple[int, int]:
    """Number of labels, and of rows that the input matrix must have."""
    size, words, labels = reader.numbers("3i")
    _tokens, pruned = reader.numbers("2q")
    if words < 0 or not 1 <= labels <= _MOST_LABELS or size != words + labels:
        raise BrokenFastText("its dictionary does not add up")
    if size > reader.left // 10 or not -1 <= pruned <= reader.left // 8:
        raise BrokenFastText("it is cut short")
    for number in range(size):
        reader.word()
        count, kind = reader.numbers("qB")
        if count < 0 or kind != (number >= words):
            raise BrokenFastText("its dictionary is out of order")
    if pruned < 0:
        return labels, words + buckets
    for _ in range(pruned):
        bucket, row = reader.numbers("2i")
        if not 0 <= bucket < buckets or not 0 <= row < pruned:
            raise BrokenFastText("its dictionary points outside of its matrix")
    return labels, words + pruned


def _matrix(reader: _Reader, quantised: bool, rows: int, dimension: int, name: str) -> None:
    norms = quantised and reader.flag()
    if reader.numbers("2q") != (rows, dimension):
        raise BrokenFastText(f"its {name} matrix is not {rows} by {dimension}")
    if not quantised:
        reader.skip(4 * rows * dimension)
        return
    (codes,) = reader.numbers("i")
    reader.skip(codes)
    parts = _quantiser(reader, dimension)
    if codes != rows * parts:
        raise BrokenFastText(f"its {name} matrix has {codes} codes for {rows} rows of {parts}")
    if norms:
        reader.skip(rows)
        if _quantiser(reader, 1) != 1:
            raise BrokenFastText(f"the lengths of its {name} matrix make no sense")


def _quantiser(reader: _Reader, dimension: int) -> int:
    """Number of parts of a vector, each of which has its own centroids."""
    whole, parts, each, last = reader.numbers("4i")
    if whole != dimension or parts < 1 or each < 1 or not 1 <= last <= each or (parts - 1) * each + last != dimension:
        raise BrokenFastText("its quantised vectors do not add up")
    reader.skip(4 * dimension * _CENTROIDS)
    return parts
