"""The plugins that come with tidegate: `tidegate/plugins/NAME.wasm`, built with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parent.parent / "plugins"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def shipped_names() -> tuple[str, ...]:
    """In alphabetical order; none in a tree where they were not built."""
    return tuple(sorted(path.stem for path in DIRECTORY.glob("*.wasm")))


def may_be_shipped(name: str) -> bool:
    """Whether one could have this name, in this build or another."""
    return _NAME.fullmatch(name) is not None


def shipped_file(name: str) -> Path | None:
    """The file of one, or None where there is none of that name."""
    path = DIRECTORY / f"{name}.wasm"
    return path if may_be_shipped(name) and path.is_file() else None
