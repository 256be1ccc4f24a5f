"""Folders of models on disk, each wrong in one way, for workers that are processes: what is wrong, and what is said."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx_writing import (
    FLOAT,
    INT64,
    declared,
    doubling,
    external_tensor,
    graph,
    model,
    node,
    number,
    part,
    tensor,
)
from small_gguf import Gguf
from test_fasttext_files import written as fasttext

ROW = {"inputs": {"x": {"dtype": "float32", "shape": [1, 3], "data": [1, 2, 3]}}}
MIB = 1 << 20


@dataclass(frozen=True)
class Hostile:
    """One model. Its tool has its name."""

    name: str
    slug: str
    said: str
    """Part of the message."""
    raw: bytes = b""
    task: str = "tensor"
    tool: str = "run"
    arguments: dict[str, Any] = field(default_factory=lambda: ROW)
    limits: dict[str, float] = field(default_factory=lambda: {"memory_bytes": 64 * MIB})
    more: str = ""
    """Of the manifest's file table."""
    spoil: Callable[[Path], None] = lambda path: None
    """Is given the file when all is written."""


def write(folder: Path, one: Hostile) -> str:
    """The entry of a configuration for it."""
    home = folder / one.name
    home.mkdir(parents=True)
    (home / "model.bin").write_bytes(one.raw)
    digest = hashlib.sha256(one.raw).hexdigest()
    limits = "".join(f"{key} = {value}\n" for key, value in one.limits.items())
    text = (
        f'name = "{one.name}"\nversion = "1"\ntask = "{one.task}"\n'
        f'[files.model]\npath = "model.bin"\nsha256 = "{digest}"\n{one.more}'
        f'[tools.{one.tool}]\nname = "{one.name}"\n[limits]\n{limits}'
    )
    (home / "model.toml").write_text(text, encoding="utf-8")
    one.spoil(home / "model.bin")
    pinned = hashlib.sha256(text.encode()).hexdigest()
    return f'{{ path = {json.dumps(str(home))}, digest = "sha256:{pinned}" }}'


def summed(count: int) -> dict[str, Any]:
    """How far `counting` is to count."""
    return {"inputs": {"n": {"dtype": "int64", "shape": [], "data": count}}}


def counting() -> bytes:
    """`y` is `n`, counted one by one: computes for as long as is asked."""
    body = graph(
        [node("Add", ["sum", "one"], ["more"]), node("Identity", ["on"], ["still"])],
        [declared("i", [], INT64), declared("on", [], _BOOL), declared("sum", [], INT64)],
        [declared("still", [], _BOOL), declared("more", [], INT64)],
        [tensor("one", [1], [], INT64)],
    )
    return model(
        graph(
            [node("Loop", ["n", "", "zero"], ["y"], extra=part(5, part(1, "body") + part(6, body) + number(20, 5)))],
            [declared("n", [], INT64)],
            [declared("y", [], INT64)],
            [tensor("zero", [0], [], INT64)],
        )
    )


def spreading() -> bytes:
    """`y` is the sum of as many ones as the sizes `n` say."""
    return model(
        graph(
            [
                node(
                    "ConstantOfShape", ["n"], ["ones"], extra=part(5, part(1, "value") + part(5, _ONE) + number(20, 4))
                ),
                node("Neg", ["ones"], ["less"]),
                node("ReduceSum", ["less"], ["y"], extra=part(5, part(1, "keepdims") + number(3, 0) + number(20, 2))),
            ],
            [declared("n", ["rank"], INT64)],
            [declared("y", [])],
        )
    )


def shape_of(*sizes: int) -> dict[str, Any]:
    return {"inputs": {"n": {"dtype": "int64", "shape": [len(sizes)], "data": list(sizes)}}}


_BOOL = 9
_ONE = number(1, 1) + number(2, FLOAT) + part(9, struct.pack("<f", 1.0))


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _write_more(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _weights_in(location: str | None) -> bytes:
    return model(
        graph(
            [node("Mul", ["x", "w"], ["y"])],
            [declared("x", ["rows", 3])],
            [declared("y", ["rows", 3])],
            [external_tensor("w", [3], location)],
        )
    )


def _mul(weights: bytes, shape: tuple[int | str, ...] = ("rows", 3), operator: str = "Mul", domain: str = "") -> bytes:
    return model(
        graph([node(operator, ["x", "w"], ["y"], domain)], [declared("x", shape)], [declared("y", shape)], [weights])
    )


REFUSED = "model_refused"
HOSTILE = (
    Hostile("cut-short", REFUSED, "cut off", doubling()[:-25]),
    Hostile("no-model", REFUSED, "no ONNX model", b"\x7fELF" + bytes(200)),
    Hostile("empty", REFUSED, "no ONNX model"),
    Hostile("opset", REFUSED, "opset", doubling(opset=999)),
    Hostile("operator", REFUSED, "`Steal` of `evil`", _mul(tensor("w", [1.0]), operator="Steal", domain="evil")),
    Hostile("huge-input", REFUSED, "declares `x`", _mul(tensor("w", [1.0]), (1 << 30, 1 << 20))),
    Hostile("huge-weights", REFUSED, "claims", _mul(tensor("w", [1.0], [1 << 40]))),
    Hostile("outside-up", REFUSED, "../../../../etc/passwd", _weights_in("../../../../etc/passwd")),
    Hostile("outside-root", REFUSED, "/etc/passwd", _weights_in("/etc/passwd")),
    Hostile("outside-self", REFUSED, "model.bin", _weights_in("model.bin")),
    Hostile("digest", REFUSED, "SHA-256", doubling(), spoil=_write_more),
    Hostile("link", REFUSED, "by a link", doubling(), spoil=_replace_by_link),
    Hostile("fifo", REFUSED, "no plain file", doubling(), spoil=_replace_by_fifo),
    Hostile("gone", "model_missing", "there is no", doubling(), spoil=Path.unlink),
    Hostile("other-inputs", REFUSED, "its manifest says", doubling(), arguments={"inputs": {"z": ROW["inputs"]["x"]}},
            more='inputs = [{ name = "z", dtype = "float32", shape = [1, 3] }]\n'),
    Hostile("too-large", "model_out_of_memory", "memory_bytes", doubling(), limits={"memory_bytes": 1 << 40}),
    Hostile("spreading", "model_out_of_memory", "ran out of memory", spreading(), arguments=shape_of(1 << 14, 1 << 15)),
    Hostile("wrapping", "model_failed", "could not compute", spreading(), arguments=shape_of(1 << 40, 1 << 40)),
    Hostile("gguf", REFUSED, "cut off", Gguf().raw()[:-150], "chat", "chat",
            {"messages": [{"role": "user", "content": "hello"}]}),
    Hostile("gguf-counts", REFUSED, "tensors", Gguf(tensor_count=1 << 60).raw(), "chat", "chat",
            {"messages": [{"role": "user", "content": "hello"}]}),
    Hostile("fasttext", REFUSED, "fastText", fasttext()[:-12], "text-classification", "classify", {"text": "warm"}),
)  # fmt: skip
SOUND = (
    Hostile("double", "", "", doubling()),
    Hostile("spread", "", "", spreading()),
    Hostile("count", "", "", counting()),
    Hostile("hang", "", "", counting(), limits={"memory_bytes": 64 * MIB, "deadline_ms": 1500}),
)
"""These are right; whoever calls them may not be."""
