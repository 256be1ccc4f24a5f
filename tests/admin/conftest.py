"""Clients and servers come from `interaction`."""

from __future__ import annotations

import sys
from pathlib import Path

_INTERACTION = str(Path(__file__).resolve().parent.parent / "interaction")
if _INTERACTION not in sys.path:
    sys.path.append(_INTERACTION)
