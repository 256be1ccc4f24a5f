"""Some of the 200 reloads of `reload_storm.py`, under some of its 64 clients' calls."""

from __future__ import annotations

import pytest
from reload_storm import run

pytestmark = pytest.mark.anyio


async def test_calls_to_untouched_backends_do_not_notice_reloads() -> None:
    found = await run(reloads=4, clients=12)
    assert found.failed == []
    assert found.wrong == []
    assert found.calls > 50
    assert (found.left["retiring"], found.left["generation"]) == (0, 5)
