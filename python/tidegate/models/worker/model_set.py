"""The models of one worker and the tools they offer, before any of them is loaded.

A model whose manifest cannot be used is left out, and why is remembered: the others are served.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from tidegate.errors import ConfigError, ModelFailed, ModelRefused, TidegateError, UnknownTool
from tidegate.models.catalogue import Make, make_task
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import ModelManifest, ToolWords, read_manifest
from tidegate.models.task import Task, Tool
from tidegate.models.worker.assignment import Assignment, ModelEntry

_MAX_NAME: Final = 128
"""Characters of a tool's name."""


@dataclass(slots=True)
class Model:
    """One that is served."""

    manifest: ModelManifest
    task: Task
    files: ModelFiles


@dataclass(slots=True)
class Offer:
    """One tool, as it is called here."""

    tool: Tool
    """With the name and words of this model."""
    own_name: str
    """What the task calls it."""
    model: Model


class ModelSet:
    """Read once, at the start of the worker."""

    def __init__(self, assignment: Assignment, make: Make = make_task) -> None:
        self.name = assignment.name
        self.models: list[Model] = []
        self.refused: list[TidegateError] = []
        self._offers: dict[str, Offer] = {}
        for entry in assignment.models:
            try:
                self._serve(_model(entry, assignment.memory_bytes, make))
            except TidegateError as error:
                self.refused.append(error)
                print(f"model_refused {error}", file=sys.stderr, flush=True)

    def tools(self) -> Iterator[Tool]:
        return (offer.tool for offer in self._offers.values())

    def offer(self, name: str) -> Offer:
        """Raises: UnknownTool; ModelRefused, when it may be a tool of a model that was left out."""
        found = self._offers.get(name)
        if found is not None:
            return found
        if self.refused:
            raise self.refused[0]
        raise UnknownTool(f"Unknown tool: `{name[:128]}`")

    def _serve(self, model: Model) -> None:
        """Raises: ModelRefused."""
        if any(other.manifest.name == model.manifest.name for other in self.models):
            raise ModelRefused(f"model `{model.manifest.name}` is refused: another one of its set has this name")
        own: dict[str, Offer] = {}
        for tool in model.task.tools:
            offer = _offer(model, tool)
            name = offer.tool.name
            if name in self._offers:
                # Two models of one task: the later one's carries its name.
                name = f"{model.manifest.name}_{name}"[:_MAX_NAME]
                offer.tool = replace(offer.tool, name=name)
            if name in self._offers or name in own:
                raise ModelRefused(f"model `{model.manifest.name}` is refused: there are two tools `{name}` in its set")
            own[name] = offer
        self._offers |= own
        self.models.append(model)


def _model(entry: ModelEntry, memory_bytes: int, make: Make) -> Model:
    """Raises: ModelFailed, ConfigError."""
    try:
        manifest = read_manifest(entry.folder, entry.digest)
    except ConfigError as error:
        raise ModelRefused(str(error)) from error
    files = ModelFiles(manifest, memory_bytes)
    try:
        return Model(manifest, make(manifest, files.place), files)
    except ModelFailed:
        raise
    except Exception as error:
        raise ModelRefused(
            f"model `{manifest.name}` is refused: its task cannot be made: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def _offer(model: Model, tool: Tool) -> Offer:
    words = model.manifest.tools.get(tool.name, ToolWords())
    named = replace(
        tool,
        name=words.name or tool.name,
        title=words.title or tool.title,
        description=words.description or tool.description,
    )
    return Offer(named, tool.name, model)
