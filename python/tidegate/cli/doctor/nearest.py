"""How far a path that may not be there yet is there already."""

from __future__ import annotations

import os
from pathlib import Path


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that is there."""
    return next((place for place in (path, *path.absolute().parents) if os.path.lexists(place)), Path("/"))
