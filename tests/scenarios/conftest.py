"""The programs of the demonstrations are found by name, and so are the shapes of the revisions."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
for _folder in (
    _HERE / "eras",
    _HERE.parent / "era",
    _HERE / "actuator",
    _HERE / "fallback",
    _HERE.parent / "ecosystem",
    _HERE.parent / "interaction",
    _HERE.parent / "models",
):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from cells import anyio_backend, cell, cells, joint  # noqa: E402, F401 - found by the lines above; fixtures
