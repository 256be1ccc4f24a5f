"""What an ONNX file says about itself, read before any library opens it: an untrusted file must not lead it astray.

A protobuf walker for the few fields that matter: where weights lie outside the file, which operators are not the
library's own, which sizes are claimed. It builds no tensors, follows no reference, and is bounded in fields and depth.
Field numbers are those of the ONNX protobuf schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tidegate.errors import ModelRefused

MAX_FIELDS: Final = 4_000_000
"""Fields looked at in one file. The largest model tried here (23 MB, 12 layers) has 40 thousand."""

MAX_DEPTH: Final = 24
"""Of graphs within graphs, counted in messages: each level of a graph costs three."""

DOMAINS: Final = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
"""Of operators that onnxruntime brings along: the standard's, and its own for quantised and fused models."""

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5

_STRINGS: Final = 8
"""TensorProto.DataType of text, whose elements have no fixed size."""


@dataclass(frozen=True, slots=True)
class OnnxFacts:
    """What was found."""

    opset: int
    """Of the standard operators; 0: not said."""
    external: frozenset[str]
    """Locations of weights outside the file, as it spells them."""


@dataclass(slots=True)
class _Walk:
    """One reading of one file."""

    name: str
    buf: memoryview
    fields: int = 0

    def refuse(self, why: str) -> ModelRefused:
        return ModelRefused(f"`{self.name}` {why}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """(value, where the next thing starts)."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self.buf[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
        raise self.refuse("is no ONNX model, or is cut off")

    def message(self, start: int, end: int, depth: int) -> Iterator[tuple[int, int, int, int]]:
        """(field number, wire type, start, end) of each field; of a varint, `start` is the value itself."""
        if depth > MAX_DEPTH:
            raise self.refuse(f"nests graphs deeper than {MAX_DEPTH} levels")
        at = start
        while at < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise self.refuse(f"has more than {MAX_FIELDS} fields")
            key, at = self.varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                value, at = self.varint(at, end)
                yield number, wire, value, at
                continue
            if wire == _BYTES:
                length, at = self.varint(at, end)
            elif wire in (_EIGHT, _FOUR):
                length = 8 if wire == _EIGHT else 4
            else:
                raise self.refuse("is no ONNX model, or is damaged")
            if number == 0 or length > end - at:
                raise self.refuse("is no ONNX model, or is cut off")
            yield number, wire, at, at + length
            at += length

    def text(self, start: int, end: int) -> str:
        """A short name. Raises: ModelRefused, if it is none."""
        if end - start > 4096:
            raise self.refuse("has a name of more than 4096 bytes")
        try:
            return bytes(self.buf[start:end]).decode()
        except UnicodeDecodeError:
            raise self.refuse("has a name that is no UTF-8") from None


@dataclass(slots=True)
class _Found:
    external: set[str]
    domains: dict[str, str]
    """Operator by the domain it is from: one of each is enough for a sentence."""
    own: set[str]
    """Domains of functions that the model brings along itself, in standard operators."""
    opset: int = 0
    graphs: int = 0


def read_onnx_facts(data: bytes, name: str) -> OnnxFacts:
    """Reads a whole model; `name` is for messages. Raises: ModelRefused, with the reason as a sentence."""
    walk = _Walk(name, memoryview(data))
    found = _Found(set(), {}, set())
    for number, wire, start, end in walk.message(0, len(data), 0):
        if wire != _BYTES:
            continue
        if number == 7:
            found.graphs += 1
            _graph(walk, found, start, end, 1)
        elif number == 8:
            _opset(walk, found, start, end)
        elif number == 20:
            raise walk.refuse("carries training steps, which are not run here")
        elif number == 25:
            _function(walk, found, start, end)
    if found.graphs != 1:
        raise walk.refuse("is no ONNX model: it has no graph" if not found.graphs else "has more than one graph")
    for domain, operator in found.domains.items():
        if domain not in DOMAINS and domain not in found.own:
            raise walk.refuse(f"uses the operator `{operator}` of `{domain}`, which is not part of onnxruntime")
    return OnnxFacts(found.opset, frozenset(found.external))


def _opset(walk: _Walk, found: _Found, start: int, end: int) -> None:
    domain, version = "", 0
    for number, wire, at, stop in walk.message(start, end, 1):
        if number == 1 and wire == _BYTES:
            domain = walk.text(at, stop)
        elif number == 2 and wire == _VARINT:
            version = at
    if domain in ("", "ai.onnx"):
        found.opset = version


def _function(walk: _Walk, found: _Found, start: int, end: int) -> None:
    for number, wire, at, stop in walk.message(start, end, 1):
        if wire != _BYTES:
            continue
        if number == 7:
            _node(walk, found, at, stop, 2)
        elif number == 10:
            found.own.add(walk.text(at, stop))
        elif number == 11:
            _attribute(walk, found, at, stop, 2)


def _graph(walk: _Walk, found: _Found, start: int, end: int, depth: int) -> None:
    for number, wire, at, stop in walk.message(start, end, depth):
        if wire != _BYTES:
            continue
        if number == 1:
            _node(walk, found, at, stop, depth + 1)
        elif number == 5:
            _tensor(walk, found, at, stop, depth + 1)
        elif number == 15:
            _sparse(walk, found, at, stop, depth + 1)


def _node(walk: _Walk, found: _Found, start: int, end: int, depth: int) -> None:
    operator = domain = ""
    for number, wire, at, stop in walk.message(start, end, depth):
        if wire != _BYTES:
            continue
        if number == 4:
            operator = walk.text(at, stop)
        elif number == 7:
            domain = walk.text(at, stop)
        elif number == 5:
            _attribute(walk, found, at, stop, depth + 1)
    if domain not in found.domains and len(found.domains) < 64:
        found.domains[domain] = operator


def _attribute(walk: _Walk, found: _Found, start: int, end: int, depth: int) -> None:
    for number, wire, at, stop in walk.message(start, end, depth):
        if wire != _BYTES:
            continue
        if number in (5, 10):
            _tensor(walk, found, at, stop, depth + 1)
        elif number in (6, 11):
            _graph(walk, found, at, stop, depth + 1)
        elif number in (22, 23):
            _sparse(walk, found, at, stop, depth + 1)


def _sparse(walk: _Walk, found: _Found, start: int, end: int, depth: int) -> None:
    for number, wire, at, stop in walk.message(start, end, depth):
        if number in (1, 2) and wire == _BYTES:
            _tensor(walk, found, at, stop, depth + 1)


def _tensor(walk: _Walk, found: _Found, start: int, end: int, depth: int) -> None:
    """Notes where the weights are, and refuses a size that nothing in the file stands for."""
    elements, kind, outside = 1, 0, False
    label, places = "", set[str]()
    for number, wire, at, stop in walk.message(start, end, depth):
        if number == 1:
            for size in [at] if wire == _VARINT else _packed(walk, at, stop):
                if size >= 1 << 63:
                    raise walk.refuse(f"has a tensor `{label}` of negative size")
                elements *= size
        elif number == 2 and wire == _VARINT:
            kind = at
        elif number == 8 and wire == _BYTES:
            label = walk.text(at, stop)
        elif number == 13 and wire == _BYTES:
            outside = True
            places |= _location(walk, at, stop, depth + 1)
        elif number == 14 and wire == _VARINT:
            outside = outside or at == 1
    if outside:
        if not places:
            raise walk.refuse(f"keeps the weights `{label}` in another file without saying which")
        found.external |= places
    elif elements > 8 * (end - start) and kind != _STRINGS:
        # no element type takes less than half a byte; the slack is for what the schema may add
        raise walk.refuse(f"claims {elements} numbers in `{label}` and holds {end - start} bytes of them")


def _packed(walk: _Walk, at: int, end: int) -> Iterator[int]:
    """The sizes of a tensor, written as one field."""
    while at < end:
        walk.fields += 1
        value, at = walk.varint(at, end)
        yield value


def _location(walk: _Walk, start: int, end: int, depth: int) -> set[str]:
    """Of one key and value about weights outside: the value of `location`."""
    key, value = "", ""
    for number, wire, at, stop in walk.message(start, end, depth):
        if wire == _BYTES and number == 1:
            key = walk.text(at, stop)
        elif wire == _BYTES and number == 2:
            value = walk.text(at, stop)
    return {value} if key == "location" else set()
