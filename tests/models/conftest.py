"""Gateways, clients and servers come from `interaction`, daemons that are processes from `reload`; asyncio is the event
loop of every test here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

for _room in ("interaction", "reload"):
    _folder = str(Path(__file__).resolve().parent.parent / _room)
    if _folder not in sys.path:
        sys.path.append(_folder)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
