"""Which tool a model's name stands for: that of the first glob that matches it. Failing all, a tool that models lead to
may be named itself.
"""

from __future__ import annotations

from collections.abc import Container
from fnmatch import fnmatchcase
from typing import Any, Final

from tidegate.errors import UnknownTool
from tidegate.pipeline.era.openai.parameters import BadParameter

Models = tuple[tuple[str, str], ...]
"""(glob over names that programs send, tool or capability of the catalogue), in order."""

_MOST_CHARS: Final = 256
"""Of a name; globs take time by its length."""


class UnknownModel(UnknownTool):
    """No glob matches, or the tool is not in the catalogue, or not for this caller: all look alike."""

    slug = "unknown_model"
    status = 404

    def __init__(self, model: str) -> None:
        super().__init__(f"The model `{model[:_MOST_CHARS]}` does not exist or you do not have access to it")


def model_of(values: dict[str, Any]) -> str:
    """Raises: BadParameter."""
    model = values.get("model")
    if not isinstance(model, str) or not model:
        raise BadParameter("`model` must be a string", "model")
    return model


def tool_of(models: Models, model: str) -> str:
    """Raises: UnknownModel."""
    if len(model) <= _MOST_CHARS:
        for pattern, tool in models:
            if fnmatchcase(model, pattern):
                return tool
        if any(model == tool for _, tool in models):
            return model
    raise UnknownModel(model)


def listed(models: Models, tools: Container[str]) -> list[str]:
    """Names to choose from, each of which leads to one of `tools`: those that the configuration spells out, and, where
    it has a glob for a tool, the tool's own.
    """
    found: dict[str, None] = {}
    for pattern, tool in models:
        if not any(sign in pattern for sign in "*?["):
            if leads(models, pattern, tools):
                found[pattern] = None
        elif tool in tools and leads(models, tool, (tool,)):
            found[tool] = None
    return list(found)


def leads(models: Models, name: str, tools: Container[str]) -> bool:
    try:
        return tool_of(models, name) in tools
    except UnknownModel:
        return False
