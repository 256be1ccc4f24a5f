"""Gateways, clients and servers come from `interaction`; asyncio is the event loop of every test here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_INTERACTION = str(Path(__file__).resolve().parent.parent / "interaction")
if _INTERACTION not in sys.path:
    sys.path.append(_INTERACTION)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
