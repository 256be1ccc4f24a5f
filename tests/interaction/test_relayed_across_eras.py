"""Calls from one era to the other that the relay repeats: the same bytes, the same ends as when they were decided."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from clients import Client, Pending, Reply
from gateway import House, house
from heard import Json, within
from scripted_server import Received, ScriptedServer, dump

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("relay_mode", ["on"], indirect=True)]

INTO_SESSIONS = [("modern", way_in, way_out) for way_in in ("tcp", "http") for way_out in ("stdio", "http", "tcp")]
INTO_STATELESS = [("session", way_in, way_out) for way_in in ("tcp", "http") for way_out in ("stdio", "http")]
ROADS = INTO_SESSIONS + INTO_STATELESS
OTHER = {"modern": "session", "session": "modern"}
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
ACCEPT: Json = {"action": "accept", "content": {"name": "Ada"}}
ASKS: Json = {
    "resultType": "input_required",
    "inputRequests": {"who": {"method": "elicitation/create", "params": FORM}},
    "requestState": "s1",
}
SERVER_INFO = {"io.modelcontextprotocol/serverInfo": {"name": "one", "version": "1"}}
REQUESTS: list[tuple[str, Json, Json, Json]] = [
    ("tools/call", {"name": "echo", "arguments": {"a": 1.50}}, {"content": [{"type": "text", "text": "é"}]}, {}),
    ("tools/call", {"name": "echo"}, {"structuredContent": {"a": [1]}, "content": []}, {"isError": True}),
    ("tools/call", {"arguments": {"text": "a\n_meta"}, "name": "echo"}, {"content": [], "_meta": SERVER_INFO}, {}),
    ("prompts/get", {"name": "greet"}, {"messages": [], "_meta": SERVER_INFO | {"own": 1}}, {}),
    ("resources/read", {"uri": "test://one/a"}, {"contents": []}, {"ttlMs": 5, "cacheScope": "public"}),
]


class Road:
    """A client, and a server of the other era."""

    def __init__(self, home: House, client: Client) -> None:
        self.home = home
        self.client = client

    @property
    def relayed(self) -> int:
        return int(self.home.daemon.gateway.relay.native.relayed)

    def handed_over(self, why: str) -> int:
        return int(self.home.daemon.gateway.relay.native.statistics()["handed_over"][why])

    async def ask(self, method: str = "tools/call", params: Json = None, meta: Json = None) -> tuple[Pending, Received]:
        pending = self.client.begin(method, params or {"name": "echo", "arguments": {}}, meta=meta)
        return pending, await self.home.server.next_call(method)

    async def whole(self, method: str, params: Json, answer: bytes, meta: Json = None) -> tuple[Received, Reply]:
        pending, call = await self.ask(method, params, meta)
        call.reply(answer)
        return call, await pending.reply()

    async def text(self, text: str = "ok", meta: Json = None) -> Reply:
        pending, call = await self.ask(meta=meta)
        call.text(text)
        return await pending.reply()


@asynccontextmanager
async def road(era: str, way_in: str, way_out: str, **more: Json) -> AsyncIterator[Road]:
    async with house(ScriptedServer(OTHER[era]), transport=way_out) as home:
        way = Road(home, await home.client(way_in, era, **more))
        # Before the server is there, nothing is decided at once.
        await way.text()
        yield way


def without_id(raw: bytes) -> bytes:
    return re.sub(rb'"id":\d+', b'"id":0', raw, count=1)


@pytest.mark.parametrize(("era", "way_in", "way_out"), ROADS)
async def test_the_same_bytes_the_second_time(era: str, way_in: str, way_out: str) -> None:
    async with road(era, way_in, way_out) as way:
        for method, params, answer, more in REQUESTS:
            for meta in (None, {"own": [1, "x"]}):
                said = dump(way.home.server.complete(answer | more))
                first = await way.whole(method, params, said, meta)
                before = way.relayed
                again = await way.whole(method, params, said, meta)
                assert way.relayed == before + 1
                assert without_id(again[0].raw) == without_id(first[0].raw)
                assert without_id(again[1].raw) == without_id(first[1].raw)
                sizes = {"content-length"}
                assert {**again[0].headers, **dict.fromkeys(sizes)} == {**first[0].headers, **dict.fromkeys(sizes)}


@pytest.mark.parametrize(("era", "way_in", "way_out"), INTO_STATELESS)
async def test_a_relayed_call_whose_server_needs_input(era: str, way_in: str, way_out: str) -> None:
    async with road(era, way_in, way_out, capabilities={"elicitation": {}}) as way:
        await way.text()
        before = way.handed_over("server")
        pending, call = await way.ask()
        call.reply(ASKS)
        question = await way.client.questions.wait(lambda question: True)
        assert way.handed_over("server") == before + 1
        assert question["params"]["message"] == "Name?"
        way.client.answer(question, ACCEPT)
        retry = await way.home.server.next_call()
        assert retry.params["inputResponses"] == {"who": ACCEPT}
        assert retry.params["requestState"] == "s1"
        retry.text("Hello Ada")
        assert (await pending.reply()).text == "Hello Ada"


@pytest.mark.parametrize("way_in", ["tcp", "http"])
async def test_a_relayed_call_that_asks_waits_for_its_client(way_in: str) -> None:
    # Over HTTP a server says for which call it asks, so that several may share a connection.
    async with road("modern", way_in, "http", capabilities={"elicitation": {}}) as way:
        await way.text()
        before = way.handed_over("server")
        pending, call = await way.ask()
        answer = call.ask("elicitation/create", FORM)
        asked = (await pending.reply()).result
        assert way.handed_over("server") == before + 1
        assert asked["resultType"] == "input_required"
        responses = dict.fromkeys(asked["inputRequests"], ACCEPT)
        params = {"name": "echo", "arguments": {}, "inputResponses": responses, "requestState": asked["requestState"]}
        retry = way.client.begin("tools/call", params)
        assert (await within(answer))["result"] == ACCEPT
        call.text("Hello Ada")
        assert (await retry.reply()).text == "Hello Ada"


@pytest.mark.parametrize(("era", "way_in", "way_out"), INTO_SESSIONS)
async def test_a_relayed_call_whose_server_asks_what_nobody_declared(era: str, way_in: str, way_out: str) -> None:
    async with road(era, way_in, way_out) as way:
        said = []
        for _ in range(2):
            pending, call = await way.ask()
            answer = await within(call.ask("elicitation/create", FORM))
            call.fail(-32603, "cannot go on")
            said.append((answer["error"], (await pending.reply()).error))
            await way.text()
        assert way.relayed
        assert said[0] == said[1]
        assert said[0][1]["data"] == {"requiredCapabilities": {"elicitation": {"form": {}}}}


@pytest.mark.parametrize(("era", "way_in", "way_out"), INTO_SESSIONS)
async def test_what_a_server_logs_during_a_relayed_call(era: str, way_in: str, way_out: str) -> None:
    async with road(era, way_in, way_out) as way:
        meta = {"io.modelcontextprotocol/logLevel": "info"}
        for _ in range(2):
            await way.text(meta=meta)
        before = way.handed_over("server")
        pending, call = await way.ask(meta=meta)
        for level in ("debug", "error"):
            call.notify("notifications/message", {"level": level, "data": "late"})
        call.text("ok")
        await pending.reply()
        assert [notice["params"]["level"] for notice in way.client.notices] == ["error"]
        assert way.handed_over("server") == before + 1


@pytest.mark.parametrize("way_out", ["http"])
async def test_what_is_said_beside_a_relayed_call_is_told_to_its_client(way_out: str) -> None:
    async with road("modern", "tcp", way_out) as way:
        meta = {"io.modelcontextprotocol/logLevel": "info"}
        for _ in range(2):
            await way.text(meta=meta)
        pending, call = await way.ask(meta=meta)
        call.channel.notify("notifications/message", {"level": "error", "data": "on the session's own stream"})
        await way.client.notices.wait(lambda notice: notice["params"]["level"] == "error")
        call.text("ok")
        await pending.reply()


@pytest.mark.parametrize(("era", "way_in", "way_out"), INTO_SESSIONS[:1])
async def test_answers_to_questions_are_never_relayed(era: str, way_in: str, way_out: str) -> None:
    async with road(era, way_in, way_out) as way:
        await way.text()
        before = way.relayed
        params = {"name": "echo", "arguments": {}, "inputResponses": {"q1": ACCEPT}}
        pending, call = await way.ask(params=params)
        assert "inputResponses" not in call.params
        call.text("ok")
        await pending.reply()
        assert way.relayed == before


@pytest.mark.parametrize(("era", "way_in", "way_out"), INTO_STATELESS)
async def test_another_log_level_is_told_with_the_next_call(era: str, way_in: str, way_out: str) -> None:
    async with road(era, way_in, way_out) as way:
        await way.text()
        before = way.relayed
        for level in ("error", "debug"):
            await way.client.call("logging/setLevel", {"level": level})
            for _ in range(2):
                pending, call = await way.ask()
                assert call.params["_meta"]["io.modelcontextprotocol/logLevel"] == level
                call.text("ok")
                await pending.reply()
        assert way.relayed == before + 2


@pytest.mark.parametrize("way_in", ["tcp", "http"])
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-03-26", "2024-11-05"])
async def test_structured_output_for_older_revisions(way_in: str, revision: str) -> None:
    async with house(ScriptedServer("session")) as home:
        way = Road(home, await home.client(way_in, "session", revision=revision))
        await way.text()
        said = dump({"content": [{"type": "text", "text": "1"}], "structuredContent": {"icons": 1}})
        await way.text()
        before = way.relayed
        first = await way.whole("tools/call", {"name": "echo"}, said)
        again = await way.whole("tools/call", {"name": "echo"}, said)
        assert without_id(again[1].raw) == without_id(first[1].raw)
        assert ("structuredContent" in json.loads(first[1].raw)["result"]) == (revision == "2025-06-18")
        assert way.relayed - before == (2 if revision == "2025-06-18" else 0)
