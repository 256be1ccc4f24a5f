"""GGUF files of a few hundred bytes, right or wrong in one place: written here, not by what reads them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

U32, F32, STRING, ARRAY, U64 = 4, 6, 8, 9, 10


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def words(key: str, values: Sequence[str]) -> bytes:
    return entry(key, ARRAY, struct.pack("<IQ", STRING, len(values)) + b"".join(text(value) for value in values))


@dataclass
class Tensor:
    name: str = "token_embd.weight"
    shape: tuple[int, ...] = (8, 4)
    kind: int = 0
    offset: int = 0


@dataclass
class Gguf:
    magic: bytes = b"GGUF"
    version: int = 3
    tensors: list[Tensor] = field(default_factory=lambda: [Tensor()])
    entries: list[bytes] = field(
        default_factory=lambda: [
            entry("general.architecture", STRING, text("llama")),
            entry("llama.context_length", U32, struct.pack("<I", 64)),
            words("tokenizer.ggml.tokens", ["a", "b", "<end>"]),
            entry("tokenizer.chat_template", STRING, text("{{ messages }}")),
        ]
    )
    tensor_count: int | None = None
    """What the head says, when that is not so."""
    entry_count: int | None = None
    data: bytes = bytes(128)

    def raw(self) -> bytes:
        tensors = len(self.tensors) if self.tensor_count is None else self.tensor_count
        entries = len(self.entries) if self.entry_count is None else self.entry_count
        head = self.magic + struct.pack("<IQQ", self.version, tensors, entries) + b"".join(self.entries)
        for tensor in self.tensors:
            head += text(tensor.name) + struct.pack("<I", len(tensor.shape))
            head += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, tensor.offset)
        return head + bytes(-len(head) % 32) + self.data
