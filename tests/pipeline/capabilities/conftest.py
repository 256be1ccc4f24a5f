"""Servers and clients are those of the interaction tests, the cloud that of the models' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parents[2]
for room in ("interaction", "models"):
    if str(_TESTS / room) not in sys.path:
        sys.path.append(str(_TESTS / room))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
