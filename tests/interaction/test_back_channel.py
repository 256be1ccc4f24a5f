"""What servers ask and tell: to the client whose request caused it, and only what it declared."""

from __future__ import annotations

import asyncio

import pytest
from gateway import CLIENTS, SOME_ROADS, house
from heard import Json, within
from scripted_server import ScriptedServer

from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio

SESSION_ROADS = [(way_in, way_out) for era, way_in, way_out in SOME_ROADS if era == "session"]
session_roads = pytest.mark.parametrize(("way_in", "way_out"), SESSION_ROADS)

ASKED = {
    "sampling/createMessage": ({"sampling": {}}, {"messages": [], "maxTokens": 1}),
    "elicitation/create": ({"elicitation": {"form": {}, "url": {}}}, {"message": "?", "requestedSchema": {}}),
    "roots/list": ({"roots": {"listChanged": True}}, {}),
}
URL = {"mode": "url", "message": "?", "url": "https://example.com", "elicitationId": "e1"}


@pytest.mark.requirement(
    "back-channel.sampling", "back-channel.elicitation", "back-channel.roots", "back-channel.own-session"
)
@session_roads
@pytest.mark.parametrize("method", list(ASKED))
async def test_a_question_goes_to_the_client_whose_call_caused_it(way_in: str, way_out: str, method: str) -> None:
    capabilities, params = ASKED[method]
    async with house(ScriptedServer("session"), transport=way_out) as home:
        server = home.server
        one = await home.client(way_in, "session", capabilities=capabilities)
        two = await home.client(way_in, "session", capabilities=capabilities)
        first = one.tool("echo", {"who": "one"})
        call_one = await server.next_call()
        second = two.tool("echo", {"who": "two"})
        call_two = await server.next_call()
        assert call_one.channel is not call_two.channel
        assert call_one.channel.capabilities == capabilities
        answer_two = call_two.ask(method, {**params, "who": "two"})
        answer_one = call_one.ask(method, {**params, "who": "one"})
        for client, who in ((one, "one"), (two, "two")):
            question = await client.questions.wait(lambda item: True)
            assert question["method"] == method
            assert question["params"]["who"] == who
            client.answer(question, {"from": who, "x": [1.5]})
        assert (await within(answer_one))["result"] == {"from": "one", "x": [1.5]}
        assert (await within(answer_two))["result"] == {"from": "two", "x": [1.5]}
        call_one.text("1")
        call_two.text("2")
        assert (await first.reply()).text == "1"
        assert (await second.reply()).text == "2"
        assert len(one.questions) == len(two.questions) == 1


