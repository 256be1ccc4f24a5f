"""The `requirement` mark, and asyncio as the event loop of every test here."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(*ids): what of requirements.py the test shows")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
