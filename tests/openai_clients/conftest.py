"""One gateway for most of the tests; what it is made of is in `process`, too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROCESS = str(Path(__file__).resolve().parent.parent / "process")
if _PROCESS not in sys.path:
    sys.path.append(_PROCESS)

from openai_house import MODELS, House, house  # noqa: E402


@pytest.fixture(scope="session")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Nobody needs a token."""
    with house(tmp_path_factory.mktemp("open"), MODELS) as running:
        yield running
