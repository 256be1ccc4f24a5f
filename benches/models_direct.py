"""`python benches/models_direct.py SECONDS THREADS`: a model of ten milliseconds without a gateway, for `models.py`.

Prints JSON: the microseconds of each call of onnxruntime alone, and of the task around it (decoding, features, words),
in turn.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from models_calls import SHIPPED, bytes_of_call


class Deaf:
    gone = False

    def progress(self, done: float, total: float | None = None, message: str = "") -> None: ...


def main() -> None:
    seconds, threads = float(sys.argv[1]), int(sys.argv[2])
    import base64
    import importlib.util

    import numpy
    import onnxruntime

    from tidegate.models.files import ModelFiles
    from tidegate.models.manifest import read_manifest
    from tidegate.models.tasks.file_type import FileType

    manifest = read_manifest(Path(SHIPPED) / "content-type")
    task = FileType(manifest, ModelFiles(manifest).place)
    task.load(threads)
    spec = importlib.util.find_spec("magika")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    file = Path(spec.submodule_search_locations[0]) / "models/standard_v3_3/model.onnx"
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    features = numpy.random.default_rng(1).integers(0, 256, (1, 2048), dtype=numpy.int32)
    found: dict[str, list[float]] = {"onnxruntime": [], "task": []}
    until = time.perf_counter() + seconds
    at = 0
    while time.perf_counter() < until:
        at += 1
        began = time.perf_counter()
        session.run(None, {"bytes": features})
        between = time.perf_counter()
        job = task.prepare("identify", {"file": base64.b64encode(bytes_of_call(at)).decode()})
        task.run([job], [Deaf()])
        found["onnxruntime"].append((between - began) * 1e6)
        found["task"].append((time.perf_counter() - between) * 1e6)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
