"""One daemon for all tests of verbs that only look."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Small model files are made there.
sys.path.append(str(Path(__file__).resolve().parent.parent / "models"))

from running_gateway import Running, gateway, workshop_config


@pytest.fixture(scope="session")
def workshop() -> Iterator[Running]:
    """A daemon in front of `workshop.py` alone, so names are the server's own."""
    with gateway(workshop_config()) as running:
        yield running


@pytest.fixture
def at_home(workshop: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """That daemon is the one a verb finds without being told."""
    monkeypatch.setenv("TIDEGATE_SOCKET", workshop.unix)
    monkeypatch.setenv("TIDEGATE_ADMIN", workshop.admin)
    monkeypatch.delenv("TIDEGATE_TOKEN", raising=False)
    return workshop
