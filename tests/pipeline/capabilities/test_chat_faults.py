"""A chat on the box with a cloud behind it that goes wrong in every way: slow, broken, garbage, cut off, gone, back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import fake_cloud
import pytest
from clients import Client, Pending
from fake_cloud import KEY, FakeCloud, Fault
from gateway import House, house
from heard import Json, until
from scripted_server import Received, ScriptedServer, tool
from served import DATA_CLASS, served_by

from tidegate.config.model_workers import capabilities_backend
from tidegate.config.snapshot import Backend, Capability, Secret

pytestmark = pytest.mark.anyio

eras = pytest.mark.parametrize("client_era", ["modern", "session"])
CHAT: Json = {"messages": [{"role": "user", "content": "hello SECRET"}]}
CLOUD = "The cloud heard: hello SECRET"


@dataclass
class Chat:
    """What a test has at hand."""

    house: House
    here: ScriptedServer
    cloud: FakeCloud
    client: Client

    def begin(self, meta: Json = None) -> Pending:
        return self.client.tool("chat", CHAT, meta=meta)

    async def local(self, confidence: float = 1.0, text: str = "local") -> None:
        """The local one answers the call that comes next."""
        answer(await self.here.next_call("tools/call"), text, confidence)

    async def fails_here(self) -> None:
        (await self.here.next_call("tools/call")).fail(-32603, "no model", {"reason": "model_missing"})


def answer(asked: Received, text: str, confidence: float = 1.0) -> None:
    structured = {"role": "assistant", "content": text, "model": "small", "confidence": confidence}
    asked.reply(
        asked.channel.server.complete({"content": [{"type": "text", "text": text}], "structuredContent": structured})
    )


def content(reply: Json) -> str:
    return str(reply.result["structuredContent"]["content"])


@asynccontextmanager
async def chatting(era: str = "modern", **fields: Json) -> AsyncIterator[Chat]:
    here = ScriptedServer("modern", "here", tools=(tool("chat", outputSchema={"type": "object"}),))
    async with fake_cloud.fake_cloud() as cloud:
        backend = Backend(
            "cloud",
            transport="openai",
            url=cloud.url,
            headers=(("Authorization", Secret(f"Bearer {KEY}")),),
            chat_model="big",
            remote=True,
        )
        chat = Capability(
            **{
                "name": "chat",
                "order": ("here__chat", "cloud__chat"),
                "min_confidence": 0.5,
                "busy_ms": 10_000,
                **fields,
            }
        )
        async with house(here, backends=(backend, capabilities_backend([chat]))) as home:
            yield Chat(home, here, cloud, await home.client("tcp", era))


@eras
@pytest.mark.parametrize("token", [None, "mine"], ids=["whole", "streamed"])
async def test_the_cloud_answers_for_a_model_that_is_missing(client_era: str, token: str | None) -> None:
    async with chatting(client_era) as now:
        pending = now.begin({"progressToken": token} if token else None)
        await now.fails_here()
        reply = await pending.reply()
        assert content(reply) == CLOUD
        served = served_by(reply)
        assert (served["backend"], served["where"], served["why"]) == ("cloud", "cloud", "missing")
        said = [one["params"] for one in now.client.notices if one["method"] == "notifications/progress"]
        assert "".join(one.get("message", "") for one in said) == (CLOUD if token else "")
        assert all(one["progressToken"] == token for one in said)


@eras
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (fake_cloud.broken, "upstream_protocol"),
        (fake_cloud.busy(), "upstream_busy"),
        (fake_cloud.garbage, "upstream_protocol"),
        (fake_cloud.wrong_shape, "upstream_protocol"),
        (fake_cloud.cut_body, "upstream_closed"),
        (fake_cloud.dropped, "upstream_closed"),
    ],
    ids=["500", "429", "garbage", "shape", "cut", "dropped"],
)
async def test_an_unsure_answer_of_the_box_stands_when_the_cloud_fails(
    client_era: str, fault: Fault, outcome: str
) -> None:
    async with chatting(client_era) as now:
        now.cloud.fault = fault
        pending = now.begin()
        await now.local(0.2)
        reply = await pending.reply()
        assert content(reply) == "local"
        served = served_by(reply)
        assert (served["where"], served["why"]) == ("local", "preferred")
        assert served["attempts"][1]["outcome"] == outcome, served
        now.house.daemon.gateway.capabilities._recent.forget()
        now.cloud.fault = None
        pending = now.begin()
        await now.local(0.2)
        assert content(await pending.reply()) == CLOUD


async def test_a_slow_cloud_is_waited_for_as_long_as_configured() -> None:
    async with chatting(attempt_timeout_s=0.1) as now:
        now.cloud.fault = fake_cloud.held
        pending = now.begin()
        await now.local(0.2)
        asked = await now.cloud.request(0)
        reply = await pending.reply()
        assert content(reply) == "local"
        assert served_by(reply)["attempts"][1]["outcome"] == "timeout"
        await asked.gone.wait()
        # Not for every call: it is left alone for a moment.
        pending = now.begin()
        await now.local(0.2)
        assert content(await pending.reply()) == "local"
        assert len(now.cloud.asked) == 1


@eras
@pytest.mark.parametrize("reset", [False, True])
async def test_a_stream_that_is_cut_is_an_error_when_the_client_has_its_beginning(client_era: str, reset: bool) -> None:
    async with chatting(client_era) as now:
        now.cloud.fault = fake_cloud.cut_stream(2, reset=reset)
        pending = now.begin({"progressToken": 1})
        await now.fails_here()
        error = (await pending.reply()).error
        assert error["data"]["reason"] == "answer_cut"
        assert [one["outcome"] for one in error["data"]["attempts"]] == ["model_missing", "upstream_closed"]


async def test_when_the_link_is_cut_calls_stay_on_the_box_and_when_it_is_back_they_go_there_again() -> None:
    async with chatting(order=("cloud__chat", "here__chat")) as now:
        assert content(await now.begin().reply()) == CLOUD
        await now.cloud.go()
        pending = now.begin()
        await now.local()
        reply = await pending.reply()
        assert (content(reply), served_by(reply)["why"]) == ("local", "link_down")
        assert [one["tool"] for one in served_by(reply)["attempts"]] == ["cloud__chat", "here__chat"]
        pending = now.begin()
        await now.local()
        reply = await pending.reply()
        assert (served_by(reply)["why"], len(served_by(reply)["attempts"])) == ("link_down", 1)
        await now.cloud.come()
        for trouble in now.house.daemon.gateway.capabilities._recent._backends.values():
            trouble.until_s = 0.0  # the time is up
        reply = await now.begin().reply()
        assert (content(reply), served_by(reply)["where"]) == (CLOUD, "cloud")


async def test_when_it_may_be_back_one_call_finds_out_and_others_do_not_wait_for_that() -> None:
    async with chatting(order=("cloud__chat", "here__chat")) as now:
        now.cloud.fault = fake_cloud.dropped
        pending = now.begin()
        await now.local()
        assert served_by(await pending.reply())["why"] == "link_down"
        for trouble in now.house.daemon.gateway.capabilities._recent._backends.values():
            trouble.until_s = 0.0
        now.cloud.fault = fake_cloud.held
        asked = len(now.cloud.asked)
        first = now.begin()
        await now.cloud.request(asked)
        for _ in range(3):
            pending = now.begin()
            await now.local()
            assert served_by(await pending.reply())["why"] == "link_down"
        assert len(now.cloud.asked) == asked + 1
        now.cloud.fault = None
        now.cloud.release()
        assert content(await first.reply()) == CLOUD
        assert content(await now.begin().reply()) == CLOUD


@eras
async def test_nothing_that_must_stay_ever_reaches_the_cloud(client_era: str) -> None:
    async with chatting(client_era, stay=("patient",), min_confidence=0.9, attempt_timeout_s=0.2, busy_ms=20) as now:
        label = {DATA_CLASS: "patient"}
        pending = now.begin(label)
        await now.local(0.1)
        assert content(await pending.reply()) == "local"
        pending = now.begin(label)
        await now.fails_here()
        assert (await pending.reply()).error["data"]["reason"] == "capability_failed"
        pending = now.begin(label)
        await now.here.next_call("tools/call")
        assert (await pending.reply()).error["data"]["reason"] == "capability_failed"
        now.here.close()
        await until(lambda: now.house.daemon.gateway.services[0].slots["stateless"].error is not None)
        assert (await now.begin(label).reply()).error["data"]["reason"] in ("capability_failed", "must_stay")
        assert now.cloud.asked == []
        # The same call of another class goes there.
        assert content(await now.begin().reply()) == CLOUD
