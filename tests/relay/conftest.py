"""Servers and clients are those of the interaction tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "interaction"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
