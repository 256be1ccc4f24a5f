"""`model.toml`: what a model is, what it takes and gives, and what its files must be.

Written by whoever ships a model; read as untrusted. Sizes, counts and names are bounded here; whether the files are what
this says is `files.py`, whether the settings make sense is the task's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output as the model must declare it. -1 in a shape: any size."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file, by the part it plays for the task (`model`, `tokenizer`, `detector`, …)."""

    role: str
    path: str
    """Relative to the folder of the manifest, or of the package; never leaves it."""
    sha256: str
    """64 lower-case hexadecimal digits."""
    package: str = ""
    """An installed Python package that carries it, by its import name; empty: the manifest's folder."""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    """Empty: not checked."""


@dataclass(frozen=True, slots=True)
class ToolWords:
    """What one of the task's tools is called for this model. Empty: as the task has it."""

    name: str = ""
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What it needs; the operator's bounds win."""

    memory_bytes: int = 256 * 1024 * 1024
    """Of the worker while it is loaded, for its share of the budget."""
    deadline_ms: int = 60_000
    """For one call from its start."""
    input_bytes: int = 4 * 1024 * 1024
    """Of one call's decoded input."""
    batch: int = 8
    """Jobs computed together, by weight."""
    batch_wait_ms: float = 2.0
    """How long the first of a batch waits for others, at most, while the model is free."""
    queue: int = 256
    """Calls that may wait."""


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """A whole `model.toml`."""

    name: str
    version: str
    description: str
    licence: str
    task: str
    files: tuple[ModelFile, ...]
    folder: Path
    """Where the manifest stands."""
    digest: str
    """`sha256:` of the manifest's bytes: what a configuration pins."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The task's: pre- and post-processing, labels, thresholds."""
    tools: dict[str, ToolWords] = field(default_factory=dict)
    """By the task's own name of the tool."""
    limits: ModelLimits = field(default_factory=ModelLimits)
    install: tuple[str, ...] = ()
    """Python packages that it needs, for the sentence that says what is missing."""
