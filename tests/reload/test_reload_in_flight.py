"""Some of the changes of `relay_storm.py`, with some of its 10,000 calls in flight."""

from __future__ import annotations

import pytest
from relay_storm import Size, storm

pytestmark = pytest.mark.anyio
SIZE = Size(streams=4, width=40, posts=12, delay_s=(0.05, 1.6), before_s=1.2, after_s=0.3)


@pytest.mark.parametrize(("change", "era"), [("removed", "session"), ("moved", "modern"), ("revoked", "session")])
async def test_no_call_comes_through_once_a_reload_has_been_answered_and_none_is_lost(change: str, era: str) -> None:
    found = await storm(change, era, SIZE)
    assert found.wrong == []
    assert found.in_flight > 100
    assert found.relayed > 0
    assert found.after > 20
