"""One event loop for a file, so that its daemon is started once; clients and servers come from `interaction`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_INTERACTION = str(Path(__file__).resolve().parent.parent / "interaction")
if _INTERACTION not in sys.path:
    sys.path.append(_INTERACTION)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(*ids): what of requirements.py the test shows")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
