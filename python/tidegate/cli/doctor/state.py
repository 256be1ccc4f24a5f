"""Where the gateway keeps what must outlive it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def state_directory(environ: Mapping[str, str]) -> Path:
    """`$STATE_DIRECTORY` (which the service manager sets), else `tidegate` below `$XDG_STATE_HOME`."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    home = environ.get("HOME") or str(Path.home())
    return Path(environ.get("XDG_STATE_HOME") or f"{home}/.local/state") / "tidegate"


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    return next((place for place in (path, *path.absolute().parents) if os.path.lexists(place)), Path("/"))
