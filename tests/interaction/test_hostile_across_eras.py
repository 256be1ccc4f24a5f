"""Clients and servers that misbehave over the bridge: nothing hangs, nothing stays behind, nobody else is harmed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator

import pytest
from clients import Client, Pending
from gateway import House, house
from heard import Heard, Json, within
from scripted_server import Received, ScriptedServer, dump

from tidegate.config.snapshot import Limits
from tidegate.pipeline.codec import Envelope, scan
from tidegate.pipeline.upstream.connection import Connection

ALL: Json = {"elicitation": {}, "sampling": {}, "roots": {}}
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
SAMPLE: Json = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
ACCEPT: Json = {"action": "accept", "content": {"name": "Ada"}}
LIMITS = Limits(rate_per_s=0, drain_s=0.0, suspended=8, suspended_per_client=8)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An exception in a callback of a protocol ends a connection: there must be none, whatever peers say."""
    yield
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            assert record.levelno < logging.ERROR, record.getMessage()
            assert record.exc_info is None, record.getMessage()


def connections(home: House) -> list[Connection]:
    slots = [slot for service in home.daemon.gateway.services for slot in service.slots.values()]
    return [slot.connection for slot in slots if slot.connection is not None]


def left_behind(home: House) -> dict[str, int]:
    """What is kept for calls and questions."""
    gateway = home.daemon.gateway
    return {
        "suspended": len(gateway.calls.suspended),
        "pending": sum(call.method == "tools/call" for one in connections(home) for call in one._pending.values()),
        "asked": sum(len(one._asked) for one in connections(home)),
        "leased": sum(slot.leased for service in gateway.services for slot in service.slots.values()),
        "session asked": sum(len(session._asked) for session in gateway.sessions),
        "in flight": gateway.admission.in_flight,
    }


NOTHING = dict.fromkeys(("suspended", "pending", "asked", "leased", "session asked", "in flight"), 0)


def retry(client: Client, asked: Json, responses: Json, **more: Json) -> Pending:
    params = {"name": "echo", "arguments": {}, "inputResponses": responses, "requestState": asked["requestState"]}
    return client.begin("tools/call", params | more)


async def input_required(pending: Pending) -> Json:
    result = (await pending.reply()).result
    assert result["resultType"] == "input_required", result
    return result


async def called(
    home: House, era: str = "modern", way_in: str = "tcp", **more: Json
) -> tuple[Client, Pending, Received]:
    client = await home.client(way_in, era, **({"capabilities": ALL} | more))
    pending = client.tool("echo")
    return client, pending, await home.server.next_call()


async def still_serves(home: House, client: Client) -> None:
    pending = client.tool("echo", {"still": True})
    (await home.server.next_call()).text("still")
    assert (await pending.reply()).text == "still"
    await asyncio.sleep(0.02)
    assert left_behind(home) == NOTHING


# -- a stateless client, a session server ----------------------------------------------------------------------------


@pytest.mark.parametrize("way_out", ["stdio", "http"])
async def test_questions_that_were_open_when_the_call_ended_are_refused(way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out, limits=LIMITS) as home:
        client, pending, call = await called(home)
        answer = call.ask("elicitation/create", FORM)
        call.text("never mind")
        assert (await pending.reply()).text == "never mind"
        assert "error" in await within(answer)
        await still_serves(home, client)


async def test_questions_of_a_call_that_finds_no_room_to_wait_are_refused() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended=0)
    async with house(ScriptedServer("session"), transport="http", limits=limits) as home:
        _client, pending, call = await called(home)
        answer = call.ask("elicitation/create", FORM)
        assert "limit" in (await pending.reply()).error["message"]
        assert "error" in await within(answer)
        await asyncio.sleep(0.02)
        assert left_behind(home) == NOTHING


async def test_a_server_that_asks_on_after_its_answer_is_refused() -> None:
    """On an HTTP stream, on which more may come."""
    async with house(ScriptedServer("session"), transport="http", limits=LIMITS) as home:
        client, pending, call = await called(home)
        call.say(dump({"jsonrpc": "2.0", "id": call.id, "result": {"content": [{"type": "text", "text": "done"}]}}))
        answers = [call.ask("elicitation/create", FORM) for _ in range(20)]
        assert (await pending.reply()).text == "done"
        for answer in answers:
            assert "error" in await within(answer)
        await asyncio.sleep(0.05)
        assert left_behind(home) == NOTHING
        call.http.finish(b"")  # type: ignore[attr-defined]
        await still_serves(home, client)


