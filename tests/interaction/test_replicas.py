"""Several of one server behind one name, end to end: who gets what, and what happens when one of them is lost."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from clients import Client
from gateway import House, house
from heard import Json
from scripted_server import Received, ScriptedServer

from tidegate.config.snapshot import Backend

pytestmark = pytest.mark.anyio


class Answering(ScriptedServer):
    """Answers calls by itself, with its own name, unless it is told to wait."""

    waits = False

    def serve(self, received: Received) -> None:
        if received.method == "tools/call" and not self.waits:
            received.text(self.label)
        else:
            super().serve(received)

    def __init__(self, era: str, label: str) -> None:
        super().__init__(era, "pair")
        self.label = label

    @property
    def called(self) -> int:
        return len({id(item) for item in self.said("tools/call")})


@asynccontextmanager
async def replicated(*servers: ScriptedServer, transport: str = "http", **fields: Json) -> AsyncIterator[House]:
    """A gateway with one backend, whose replicas are `servers`."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        reached = []
        for number, server in enumerate(servers):
            folder = Path(name) / str(number)
            folder.mkdir()
            reached.append(await server.listen(transport, folder))
        try:
            async with house(backends=[joined(reached, **fields)]) as home:
                yield home
        finally:
            for server in servers:
                server.close()


def joined(reached: Sequence[Backend], **fields: Json) -> Backend:
    endpoints = tuple(one.url or one.address for one in reached)
    return replace(reached[0], replicas=len(reached), endpoints=endpoints, **fields)


def slots(home: House) -> list[Json]:
    return list(home.daemon.statistics()["backends"][0]["slots"])  # type: ignore[index]


async def all_open(home: House, client: Client, number: int) -> None:
    """A request behind another shows what came of that."""
    await client.names()
    while sum(slot["state"] == "ready" for slot in slots(home)) < number:
        await client.call("tools/list")


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_calls_one_after_the_other_are_spread_evenly(era: str) -> None:
    one, two = Answering("modern", "one"), Answering("modern", "two")
    async with replicated(one, two) as home:
        client = await home.client("http", era)
        await all_open(home, client, 2)
        for _ in range(10):
            await client.tool("echo").reply()
        assert (one.called, two.called) == (5, 5)


async def test_the_one_with_fewest_in_flight_gets_the_next_call() -> None:
    one, two = Answering("modern", "one"), Answering("modern", "two")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client, 2)
        one.waits = True
        held = []
        while not one.calls.items:
            held.append(client.tool("echo"))
            await client.call("tools/list")
        before = two.called
        assert {(await client.tool("echo").reply()).text for _ in range(6)} == {"two"}
        assert two.called == before + 6
        (await one.next_call("tools/call")).text("one")
