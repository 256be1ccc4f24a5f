"""One event loop for a whole file, so that its daemon is started once; raw clients come from `interaction`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_INTERACTION = str(Path(__file__).resolve().parent.parent / "interaction")
if _INTERACTION not in sys.path:
    sys.path.append(_INTERACTION)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
