"""The sections of a WASM binary, as far as it takes to find, add and drop a custom one.

For the outermost module or component: what is nested in it is a section whose content is passed over. The bytes are
whoever's: every length is checked before it is used, and work is bounded by the number of sections. Whether the
rest is valid is for the engine to say. (Core spec 5.5.2 "Sections", component model "Binary", its preamble.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

MAX_WASM_BYTES: Final = 64 * 1024 * 1024
"""A whole Python compiled to WASM has 20 MB; what is larger does not belong on a small box."""

_MODULE: Final = b"\0asm\x01\0\0\0"
_COMPONENT: Final = b"\0asm\x0d\0\x01\0"
_CUSTOM: Final = 0
_MAX_SECTIONS: Final = 10_000
"""A component has some dozens, one with every function described apart some hundreds."""

_MAX_LEB_BYTES: Final = 5
"""Of a 32 bit number."""

Kind = Literal["module", "component"]


class NotWasm(ValueError):
    """Not a binary that can be taken apart. The message says what is wrong, for a person."""


def kind_of(wasm: bytes) -> Kind:
    """By the first eight bytes. Raises: NotWasm."""
    if len(wasm) > MAX_WASM_BYTES:
        raise NotWasm(f"has more than {MAX_WASM_BYTES} bytes")
    preamble = wasm[:8]
    if preamble == _MODULE:
        return "module"
    if preamble == _COMPONENT:
        return "component"
    if preamble[:4] != b"\0asm":
        hint = "; this is WASM text, which `wasm-tools parse` assembles" if wasm.lstrip()[:1] == b"(" else ""
        raise NotWasm(f"is not a WASM binary{hint}")
    raise NotWasm("is WASM of a version that is not known here")


def custom_section(wasm: bytes, name: str) -> bytes | None:
    """The content of the custom section of this name, or None. Raises: NotWasm; also when there are several."""
    found = [wasm[start:end] for _, start, end in _named(wasm, name)]
    if len(found) > 1:
        raise NotWasm(f"has {len(found)} sections named `{name}`, expected one")
    return found[0] if found else None


def with_custom_section(wasm: bytes, name: str, content: bytes) -> bytes:
    """The same binary with one such section, at its end, in place of any it had. Raises: NotWasm."""
    pieces = []
    kept = 0
    for begin, _, end in _named(wasm, name):
        pieces.append(wasm[kept:begin])
        kept = end
    label = name.encode()
    body = _leb(len(label)) + label + content
    return b"".join([*pieces, wasm[kept:], bytes([_CUSTOM]), _leb(len(body)), body])


def _named(wasm: bytes, name: str) -> Iterator[tuple[int, int, int]]:
    """(where the section begins, where its content does, its end) of each custom section with this name."""
    kind_of(wasm)
    label = name.encode()
    at = 8
    for _ in range(_MAX_SECTIONS):
        if at == len(wasm):
            return
        begin = at
        length, content = _read_leb(wasm, begin + 1, len(wasm))
        at = content + length
        if at > len(wasm):
            raise NotWasm(f"ends in the middle of a section, which begins at byte {begin}")
        if wasm[begin] == _CUSTOM:
            size, start = _read_leb(wasm, content, at)
            if start + size > at:
                raise NotWasm(f"has a section at byte {begin} whose name is longer than itself")
            if wasm[start : start + size] == label:
                yield begin, start + size, at
    if at != len(wasm):
        raise NotWasm(f"has more than {_MAX_SECTIONS} sections")


def _read_leb(wasm: bytes, at: int, end: int) -> tuple[int, int]:
    """An unsigned LEB128 number of 32 bits and where it ends. Raises: NotWasm."""
    value = 0
    for number, byte in enumerate(wasm[at : min(end, at + _MAX_LEB_BYTES)]):
        value |= (byte & 0x7F) << (7 * number)
        if not byte & 0x80:
            if value >= 1 << 32:
                break
            return value, at + number + 1
    raise NotWasm(f"has no number at byte {at}, where a length belongs")


def _leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