@pytest.mark.requirement("back-channel.patience")
@session_roads
async def test_a_call_waits_for_the_person_who_is_asked_and_then_its_deadline_holds_again(
    way_in: str, way_out: str
) -> None:
    server = ScriptedServer("session")
    async with house(server, transport=way_out, fields=[{"call_timeout_s": 0.3}]) as home:
        client = await home.client(way_in, "session", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await server.next_call()
        answers = [call.ask("elicitation/create", {"message": "?", "requestedSchema": {}}) for _ in range(2)]
        for number in range(2):
            question = await client.questions.wait(lambda item: True, skip=number)
            # Longer than any deadline of the call: nothing but time can show it.
            await asyncio.sleep(0.5)
            client.answer(question, {"action": "decline"})
        for answer in answers:
            await within(answer)
        assert "within 0.3 s" in (await pending.reply()).error["message"]


@pytest.mark.requirement("back-channel.patience")
@pytest.mark.parametrize("taken_back", [False, True])
async def test_a_person_who_never_answers_or_need_not_does_not_keep_a_call_for_ever(taken_back: bool) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=60.0 if taken_back else 0.5)
    server = ScriptedServer("session")
    async with house(server, transport="tcp", limits=limits, fields=[{"call_timeout_s": 0.3}]) as home:
        client = await home.client("tcp", "session", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await server.next_call()
        call.ask("elicitation/create", {"message": "?", "requestedSchema": {}})
        await client.questions.wait(lambda item: True)
        if taken_back:
            call.channel.notify("notifications/cancelled", {"requestId": "ask-1"})
        assert "did not answer" in (await pending.reply()).error["message"]


@pytest.mark.requirement("back-channel.elicitation-url")
@session_roads
async def test_an_elicitation_by_url_and_its_end_arrive(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities={"elicitation": {"url": {}}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        answer = call.ask("elicitation/create", URL)
        question = await client.questions.wait(lambda item: True)
        assert question["params"] == URL
        client.answer(question, {"action": "accept"})
        assert (await within(answer))["result"] == {"action": "accept"}
        call.notify("notifications/elicitation/complete", {"elicitationId": "e1"})
        await client.notices.wait(lambda item: item["method"] == "notifications/elicitation/complete")
        call.text("done")
        await pending.reply()


@pytest.mark.requirement("back-channel.undeclared-refused")
@session_roads
async def test_what_a_client_did_not_declare_is_not_asked_of_it(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities={"roots": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        refused = await within(call.ask("sampling/createMessage", {"messages": [], "maxTokens": 1}))
        assert refused["error"]["code"] == -32601
        call.text("done")
        await pending.reply()
        assert len(client.questions) == 0


@pytest.mark.requirement("back-channel.shared-declares-nothing")
@pytest.mark.parametrize("way_in", CLIENTS["session"])
async def test_clients_without_abilities_share_one_session_that_declares_none(way_in: str) -> None:
    async with house(ScriptedServer("session")) as home:
        for _ in range(3):
            client = await home.client(way_in, "session")
            pending = client.tool("echo")
            (await home.server.next_call()).text("x")
            await pending.reply()
        greetings = home.server.said("initialize")
        assert [item.params["capabilities"] for item in greetings] == [{}]


@pytest.mark.requirement("back-channel.ping", "back-channel.roots-changed")
@session_roads
async def test_pings_are_answered_and_changed_roots_are_told_to_the_clients_own_session(
    way_in: str, way_out: str
) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        server = home.server
        one = await home.client(way_in, "session", capabilities={"roots": {"listChanged": True}})
        two = await home.client(way_in, "session", capabilities={"roots": {"listChanged": True}})
        channels = []
        for client in (one, two):
            pending = client.tool("echo")
            call = await server.next_call()
            channels.append(call.channel)
            assert (await within(call.ask("ping", {})))["result"] == {}
            call.text("x")
            await pending.reply()
        two.notify("notifications/roots/list_changed")
        told = await server.wait_heard("notifications/roots/list_changed")
        assert told.channel is channels[1]
        await one.call("tools/list")
        assert len(server.said("notifications/roots/list_changed")) == 1


@pytest.mark.requirement("logging.session-level", "logging.only-its-caller")
@session_roads
async def test_log_lines_reach_the_caller_from_its_own_level_up(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        server = home.server
        one, two = await home.client(way_in, "session"), await home.client(way_in, "session")
        assert (await one.call("logging/setLevel", {"level": "warning"})).result == {}
        assert (await server.wait_heard("logging/setLevel")).params["level"] == "warning"
        await two.call("logging/setLevel", {"level": "debug"})
        await server.heard.wait(lambda item: item.method == "logging/setLevel" and item.params["level"] == "debug")
        pending = one.tool("echo")
        call = await server.next_call()
        call.notify("notifications/message", {"level": "info", "data": "too quiet"})
        call.notify("notifications/message", {"level": "error", "data": {"x": 1.0}})
        call.text("done")
        await pending.reply()
        logged = [item["params"]["data"] for item in one.notices if item["method"] == "notifications/message"]
        assert logged == [{"x": 1.0}]
        await two.call("ping")
        assert [item for item in two.notices if item["method"] == "notifications/message"] == []
        assert (await one.call("logging/setLevel", {"level": "loudest"})).error["code"] == -32602


@pytest.mark.parametrize("capabilities", [{}, {"roots": {}}], ids=["shared", "of its own"])
@pytest.mark.parametrize("way_out", ["stdio", "tcp", "sse"])
async def test_a_server_that_is_started_again_is_told_the_level_again(way_out: str, capabilities: Json) -> None:
    server = ScriptedServer("session")
    async with house(server, transport=way_out) as home:
        client = await home.client("http", "session", capabilities=capabilities)
        await client.call("logging/setLevel", {"level": "warning"})
        pending = client.tool("echo")
        (await server.next_call()).channel.hang_up()
        assert (await pending.reply()).error["code"]
        pending = client.tool("echo")
        (await server.next_call()).text("done")
        assert (await pending.reply()).text == "done"
        said = [item.params["level"] for item in server.said("logging/setLevel")]
        assert said == ["warning", "warning"]


@pytest.mark.requirement("logging.stateless-level")
@pytest.mark.parametrize(
    ("way_in", "way_out"), [("http", "http"), ("http", "stdio"), ("tcp", "http"), ("packed", "tcp")]
)
async def test_a_stateless_caller_gets_log_lines_when_it_asked_for_them(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("modern"), transport=way_out) as home:
        client, server = await home.client(way_in, "modern"), home.server
        for meta, expected in (({}, []), ({"io.modelcontextprotocol/logLevel": "info"}, ["said"])):
            pending = client.tool("echo", meta=meta)
            call = await server.next_call()
            assert call.params["_meta"].get("io.modelcontextprotocol/logLevel") == meta.get(
                "io.modelcontextprotocol/logLevel"
            )
            call.notify("notifications/message", {"level": "error", "data": "said"})
            call.text("done")
            await pending.reply()
            found = [item["params"]["data"] for item in client.notices if item["method"] == "notifications/message"]
            assert found == expected
