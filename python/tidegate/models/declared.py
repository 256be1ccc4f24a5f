"""`python -P -m tidegate.models.declared FILE`: what a model file says that it takes and gives, as JSON on stdout.

Started by `tidegate model new`, so that a file nobody knows yet is opened in a process that has nothing to lose. Either
`kind` and what there is to say of it, or `error`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tidegate.errors import ModelFailed, ModelMissing
from tidegate.models.manifest import ModelFile, ModelLimits
from tidegate.models.worker.process import bound_memory, step_back

GGUF_MAGIC = b"GGUF"


def main() -> int:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what libraries print is no answer
        path = Path(sys.argv[1])
        file_bytes = path.stat().st_size
        step_back()
        bound_memory(working_bytes(file_bytes))
        try:
            if not file_bytes:
                found = {"error": f"`{path.name}` is empty"}
            else:
                found = _gguf(path) if is_gguf(path) else _onnx(path)
        except MemoryError:
            found = {"error": f"`{path.name}` needs more memory than its size accounts for"}
        json.dump(found, out)
    return 0


def is_gguf(path: Path) -> bool:
    """By its first bytes, or by its name: one that is broken may have lost those. Raises: OSError."""
    if path.suffix.lower() == ".gguf":
        return True
    with path.open("rb") as stream:
        return stream.read(len(GGUF_MAGIC)) == GGUF_MAGIC


def working_bytes(file_bytes: int) -> int:
    """What reading a model of this size may take: weights of 8 bits can become four times as large."""
    return 512 * 1024 * 1024 + 8 * file_bytes


def _gguf(path: Path) -> dict[str, Any]:
    from tidegate.models.runtimes.gguf import BrokenGguf, read_head

    try:
        head = read_head(path)
    except BrokenGguf as error:
        return {"error": f"`{path.name}` is no GGUF file that can be used: {error}"}
    return {"kind": "gguf", "architecture": head.architecture, "context": head.context, "chats": bool(head.template)}


def _onnx(path: Path) -> dict[str, Any]:
    from tidegate.models.runtimes.onnx import OnnxSession

    limits = ModelLimits(memory_bytes=working_bytes(path.stat().st_size))
    try:
        session = OnnxSession.open(path, ModelFile("model", path.name, ""), 1, limits)
    except ModelMissing:
        return {"kind": "onnx"}
    except ModelFailed as error:
        return {"error": str(error)}
    tensors = {
        key: [{"name": one.name, "dtype": one.dtype, "shape": list(one.shape)} for one in of]
        for key, of in (("inputs", session.inputs), ("outputs", session.outputs))
    }
    return {"kind": "onnx", **tensors}


if __name__ == "__main__":
    sys.exit(main())
