"""Writes small ONNX files, right or wrong in one way each, without the library of that name: protobuf by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

FLOAT, INT64 = 1, 7


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def tensor(name: str, values: Sequence[float], shape: Sequence[int] | None = None, kind: int = FLOAT) -> bytes:
    raw = struct.pack(f"<{len(values)}{'f' if kind == FLOAT else 'q'}", *values)
    sizes = [len(values)] if shape is None else shape
    return b"".join(number(1, size) for size in sizes) + number(2, kind) + part(8, name) + part(9, raw)


def external_tensor(name: str, shape: Sequence[int], location: str | None) -> bytes:
    """Weights in another file."""
    entry = b"" if location is None else part(13, part(1, "location") + part(2, location))
    return b"".join(number(1, size) for size in shape) + number(2, FLOAT) + part(8, name) + entry + number(14, 1)


def declared(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> bytes:
    """An input or output; a size that is text is any."""
    sizes = b"".join(part(1, part(2, size) if isinstance(size, str) else number(1, size)) for size in shape)
    return part(1, name) + part(2, part(1, number(1, kind) + part(2, sizes)))


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", extra: bytes = b"") -> bytes:
    names = b"".join(part(1, name) for name in inputs) + b"".join(part(2, name) for name in outputs)
    return names + part(4, operator) + extra + (part(7, domain) if domain else b"")


def graph(
    nodes: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes], weights: Sequence[bytes] = ()
) -> bytes:
    return b"".join(
        (
            b"".join(part(1, one) for one in nodes),
            part(2, "graph"),
            b"".join(part(5, one) for one in weights),
            b"".join(part(11, one) for one in inputs),
            b"".join(part(12, one) for one in outputs),
        )
    )


def model(whole: bytes, opset: int = 13, domains: Sequence[str] = (), extra: bytes = b"") -> bytes:
    imports = part(8, number(2, opset)) + b"".join(part(8, part(1, one) + number(2, 1)) for one in domains)
    return number(1, 8) + part(7, whole) + imports + extra


def doubling(opset: int = 13) -> bytes:
    """`y` is twice `x`, rows of three."""
    return model(
        graph(
            [node("Mul", ["x", "two"], ["y"])],
            [declared("x", ["rows", 3])],
            [declared("y", ["rows", 3])],
            [tensor("two", [2.0])],
        ),
        opset,
    )
