"""Models for tests: those that come with tidegate, and manifests made on the spot."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.models.manifest import ModelFile, ModelLimits, ModelManifest, ToolWords
from tidegate.models.task import Answer, Json, Task

SHIPPED = Path(__file__).resolve().parents[2] / "python" / "tidegate" / "models" / "shipped"


class Silence:
    """An ear that waits for ever and keeps what it hears."""

    def __init__(self) -> None:
        self.gone = False
        self.heard: list[tuple[float, float | None, str]] = []

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.heard.append((done, total, message))


def manifest(
    task: str, files: Sequence[ModelFile] = (), folder: Path = Path("/nonexistent"), **settings: Any
) -> ModelManifest:
    return ModelManifest("probe", "1", "", "", task, tuple(files), folder, "", settings=settings)


def file(path: Path, role: str = "model") -> ModelFile:
    return ModelFile(role, path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def shipped(name: str) -> ModelManifest:
    """The manifest of a model that comes with tidegate, read without the checks of the real reader."""
    folder = SHIPPED / name
    raw = (folder / "model.toml").read_bytes()
    table = tomllib.loads(raw.decode())
    return ModelManifest(
        table["name"],
        table["version"],
        table["description"],
        table["licence"],
        table["task"],
        tuple(
            ModelFile(role, entry["path"], entry["sha256"], entry.get("package", ""))
            for role, entry in table.get("files", {}).items()
        ),
        folder,
        "sha256:" + hashlib.sha256(raw).hexdigest(),
        settings=table.get("settings", {}),
        tools={tool: ToolWords(**words) for tool, words in table.get("tools", {}).items()},
        limits=ModelLimits(**table.get("limits", {})),
        install=tuple(table.get("install", ())),
    )


def placed(of: ModelManifest, role: str) -> Path:
    """Where a file of it is, with its digest checked."""
    entry = next(file for file in of.files if file.role == role)
    folder = of.folder
    if entry.package:
        spec = importlib.util.find_spec(entry.package)
        assert spec is not None
        assert spec.submodule_search_locations
        folder = Path(spec.submodule_search_locations[0])
    path = folder / entry.path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    return path


def installed(name: str) -> bool:
    """Whether the packages that carry this shipped model's files are there."""
    return all(importlib.util.find_spec(file.package) is not None for file in shipped(name).files if file.package)


def call(task: Task, tool: str, *calls: Json) -> list[Answer]:
    """The answers to calls that are computed together."""
    outcomes = task.run([task.prepare(tool, arguments) for arguments in calls], [Silence() for _ in calls])
    for outcome in outcomes:
        if not isinstance(outcome, Answer):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]
