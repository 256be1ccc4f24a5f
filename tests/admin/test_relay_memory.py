"""What the relay remembers is bounded, and what is of no use any more is let go."""

from __future__ import annotations

import gc
import json

import pytest
from gateway import House
from scripted_server import ScriptedServer
from watched import ask, page, watched

from tidegate.pipeline.relay.decision import Decision

pytestmark = pytest.mark.anyio

ECHO = {"name": "echo", "arguments": {}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def counts(home: House) -> tuple[int, int, int]:
    """Flows, decisions that were told, how often all were forgotten."""
    found = json.loads(await page(home, "/flows"))
    return found["flows"], found["installed_total"], found["voided_total"]


async def test_decisions_about_clients_that_left_are_let_go() -> None:
    async with watched(ScriptedServer("session")) as home:
        lane = home.daemon.gateway.relay
        many = 150
        for _ in range(many):
            client = await home.client("tcp", "session")
            for _ in range(2):
                await ask(home, client, "tools/call", ECHO, {"content": []})
            client.close()
            # As happens each second: until then, counts belong to somebody.
            home.daemon.catch_up()
        assert (await counts(home))[1] >= many
        gc.collect()
        held = [thing for thing in gc.get_objects() if type(thing) is Decision and thing._lane is lane]
        assert len(held) < 100


async def test_a_client_whose_head_is_never_the_same_does_not_push_out_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with watched(ScriptedServer("modern")) as home:
        steady = await home.client("tcp", "modern")
        for _ in range(2):
            await ask(home, steady, "tools/call", ECHO, {"content": []})
        client = await home.http_client("modern")
        plain = client.headers

        async def call(trace: int) -> None:
            monkeypatch.setattr(client, "headers", lambda raw: {**plain(raw), "traceparent": f"00-{trace:032x}-01"})
            await ask(home, client, "tools/call", ECHO, {"content": []})

        for trace in range(400):
            await call(trace)
        flows, told, voided = await counts(home)
        assert flows == told < 300
        assert voided == 0
        # One that comes again is remembered all the same.
        await call(1000)
        await call(1000)
        assert await counts(home) == (flows + 1, told + 1, 0)
        before = json.loads(await page(home, "/flows"))["calls"]["relayed"]
        await call(1000)
        await ask(home, steady, "tools/call", ECHO, {"content": []})
        assert json.loads(await page(home, "/flows"))["calls"]["relayed"] == before + 2
