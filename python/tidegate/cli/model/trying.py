"""Has a model loaded once, by a process of its own that is started as the gateway would start the worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tidegate.cli.model.child import answer_of
from tidegate.cli.refused import Refused
from tidegate.config.model_workers import with_workers
from tidegate.config.read import child_environment
from tidegate.config.snapshot import Backend, Model, Snapshot


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it."""

    tools: tuple[dict[str, Any], ...]
    """`name`, `description`, `inputSchema`."""
    load_ms: float | None = None
    """None: it was not loaded, only asked for its tools."""
    memory_bytes: int | None = None
    """That loading it took."""


def tried(model: Model, name: str, snapshot: Snapshot, *, load: bool, quiet: bool) -> Tried:
    """Raises: Refused, when it cannot be loaded or what it is told makes no sense."""
    alone = Backend(name=name, transport="stdio", models=(model,))
    (worker,) = with_workers(replace(snapshot, backends=(alone,))).backends
    command = [*worker.command[:-1], "tidegate.models.trial", *([] if load else ["tools"])]
    environ = child_environment() | {key: value.reveal() for key, value in worker.env}
    answer = answer_of(command, environ, name, "" if quiet or not load else f"loading {name}")
    found = answer["models"][0] if "models" in answer else answer
    if "error" in found:
        raise Refused(str(found["error"]))
    return Tried(tuple(found["tools"]), found.get("load_ms"), found.get("memory_bytes"))
