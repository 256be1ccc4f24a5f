"""Backends that are made of something else than what their table says: workers of models, and all capabilities.

No validator here: the embedded default has a worker, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Final

from tidegate.config.paths import package_root
from tidegate.config.shipped_models import may_be_shipped_model
from tidegate.config.snapshot import Backend, Capability, Secret, Snapshot

CAPABILITIES_BACKEND: Final = "capabilities"
"""Who serves what is written under `[capabilities]`."""

MODEL_CALLS_IN_FLIGHT: Final = 16
"""Enough for batches. Of those behind them the gateway lets each caller have its turn; a worker takes them as they
come.
"""

TOLD: Final = "TIDEGATE_MODELS"
"""The environment variable that tells a worker what to serve: JSON."""
OWN_VARIABLES: Final = (TOLD, "PYTHONPATH")
"""What the gateway adds to the environment of workers. Nothing in it is a secret."""


def names_model_folder(text: str) -> bool:
    """Whether it is a folder's path; otherwise it is the name of a model that comes with tidegate."""
    return "/" in text or not may_be_shipped_model(text)


def capabilities_backend(capabilities: Iterable[Capability]) -> Backend:
    return Backend(name=CAPABILITIES_BACKEND, transport="capability", prefix="", capabilities=tuple(capabilities))


def with_workers(snapshot: Snapshot) -> Snapshot:
    """The same, where backends that run models have the command and what it is told, and all of them a budget."""
    if not any(backend.models for backend in snapshot.backends):
        return snapshot
    models = replace(snapshot.models, memory_bytes=snapshot.models.memory_bytes or _half_of_the_box())
    snapshot = replace(snapshot, models=models)
    backends = tuple(_worker(backend, snapshot) if backend.models else backend for backend in snapshot.backends)
    return replace(snapshot, backends=backends)


def _worker(backend: Backend, snapshot: Snapshot) -> Backend:
    budget, limits = snapshot.models.memory_bytes, snapshot.limits
    memory_bytes = min(backend.memory_bytes or budget, budget)
    told = {
        "set": backend.name,
        "models": [asdict(model) for model in backend.models],
        "memory_bytes": memory_bytes,
        "unload_idle_s": snapshot.models.unload_idle_s,
        "line_bytes": limits.line_bytes,
        "result_bytes": limits.result_bytes,
        "depth": limits.depth,
        "power": asdict(snapshot.power),
    }
    env = dict(backend.env) | {TOLD: Secret(json.dumps(told))}
    root = package_root()
    if root is not None:
        env["PYTHONPATH"] = Secret(str(root))
    return replace(
        backend,
        command=(sys.executable, "-P", "-m", "tidegate.models"),
        env=tuple(env.items()),
        memory_bytes=memory_bytes,
        # What era it speaks is known, and on a small box several that start at once are long silent.
        probe_timeout_s=max(backend.probe_timeout_s, backend.start_timeout_s),
    )


def _half_of_the_box() -> int:
    from tidegate.host.memory_room import room_bytes

    return room_bytes() // 2
