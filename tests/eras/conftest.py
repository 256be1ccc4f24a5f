"""Marks, the folders whose programs are used here, and gateways that several modules share.

`proves("ability", …)` on a test: what of `abilities.py` it shows, in the cell of its `road` or in `cell=`/`cells=`.
`shows_gap("ability", …)`: the same for what an era cannot express.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
for _folder in (_HERE, _HERE.parent / "ecosystem", _HERE.parent / "interaction"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from houses import Houses  # noqa: E402 - found by the lines above
from roads import Road, Visit, visiting  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "proves(*abilities, cell, cells): what of abilities.py the test shows to work")
    config.addinivalue_line("markers", "shows_gap(*abilities, cell, cells): what of abilities.py cannot work, and how")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    """Daemons in front of one server each, started when first asked for."""
    with ExitStack() as stack:
        yield Houses(stack, tmp_path_factory.mktemp)


@pytest.fixture(scope="module")
async def _visit(request: pytest.FixtureRequest, houses: Houses, anyio_backend: str) -> AsyncIterator[Visit]:
    road: Road = request.param
    async with visiting(road, houses.open(road.server, road.way_out)) as visit:
        yield visit


@pytest.fixture
def visit(_visit: Visit) -> Visit:
    """A client on its road, shared by the tests of a module; what was said before is forgotten."""
    _visit.person.forget()
    return _visit