async def test_a_question_with_an_odd_key_is_still_held_against_what_the_client_declared() -> None:
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS) as home:
        client, pending, call = await called(home, capabilities={"elicitation": {"form": {}}, "sampling": {}})
        odd = b'{"jsonrpc":"2.0","id":"%b","method":"%b","params":{"\\ud800":1,%b}}'
        call.say(odd % (b"x1", b"elicitation/create", dump({"mode": "url", "url": "x:y", "message": "?"})[1:-1]))
        call.say(odd % (b"x2", b"sampling/createMessage", dump({**SAMPLE, "tools": [{"name": "a"}]})[1:-1]))
        await asyncio.sleep(0.1)
        assert not pending.answer.done()
        call.say(odd % (b"x3", b"elicitation/create", dump({**FORM, "mode": "form"})[1:-1]))
        asked = await input_required(pending)
        assert len(asked["inputRequests"]) == 1
        last = retry(client, asked, dict.fromkeys(asked["inputRequests"], ACCEPT))
        call.text("done")
        assert (await last.reply()).text == "done"
        await still_serves(home, client)


@pytest.mark.parametrize("way_in", ["tcp", "packed", "http"])
async def test_numbers_beyond_every_float_reach_nobody_as_what_is_no_json(way_in: str) -> None:
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS) as home:
        client, pending, call = await called(home, way_in=way_in, capabilities={"elicitation": {"url": {}}})
        place = b'{"mode":"url","url":"https://example.com","message":"?","extra":1e999}'
        call.say(
            b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32042,"message":"x","data":{"elicitations":[%b]}}}'
            % (dump(call.id), place)
        )
        raw = (await pending.reply()).raw
        assert b"Infinity" not in raw
        await still_serves(home, client)


async def test_what_a_client_says_of_itself_reaches_servers_as_json() -> None:
    async with house(ScriptedServer("modern"), transport="stdio", limits=LIMITS) as home:
        client = await home.stream_client("tcp", "session", capabilities={"x": "@"})
        session = next(iter(home.daemon.gateway.sessions))
        greeting = (
            b'{"protocolVersion":"2025-11-25","capabilities":{"experimental":{"x":1e999}},'
            b'"clientInfo":{"name":"a","version":"1","x":-1e999}}'
        )
        session._read_client(*_request("initialize", greeting))
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert b"Infinity" not in call.raw
        call.text("done")
        await pending.reply()


def _request(method: str, params: bytes) -> tuple[bytes, Envelope]:
    message = b'{"jsonrpc":"2.0","id":1,"method":%b,"params":%b}' % (dump(method), params)
    return message, scan(message)


async def test_a_deep_error_gets_through_where_deep_messages_are_let_in() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, depth=200)
    async with house(ScriptedServer("session"), transport="stdio", limits=limits) as home:
        client, pending, call = await called(home)
        call.say(
            b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32002,"message":"x","data":%b}}'
            % (dump(call.id), b"[" * 100 + b"]" * 100)
        )
        assert (await pending.reply()).error["code"] == -32602
        await still_serves(home, client)


async def test_a_dead_lane_does_not_fail_those_who_had_not_got_it_yet() -> None:
    fields = [{"max_connections": 1}]
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS, fields=fields) as home:
        client, pending, call = await called(home)
        queued = [client.tool("echo", {"n": n}) for n in range(3)]
        await asyncio.sleep(0.1)
        call.channel.hang_up()
        assert "one" in (await pending.reply()).error["message"]
        for one in queued:
            (await home.server.next_call()).text("served")
            assert (await one.reply()).text == "served"
        await still_serves(home, client)


async def test_many_retries_at_once_give_one_answer() -> None:
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS) as home:
        client, pending, call = await called(home)
        answer = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        tries = [retry(client, asked, {"q1": ACCEPT}) for _ in range(30)]
        assert (await within(answer))["result"] == ACCEPT
        call.text("done")
        replies = [await one.reply() for one in tries]
        assert sum("result" in reply.message for reply in replies) == 1
        assert {reply.message["error"]["code"] for reply in replies if "error" in reply.message} == {-32600}
        await still_serves(home, client)


async def nothing_left(home: House) -> None:
    """Waits until it is so."""
    for _ in range(100):
        if left_behind(home) == NOTHING:
            return
        await asyncio.sleep(0.05)
    assert left_behind(home) == NOTHING


