"""Trace context of a client reaches the server as it was written, whoever passes it on."""

from __future__ import annotations

import json

import pytest
from scripted_server import ScriptedServer
from watched import page, watched

pytestmark = pytest.mark.anyio

BAGGAGE = "userId=alice,serverNode=DF%2028"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def traceparent(number: int) -> str:
    return f"00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01"


@pytest.mark.parametrize(
    ("era", "way"), [("modern", "http"), ("modern", "tcp"), ("session", "http"), ("session", "tcp")]
)
async def test_it_passes_in_meta_call_by_call(era: str, way: str) -> None:
    async with watched(ScriptedServer(era)) as home:
        client = await home.client(way, era)
        for number in range(1, 6):
            meta = {"traceparent": traceparent(number), "tracestate": "a=1", "baggage": BAGGAGE}
            pending = client.tool("echo", meta=meta)
            call = await home.server.next_call("tools/call")
            got = call.params["_meta"]
            assert {key: got[key] for key in meta} == meta
            call.text("")
            await pending.reply()
        # All but the first ones were the relay's.
        assert json.loads(await page(home, "/flows"))["calls"]["relayed"] >= 3


async def test_a_head_that_differs_each_time_changes_nothing_but_who_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.http_client("modern")
        plain = client.headers
        for number in range(1, 4):
            monkeypatch.setattr(client, "headers", lambda raw, n=number: {**plain(raw), "traceparent": traceparent(n)})
            pending = client.tool("echo")
            (await home.server.next_call("tools/call")).text("hi")
            assert (await pending.reply()).text == "hi"
        assert json.loads(await page(home, "/flows"))["calls"] == {"relayed": 0, "of": 3}
