"""What is remembered of clients' `_meta`: clients write it, so it is bounded, whatever they write."""

from __future__ import annotations

import tracemalloc

import pytest

from tidegate.pipeline.codec import scan
from tidegate.pipeline.era.modern import ClientViews
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.principal import Principal

MIB = 1 << 20
ANYBODY = Principal("anybody", None, rate_per_s=0.0, burst=1)


def read(views: ClientViews, filling: str, token: int = 0) -> ClientView:
    """The view of a client that writes `filling` into its `_meta`."""
    message = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{'
        '"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        '"io.modelcontextprotocol/clientCapabilities":{},'
        f'"progressToken":{token},"vendor/filling":"{filling}"}}}}}}'
    ).encode()
    return views.read(message, scan(message), ANYBODY)


def test_a_client_that_repeats_itself_is_read_once_whatever_its_progress_token() -> None:
    views = ClientViews()
    assert read(views, "same", token=1) is read(views, "same", token=2)
    assert read(views, "same") is not read(views, "other")


def test_a_long_meta_is_read_each_time_and_not_remembered() -> None:
    views = ClientViews()
    known = read(views, "short")
    assert read(views, "x" * 5000) is not read(views, "x" * 5000)
    assert read(views, "short") is known


@pytest.mark.parametrize(("count", "filling_bytes"), [(600, 100_000), (1500, 3500)])
def test_many_clients_cannot_fill_the_memory(count: int, filling_bytes: int) -> None:
    views = ClientViews()
    tracemalloc.start()
    try:
        for number in range(count):
            read(views, str(number).ljust(filling_bytes, "x"))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * MIB, f"{held} bytes are held for {count} clients"
