"""`python -P -m tidegate.models.trial`: loads each model of an assignment once, and says what came of it.

Started by `tidegate model add`, as the gateway starts a worker: the same command line but for the module, the same
environment. One JSON object on stdout: `models`, one for each, with its tools, or with `error` and the error's slug.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from tidegate.errors import ModelFailed, TidegateError
from tidegate.models.catalogue import make_task
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import ModelManifest, read_manifest
from tidegate.models.task import Task
from tidegate.models.worker.assignment import VARIABLE, Assignment, ModelEntry, read_assignment
from tidegate.models.worker.process import bound_memory, resident_bytes, step_back

ONLY_TOOLS = "tools"
"""The argument with which nothing is loaded."""


def main() -> int:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what libraries print is no answer
        try:
            assignment = read_assignment(os.environ.get(VARIABLE, ""))
            step_back()
            bound_memory(assignment.memory_bytes)
            found: dict[str, Any] = {"models": _tried(assignment)}
        except TidegateError as error:
            found = {"error": str(error), "slug": error.slug}
        json.dump(found, out)
    return 0


def _tried(assignment: Assignment) -> list[dict[str, Any]]:
    return [_of(entry, assignment.memory_bytes) for entry in assignment.models]


def _of(entry: ModelEntry, memory_bytes: int) -> dict[str, Any]:
    try:
        manifest = read_manifest(entry.folder, entry.digest)
        files = ModelFiles(manifest, memory_bytes)
        task = make_task(manifest, files.place)
        found: dict[str, Any] = {"tools": _tools(manifest, task)}
        if ONLY_TOOLS not in sys.argv[1:]:
            found |= _loaded(task, files)
    except ModelFailed as error:
        return {"error": str(error), "slug": error.slug}
    except MemoryError:
        return {"error": "there is no memory to load it", "slug": "model_out_of_memory"}
    return found


def _loaded(task: Task, files: ModelFiles) -> dict[str, Any]:
    before, began = resident_bytes(), time.perf_counter()
    task.load(len(os.sched_getaffinity(0)))
    files.still_those()
    found = {"load_ms": (time.perf_counter() - began) * 1000, "memory_bytes": max(resident_bytes() - before, 0)}
    task.unload()
    return found


def _tools(manifest: ModelManifest, task: Task) -> list[dict[str, Any]]:
    found = []
    for tool in task.tools:
        words = manifest.tools.get(tool.name)
        found.append(
            {
                "name": (words.name if words is not None else "") or tool.name,
                "description": (words.description if words is not None else "") or tool.description,
                "inputSchema": tool.input_schema,
            }
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
