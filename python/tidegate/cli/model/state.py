"""What can be said of a configured model without loading it: whether its worker would take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tidegate.cli.model.configured import Configured
from tidegate.cli.model.opened import Opened, open_model
from tidegate.cli.refused import Refused
from tidegate.config.shipped_models import MANIFEST, not_shipped
from tidegate.errors import ModelFailed, ModelMissing
from tidegate.models.files import FileChanged

Trouble = Literal["", "unknown", "gone", "package", "pin", "file", "broken"]


@dataclass(frozen=True, slots=True)
class State:
    """Of one model."""

    words: str
    """For a column of a table."""
    trouble: Trouble = ""
    """What kind of thing is wrong. `pin`: model.toml is not what the configuration says; `file`: a file is not what
    model.toml says."""
    opened: Opened | None = None
    missing: tuple[str, ...] = ()
    """Packages."""
    places: Mapping[str, Path] = field(default_factory=dict)
    """Of its files, by role; only where they were looked at and are right."""

    @property
    def usable(self) -> bool:
        """The worker would load it."""
        return not self.trouble


def state_of(configured: Configured, *, thorough: bool) -> State:
    """`thorough`: every byte of its files is read and hashed, which takes seconds for large ones."""
    model, folder = configured.model, configured.folder
    if folder is None:
        return State(not_shipped(model.path), "unknown")
    if not (folder / MANIFEST).exists():
        return State(f"{MANIFEST} is missing", "gone")
    try:
        opened = open_model(folder, model.path if model.shipped else "")
    except Refused as refused:
        return State(f"broken: {refused}", "broken")
    if model.digest and opened.manifest.digest != model.digest:
        return State("another manifest than was pinned", "pin", opened)
    return opened_state(opened, thorough=thorough)


def opened_state(opened: Opened, *, thorough: bool) -> State:
    if missing := opened.missing():
        return State(f"needs {', '.join(missing)}", "package", opened, missing)
    if not thorough:
        gone = [
            one.path for one in opened.manifest.files if not one.package and not (opened.folder / one.path).exists()
        ]
        return State(f"{gone[0]} is missing", "gone", opened) if gone else State("ready", opened=opened)
    try:
        places = opened.check_files()
    except ModelMissing as error:
        return State(str(error), "gone", opened)
    except FileChanged as error:
        return State(str(error), "file", opened)
    except ModelFailed as error:
        return State(str(error), "broken", opened)
    return State("ready", opened=opened, places=places)