@pytest.mark.parametrize("way_out", ["stdio", "http", "sse"])
async def test_nothing_is_left_of_calls_given_up_at_any_moment(way_out: str) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=1.0)
    async with house(ScriptedServer("session"), transport=way_out, limits=limits) as home:
        client = await home.client("tcp", "modern", capabilities=ALL)
        for delay_s in (0.0, 0.001, 0.005, 0.012, 0.03):
            pending = client.tool("echo")
            if delay_s:
                call = await home.server.next_call()
                call.ask("elicitation/create", FORM)
                await asyncio.sleep(delay_s)
            client.cancel(pending)
            for responses in ({}, {"q1": ACCEPT}):
                if not pending.answer.done():
                    break
                pending = retry(client, pending.answer.result().result, responses)
                await asyncio.sleep(delay_s)
                client.cancel(pending)
                await asyncio.sleep(0.02)
        await nothing_left(home)


async def test_a_client_that_never_comes_back_leaves_nothing_behind() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=0.3)
    async with house(ScriptedServer("session"), transport="http", limits=limits) as home:
        client = await home.client("tcp", "modern", capabilities=ALL)
        for _ in range(6):
            pending = client.tool("echo")
            (await home.server.next_call()).ask("elicitation/create", FORM)
            await input_required(pending)
        await nothing_left(home)


async def test_a_session_server_cannot_ask_around_what_the_client_declared() -> None:
    """By an answer that looks as one of the other era."""
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS) as home:
        client, pending, call = await called(home, capabilities={})
        call.reply(
            {
                "resultType": "input_required",
                "content": [],
                "inputRequests": {"a": {"method": "sampling/createMessage", "params": SAMPLE}},
                "requestState": "mine",
            }
        )
        reply = await pending.reply()
        assert "inputRequests" not in reply.message.get("result", {})
        await still_serves(home, client)


async def test_a_child_killed_by_a_nameless_signal_is_lost_in_words() -> None:
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS) as home:
        client, pending, _call = await called(home)
        (connection,) = connections(home)
        os.kill(connection.link.pid, 40)  # type: ignore[attr-defined]
        assert "signal" in (await pending.reply()).error["message"]
        await still_serves(home, client)


@pytest.mark.parametrize("era", ["session", "modern"])
@pytest.mark.parametrize("result", [b"5", b"null", b"[]", b'"x"'])
async def test_a_result_that_is_no_object_ends_the_call_in_words(result: bytes, era: str) -> None:
    async with house(ScriptedServer("session"), transport="stdio", limits=LIMITS) as home:
        client, pending, call = await called(home, era)
        call.say(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(call.id), result))
        assert "no object" in (await pending.reply()).error["message"]
        await still_serves(home, client)


# -- a session's client, a stateless server --------------------------------------------------------------------------


@pytest.mark.parametrize("way_in", ["tcp", "http", "sse"])
async def test_an_answer_too_deep_to_be_sent_on_ends_the_call_in_words(way_in: str) -> None:
    async with house(ScriptedServer("modern"), transport="http", limits=LIMITS) as home:
        client, pending, call = await called(home, "session", way_in)
        call.reply({"resultType": "input_required", "inputRequests": {"a": {"method": "roots/list", "params": {}}}})
        question = await client.questions.wait(lambda item: True)
        deep = b'{"roots":' + b"[" * 61 + b"]" * 61 + b"}"
        client.send_other(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(question["id"]), deep))
        assert "deep" in (await pending.reply()).error["message"]
        await still_serves(home, client)


async def test_a_method_without_params_that_must_wait_is_sent_again() -> None:
    async with house(ScriptedServer("modern"), transport="http", limits=LIMITS) as home:
        client = await home.stream_client("tcp", "session", capabilities=ALL)
        pending = client.pending["x"] = Pending("x")
        client.send_other(b'{"jsonrpc":"2.0","id":"x","method":"vendor/odd"}')
        call = await home.server.next_call()
        call.reply({"resultType": "input_required", "requestState": "s"})
        call = await home.server.next_call()
        assert call.params["requestState"] == "s"
        call.reply({"resultType": "complete", "ok": True})
        assert (await pending.reply()).result["ok"]
        await still_serves(home, client)


@pytest.mark.parametrize(
    "answer", [b"5", b"null", b"[]", b'"x"', b'{"action":{"a":1}}', b'{"\\ud800":1,"action":"accept"}']
)
async def test_odd_answers_to_a_url_harm_nobody(answer: bytes) -> None:
    async with house(ScriptedServer("modern"), transport="http", limits=LIMITS) as home:
        client, pending, call = await called(home, "session", capabilities={"elicitation": {"url": {}}})
        place = {"mode": "url", "url": "https://example.com/a", "message": "Sign in"}
        requests = {"a": {"method": "elicitation/create", "params": place}}
        call.reply({"resultType": "input_required", "inputRequests": requests})
        question = await client.questions.wait(lambda item: True)
        client.send_other(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(question["id"]), answer))
        if answer.startswith(b"{"):
            (await home.server.next_call()).text("done")
            assert (await pending.reply()).text == "done"
        else:
            assert "error" in (await pending.reply()).message
        await still_serves(home, client)


