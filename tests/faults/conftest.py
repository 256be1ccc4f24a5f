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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out faults that an era cannot have: a row of a table says which ones can, as its `eras`."""
    items[:] = [item for item in items if _possible(getattr(getattr(item, "callspec", None), "params", {}))]


def _possible(params: dict[str, object]) -> bool:
    era = params.get("house", params.get("street"))
    return all(era in row.eras for row in params.values() if hasattr(row, "eras"))
