"""Progress and cancellation reach exactly the request they belong to."""

from __future__ import annotations

import logging

import pytest
from clients import PREFIX, HttpClient
from gateway import EVERY_ROAD, SOME_ROADS, house
from heard import Json, within
from scripted_server import MODERN, ScriptedServer, dump

from tidegate.pipeline.era import streams

pytestmark = pytest.mark.anyio

every_road = pytest.mark.parametrize(("era", "way_in", "way_out"), EVERY_ROAD)
some_roads = pytest.mark.parametrize(("era", "way_in", "way_out"), SOME_ROADS)


def seen(notices: object) -> list[tuple[object, object]]:
    """(token, value) of each progress notification."""
    return [
        (item["params"]["progressToken"], item["params"]["progress"])
        for item in notices  # type: ignore[attr-defined]
        if item["method"] == "notifications/progress"
    ]


@pytest.mark.requirement("progress.reaches-only-its-caller", "progress.token-restored", "progress.before-answer")
@every_road
async def test_two_callers_with_the_same_token_see_their_own_progress_only(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        server = home.server
        one, two = await home.client(way_in, era), await home.client(way_in, era)
        first = one.tool("echo", {"who": "one"}, meta={"progressToken": "same"})
        call_one = await server.next_call()
        second = two.tool("echo", {"who": "two"}, meta={"progressToken": "same"})
        call_two = await server.next_call()
        third = two.tool("echo", {"who": "three"}, meta={"progressToken": 7})
        call_three = await server.next_call()
        quiet = one.tool("echo", {"who": "quiet"})
        call_four = await server.next_call()
        assert len({call_one.token, call_two.token, call_three.token}) == 3
        assert call_four.token is None
        for call, value in ((call_one, 1), (call_two, 2), (call_three, 3), (call_one, 4), (call_two, 5)):
            call.progress(value)
        for call in (call_one, call_two, call_three, call_four):
            call.text(call.params["arguments"]["who"])
        said = [(await pending.reply()).text for pending in (first, second, third, quiet)]
        assert said == ["one", "two", "three", "quiet"]
        assert seen(one.notices) == [("same", 1), ("same", 4)]
        assert sorted(seen(two.notices), key=str) == [("same", 2), ("same", 5), (7, 3)]
        if way_in == "http":
            assert seen(third.notices) == [(7, 3)]
            assert seen(quiet.notices) == []


@pytest.mark.requirement("progress.unknown-token-dropped")
@some_roads
async def test_progress_for_nobody_is_dropped(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client = await home.client(way_in, era)
        pending = client.tool("echo", meta={"progressToken": "t"})
        call = await home.server.next_call()
        for token in ("t", 987654, "no such"):
            call.notify("notifications/progress", {"progressToken": token, "progress": 1})
        call.progress(2)
        call.text("done")
        await pending.reply()
        assert seen(client.notices) == [("t", 2)]


@pytest.mark.requirement("cancel.reaches-server", "cancel.only-its-request")
@every_road
async def test_a_cancelled_call_is_cancelled_upstream_and_others_go_on(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        server = home.server
        client = await home.client(way_in, era)
        given_up = client.tool("echo", {"n": 1})
        call = await server.next_call()
        kept = client.tool("echo", {"n": 2})
        other = await server.next_call()
        client.cancel(given_up)
        if era == "modern" and way_out == "http":
            await within(call.gone.wait())
        else:
            cancelled = await server.wait_heard("notifications/cancelled")
            assert cancelled.params["requestId"] == call.id
        other.text("kept")
        assert (await kept.reply()).text == "kept"
        call.text("too late")
        again = client.tool("echo", {"n": 3})
        (await server.next_call()).text("again")
        assert (await again.reply()).text == "again"
        assert not given_up.answer.done()
        assert len(server.said("notifications/cancelled")) == (0 if era == "modern" and way_out == "http" else 1)


@pytest.mark.requirement("cancel.client-vanishes", "bad.client-vanishes")
@every_road
async def test_a_client_that_vanishes_is_cancelled_upstream(era: str, way_in: str, way_out: str) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        server, gateway = home.server, home.daemon.gateway
        client, other = await home.client(way_in, era), await home.client(way_in, era)
        client.tool("echo")
        call = await server.next_call()
        client.close()
        if era == "modern" and way_out == "http":
            await within(call.gone.wait())
        else:
            cancelled = await server.wait_heard("notifications/cancelled")
            assert cancelled.params["requestId"] == call.id
        assert gateway.admission.in_flight == 0
        pending = other.tool("echo")
        (await server.next_call()).text("still here")
        assert (await pending.reply()).text == "still here"


@pytest.mark.requirement("cancel.by-server")
@pytest.mark.parametrize(("way_in", "way_out"), [("tcp", "stdio"), ("http", "http"), ("sse", "sse"), ("unix", "tcp")])
async def test_a_server_may_withdraw_its_question(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities={"sampling": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.ask("sampling/createMessage", {"messages": [], "maxTokens": 1})
        question = await client.questions.wait(lambda item: True)
        call.notify("notifications/cancelled", {"requestId": "ask-1", "reason": "enough"})
        notice = await client.notices.wait(lambda item: item["method"] == "notifications/cancelled")
        assert notice["params"]["requestId"] == question["id"]
        call.text("done")
        assert (await pending.reply()).text == "done"


def member(own_id: str, meta: Json = None) -> Json:
    """A tool call as part of a batch."""
    params = {"name": "echo", "arguments": {"of": own_id}, **({"_meta": meta} if meta is not None else {})}
    return {"jsonrpc": "2.0", "id": own_id, "method": "tools/call", "params": params}


BATCHING = "2025-03-26"
batches = pytest.mark.parametrize("way_in", ["http", "tcp", "packed"])


@pytest.mark.requirement("batch.2025-03-26", "cancel.only-its-request")
@batches
@pytest.mark.parametrize("cancelled", ["first", "last"])
async def test_a_cancelled_member_does_not_hold_up_its_batch(way_in: str, cancelled: str) -> None:
    async with house(ScriptedServer("session")) as home:
        client, server = await home.client(way_in, "session", revision=BATCHING), home.server
        client.send_other(dump([member("given up"), member("kept")]))
        given_up, kept = await server.next_call(), await server.next_call()
        if cancelled == "last":
            kept.text("kept")
            # What comes after it has been heard, so it has been, too.
            later = client.tool("echo")
            (await server.next_call()).text("later")
            assert (await later.reply()).text == "later"
        client.notify("notifications/cancelled", {"requestId": "given up"})
        assert (await server.wait_heard("notifications/cancelled")).params["requestId"] == given_up.id
        if cancelled == "first":
            kept.text("kept")
        answers = (await client.stray.wait(lambda item: True)).message
        assert [(each["id"], each["result"]["content"][0]["text"]) for each in answers] == [("kept", "kept")]
        given_up.text("too late")
        await client.call("ping")
        assert len(client.stray) == 1


@pytest.mark.requirement("batch.2025-03-26", "cancel.reaches-server")
@batches
async def test_a_batch_whose_every_member_is_cancelled_is_not_answered(way_in: str) -> None:
    async with house(ScriptedServer("session")) as home:
        client, server = await home.client(way_in, "session", revision=BATCHING), home.server
        client.send_other(dump([member("one"), member("two")]))
        sent = client.connections[-1] if isinstance(client, HttpClient) else None
        calls = [await server.next_call() for _ in range(2)]
        for own_id in ("two", "one"):
            client.notify("notifications/cancelled", {"requestId": own_id})
        for skip, call in enumerate(reversed(calls)):
            heard = await server.wait_heard("notifications/cancelled", server.heard.items.index(calls[-1]) + 1 + skip)
            assert heard.params["requestId"] == call.id
        if sent is not None:
            await within(sent.ended.wait())
            assert sent.response.body == b""
        await client.call("ping")
        assert client.stray.items == []


@pytest.mark.requirement("batch.2025-03-26", "cancel.only-its-request")
@pytest.mark.parametrize("way_in", ["tcp", "packed"])
async def test_a_stateless_member_that_is_cancelled_does_not_hold_up_its_batch(way_in: str) -> None:
    async with house(ScriptedServer("session")) as home:
        client, server = await home.client(way_in, "session", revision=BATCHING), home.server
        meta = {PREFIX + "protocolVersion": MODERN, PREFIX + "clientCapabilities": {}}
        client.send_other(dump([member("given up", meta), member("kept")]))
        calls = [await server.next_call() for _ in range(2)]
        client.notify("notifications/cancelled", {"requestId": "given up"})
        for call in calls:
            # The two may have changed places: they do not share what is known of the servers.
            if call.params["arguments"] == {"of": "kept"}:
                call.text("kept")
        answers = (await client.stray.wait(lambda item: True)).message
        assert [each["id"] for each in answers] == ["kept"]


@pytest.mark.requirement("batch.2025-03-26", "http.json-or-stream")
async def test_a_batch_without_requests_is_accepted_and_no_stream_follows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "_LINGER_S", 0.0)
    async with house(ScriptedServer("session")) as home:
        client = await home.http_client("session", revision=BATCHING)
        client.send_other(dump([{"jsonrpc": "2.0", "method": "notifications/x"}] * 2))
        sent = client.connections[-1]
        await within(sent.ended.wait())
        assert (sent.response.status, sent.response.body) == (202, b"")
        await client.call("ping")
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