@pytest.mark.parametrize(
    "requests",
    [
        b"[]", b"5", b'"x"', b'{"a":5}', b'{"a":[]}', b'{"a":{"method":5}}', b'{"a":{"method":"x","params":[]}}',
        b'{"\\ud800":{"method":"roots/list"}}', b'{"a":{"method":"\\ud800"}}',
        b'{"a":{"method":"roots/list","params":null}}',
        b'{"a":{"method":"tools/call","params":{}}}',
        b'{"a":{"method":"elicitation/create","params":{"mode":"\\ud800"}}}',
        b'{"a":{"method":"elicitation/create","params":{"mode":{}}}}',
        b'{"a":{"method":"elicitation/create","params":{"\\ud800":1,"mode":"url","url":"x:y"}}}',
        b'{"a":{"method":"roots/list","method":"sampling/createMessage","params":{}}}',
        b'{"a":{"method":"elicitation/create","params":{"mode":"form","mode":"url"}}}',
        b'{"a":{"method":"elicitation/create","params":{"_meta":5,"requestedSchema":7}}}',
        b'{"a":{"method":"sampling/createMessage","params":{"messages":{"a":1}}}}',
    ],
)  # fmt: skip
async def test_odd_requests_for_input_end_the_call_or_are_asked(requests: bytes) -> None:
    async with house(ScriptedServer("modern"), transport="stdio", limits=LIMITS) as home:
        abilities: Json = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
        client, pending, call = await called(home, "session", capabilities=abilities)
        call.reply(b'{"resultType":"input_required","requestState":{"odd":[1]},"inputRequests":%b}' % requests)
        for _ in range(100):
            await asyncio.sleep(0.01)
            if pending.answer.done() or len(client.questions):
                break
        if len(client.questions):
            (question,) = client.questions
            assert question["params"].get("mode", "form") == "form"
            client.answer(question, ACCEPT)
            (await home.server.next_call()).text("done")
        assert "error" in (await pending.reply()).message or len(client.questions)
        await still_serves(home, client)


@pytest.mark.parametrize("way_in", ["tcp", "http"])
async def test_a_batch_may_hold_calls_that_are_asked_about(way_in: str) -> None:
    async with house(ScriptedServer("modern"), transport="stdio", limits=LIMITS) as home:
        client = await home.client(way_in, "session", capabilities=ALL, revision="2025-03-26")
        parts = [client.compose(f"b{n}", "tools/call", {"name": "echo", "arguments": {"n": n}}) for n in range(2)]
        answered: Heard[Json] = Heard()

        def take(raw: bytes, pending: Pending | None = None, response: Json = None) -> None:
            message = json.loads(raw)
            if isinstance(message, list):
                answered.add(message)
            else:
                type(client).take(client, raw, pending, response)

        client.take = take  # type: ignore[method-assign]
        client.send_other(b"[" + b",".join(parts) + b"]")
        calls = [await home.server.next_call(), await home.server.next_call()]
        for call in calls:
            request = {"method": "roots/list", "params": {}}
            call.reply({"resultType": "input_required", "inputRequests": {"a": request}})
        for number in range(2):
            client.answer(await client.questions.wait(lambda item: True, skip=number), {"roots": []})
        for _ in calls:
            again = await home.server.next_call()
            assert again.params["inputResponses"] == {"a": {"roots": []}}
            again.text("done")
        batch = await answered.wait(lambda item: True)
        assert {one["id"] for one in batch} == {"b0", "b1"}
        await still_serves(home, client)


async def test_progress_of_odd_kinds_is_dropped() -> None:
    async with house(ScriptedServer("modern"), transport="stdio", limits=LIMITS) as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        pending = client.tool("echo", meta={"progressToken": "p"})
        call = await home.server.next_call()
        for odd in (b"1e999", b'"x"', b"null", b"{}", b"-1e999", b"true"):
            call.say(
                b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%b,"progress":%b}}'
                % (dump(call.token), odd)
            )
        call.text("done")
        assert (await pending.reply()).text == "done"
        await still_serves(home, client)
