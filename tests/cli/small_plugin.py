"""The smallest plugin that works: a core module put together here byte by byte, and manifests for it."""

from __future__ import annotations

from pathlib import Path

from tidegate.sandbox.manifest import embed

ANSWER = b'{"result":{"content":[{"type":"text","text":"hello"}]}}'
_ANSWER_AT = 2048
_ALLOC_AT = 4096

TOOL = """\
name = "greeter"
version = "1.2.3"
description = "Says hello."
world = "tool"
[[tools]]
name = "hello"
description = "Says hello."
input_schema = { properties = {} }
"""
CURIOUS = f"""{TOOL}
[asks]
log = true
time = true
store_bytes = 65536
http = ["api.example.com"]
folders = {{ "/data" = "read", "/out" = "write" }}
"""
FILTER = """\
name = "judge"
version = "0.1.0"
world = "filter"
inspects = ["request", "result"]
"""


def _leb(value: int) -> bytes:
    """Unsigned; also signed, where bit 6 of the last byte is not set."""
    return bytes([value]) if value < 0x40 else bytes([value & 0x7F | 0x80]) + _leb(value >> 7)


def _section(number: int, *items: bytes) -> bytes:
    body = _leb(len(items)) + b"".join(items)
    return bytes([number]) + _leb(len(body)) + body


def _named(text: str) -> bytes:
    return _leb(len(text)) + text.encode()


def _body(code: bytes) -> bytes:
    whole = b"\0" + code + b"\x0b"
    return _leb(len(whole)) + whole


def module(
    answer: bytes = ANSWER, *, exports: tuple[str, ...] = ("memory", "tidegate_alloc", "tidegate_call")
) -> bytes:
    """Answers every call with `answer`."""
    packed = _ANSWER_AT << 32 | len(answer)
    kinds = {"memory": b"\x02\x00", "tidegate_alloc": b"\x00\x00", "tidegate_call": b"\x00\x01"}
    return b"".join(
        (
            b"\0asm\x01\0\0\0",
            _section(1, b"\x60\x01\x7f\x01\x7f", b"\x60\x02\x7f\x7f\x01\x7e"),
            _section(3, b"\x00", b"\x01"),
            _section(5, b"\x00\x01"),
            _section(7, *(_named(name) + kinds[name] for name in exports)),
            _section(10, _body(b"\x41" + _leb(_ALLOC_AT)), _body(b"\x42" + _leb(packed))),
            _section(11, b"\x00\x41" + _leb(_ANSWER_AT) + b"\x0b" + _leb(len(answer)) + answer),
        )
    )


def write_plugin(path: Path, manifest: str = TOOL, answer: bytes = ANSWER) -> Path:
    path.write_bytes(embed(module(answer), manifest.encode()))
    return path
