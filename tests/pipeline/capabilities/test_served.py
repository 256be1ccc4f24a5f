"""Capabilities through a whole gateway: who answers when, what is said of it, and what never leaves the box."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from heard import Json, until, within
from scripted_server import Received, dump
from served import (
    DATA_CLASS,
    OUTPUT,
    SCHEMA,
    Stage,
    capability,
    reading,
    reply_with,
    served_by,
    stage,
)

from tidegate.config.snapshot import Client as TokenOwner
from tidegate.events import ExchangeDone

pytestmark = pytest.mark.anyio

CHANGED = "notifications/tools/list_changed"

eras = pytest.mark.parametrize("client_era", ["modern", "session"])
servers = pytest.mark.parametrize("server_era", ["modern", "session"])


def attempts(served: Json) -> list[tuple[str, str]]:
    return [(one["tool"], one["outcome"]) for one in served["attempts"]]


@eras
@servers
@pytest.mark.parametrize("transport", ["http", "tcp"])
async def test_the_local_tool_answers_and_the_answer_says_so(client_era: str, server_era: str, transport: str) -> None:
    async with stage(eras=(server_era, "modern")) as now:
        client = await now.house.client(transport, client_era)
        pending = now.begin(client)
        asked = await now.here.next_call("tools/call")
        assert asked.params["name"] == "read"
        assert asked.params["arguments"] == {"text": "x"}
        reply_with(asked, "hello", confidence=0.9, number=[1.50])
        reply = await pending.reply()
        assert reply.result["structuredContent"] == {"words": "hello", "confidence": 0.9, "number": [1.5]}
        assert b"1.5" in reply.raw
        served = served_by(reply)
        assert (served["backend"], served["tool"], served["where"], served["why"]) == (
            "here", "here__read", "local", "preferred",
        )  # fmt: skip
        assert attempts(served) == [("here__read", "ok")]
        assert served["duration_ms"] >= served["attempts"][0]["duration_ms"] >= 0
        assert now.cloud.said("tools/call") == []


@eras
async def test_it_is_listed_as_its_first_tool_under_its_own_name(client_era: str) -> None:
    async with stage(capability(), capability(name="other", order=("cloud__read",), description="Mine.")) as now:
        client = await now.house.client("http", client_era)
        listed = {one["name"]: one for one in (await client.call("tools/list")).result["tools"]}
        assert list(listed) == ["here__read", "cloud__read", "ocr", "other"]
        ocr = listed["ocr"]
        assert (ocr["title"], ocr["description"]) == ("Read here", "Reads here.")
        assert (ocr["inputSchema"], ocr["outputSchema"]) == (SCHEMA, OUTPUT)
        assert (listed["other"]["title"], listed["other"]["description"]) == ("Read in the cloud", "Mine.")


async def test_clients_are_told_when_another_tool_is_the_first_one_now() -> None:
    async with stage() as now:
        client = await now.house.client("tcp", "session")
        assert "ocr" in await client.names()

        async def until_listed_as(title: str) -> None:
            while True:
                skip = len(client.notices.items)
                listed = {one["name"]: one for one in (await client.call("tools/list")).result["tools"]}
                if listed["ocr"]["title"] == title:
                    return
                await client.notices.wait(lambda notice: notice["method"] == CHANGED, skip=skip)

        now.here.offers["tools"] = []
        now.here.announce(CHANGED)
        await until_listed_as("Read in the cloud")
        now.here.offers["tools"] = [reading("here")]
        now.here.announce(CHANGED)
        await until_listed_as("Read here")


@pytest.mark.parametrize(
    ("here", "cloud", "winner", "why"),
    [
        (0.3, 0.9, "cloud", "unsure"),
        (0.3, 0.2, "here", "surest"),
        (0.3, 0.4, "cloud", "surest"),
        (0.3, None, "here", "preferred"),
        (0.7, None, "here", "preferred"),
    ],
)
async def test_the_surer_answer_wins(here: float, cloud: float | None, winner: str, why: str) -> None:
    async with stage(capability(min_confidence=0.6, confidence="of.all")) as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here", of={"all": here})
        if here < 0.6:
            asked = await now.cloud.next_call("tools/call")
            if cloud is None:
                asked.fail(-32603, "it is down")
            else:
                reply_with(asked, "cloud", of={"all": cloud})
        reply = await pending.reply()
        assert reply.text == winner
        assert served_by(reply)["why"] == why
        assert len(served_by(reply)["attempts"]) == (1 if here > 0.6 else 2)


async def test_a_local_error_is_asked_for_in_the_cloud_and_the_first_words_stand_when_all_fail() -> None:
    async with stage() as now:
        client = await now.house.client("tcp", "modern")
        failed = {"content": [{"type": "text", "text": "no such page"}], "isError": True, "resultType": "complete"}
        pending = now.begin(client)
        (await now.here.next_call("tools/call")).reply(failed)
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        reply = await pending.reply()
        assert (reply.text, served_by(reply)["why"]) == ("cloud", "tool_failed")

        pending = now.begin(client)
        (await now.here.next_call("tools/call")).reply(failed)
        (await now.cloud.next_call("tools/call")).fail(-32603, "broken")
        reply = await pending.reply()
        assert reply.result["isError"] is True
        assert (reply.text, served_by(reply)["why"]) == ("no such page", "all_failed")
        assert [one.outcome for one in now.served] == ["ok", "tool_error"]


@eras
async def test_when_nobody_answers_the_error_says_what_each_said(client_era: str) -> None:
    async with stage() as now:
        client = await now.house.client("http", client_era)
        pending = now.begin(client)
        (await now.here.next_call("tools/call")).fail(-32603, "broken here")
        (await now.cloud.next_call("tools/call")).fail(-32603, "broken there", {"reason": "model_deadline"})
        error = (await pending.reply()).error
        assert "broken here" in error["message"]
        assert "broken there" in error["message"]
        assert error["data"]["reason"] == "capability_failed"
        assert [one["outcome"] for one in error["data"]["attempts"]] == ["upstream", "model_deadline"]
        assert now.served[0].outcome == "capability_failed"


@eras
@pytest.mark.parametrize("label", ["patient", ["holiday", "Patient"], "patient-scan"])
async def test_what_must_stay_never_leaves(client_era: str, label: Json) -> None:
    rules = capability(min_confidence=0.9, stay=("patient*",))
    async with stage(rules) as now:
        client = await now.house.client("http", client_era)

        def begin() -> Json:
            return now.begin(client, {DATA_CLASS: label}, {"text": "Mrs SECRET"})

        pending = begin()
        asked = await now.here.next_call("tools/call")
        assert asked.params["_meta"][DATA_CLASS] == label
        reply_with(asked, "unsure", confidence=0.1)
        served = served_by(await pending.reply())
        assert (served["where"], served["why"], len(served["attempts"])) == ("local", "preferred", 1)

        pending = begin()
        (await now.here.next_call("tools/call")).fail(-32603, "broken")
        error = (await pending.reply()).error
        assert error["data"]["reason"] == "capability_failed"
        assert "stay" in error["message"]

        now.here.close()
        await until(lambda: any(slot.error for slot in now.house.daemon.gateway.services[0].slots.values()))
        error = (await begin().reply()).error
        assert error["data"]["reason"] in ("must_stay", "capability_failed")
        assert now.leaked("SECRET") == []


async def test_the_class_of_a_call_that_names_none_is_the_usual_one() -> None:
    async with stage(capability(order=("cloud__read",), stay=("patient",), data_class="patient")) as now:
        client = await now.house.client("tcp", "modern")
        error = (await now.begin(client).reply()).error
        assert error["data"]["reason"] == "must_stay"
        assert "`patient`" in error["message"]
        error = (await now.begin(client, {DATA_CLASS: {"patient": 1}}).reply()).error
        assert error["code"] == -32602
        assert now.cloud.said("tools/call") == []
        pending = now.begin(client, {DATA_CLASS: "holiday"})
        asked = await now.cloud.next_call("tools/call")
        assert DATA_CLASS not in asked.params["_meta"]
        reply_with(asked, "sunny")
        assert (await pending.reply()).text == "sunny"


async def test_a_tool_that_moves_into_the_cloud_while_its_call_waits_does_not_get_it() -> None:
    """What was local when it was decided is not when it would be sent."""
    rules = capability(order=("here__read",), stay=("patient",))
    async with stage(rules, fields=({"max_in_flight": 1}, {})) as now:
        client = await now.house.client("tcp", "modern")
        first = now.begin(client, {DATA_CLASS: "patient"})
        asked = await now.here.next_call("tools/call")
        second = now.begin(client, {DATA_CLASS: "patient"}, {"text": "SECRET"})
        gateway = now.house.daemon.gateway
        await until(lambda: len(gateway.services[0].queue) == 1)
        await take_up(now, remote_here=True)
        reply_with(asked, "one")
        await first.reply()
        assert (await second.reply()).error["data"]["reason"] in ("must_stay", "capability_failed")
        assert not any("SECRET" in item.raw.decode() for item in now.here.heard)


async def take_up(now: Stage, *, remote_here: bool) -> None:
    from dataclasses import replace

    daemon = now.house.daemon
    snapshot = daemon.gateway.snapshot
    backends = tuple(
        replace(backend, remote=remote_here) if backend.name == "here" else backend for backend in snapshot.backends
    )
    await within(daemon.take_up(replace(snapshot, backends=backends)))


async def test_a_busy_local_tool_loses_the_call_to_the_cloud() -> None:
    async with stage(capability(busy_ms=30), fields=({"max_in_flight": 1}, {})) as now:
        client = await now.house.client("tcp", "modern")
        first = now.begin(client)
        asked = await now.here.next_call("tools/call")
        second = now.begin(client)
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        served = served_by(await second.reply())
        assert (served["where"], served["why"]) == ("cloud", "busy")
        assert attempts(served) == [("here__read", "busy"), ("cloud__read", "ok")]
        reply_with(asked, "here")
        assert (await first.reply()).text == "here"
        # Only what waits is given to somebody else, not what is worked on for long.
        assert len(now.here.said("tools/call")) == 1


async def test_a_local_tool_that_is_busy_is_waited_for_when_the_cloud_fails() -> None:
    async with stage(capability(busy_ms=30), fields=({"max_in_flight": 1}, {})) as now:
        client = await now.house.client("tcp", "modern")
        first = now.begin(client)
        asked = await now.here.next_call("tools/call")
        second = now.begin(client)
        (await now.cloud.next_call("tools/call")).fail(-32603, "broken")
        await until(lambda: len(now.house.daemon.gateway.services[0].queue) == 1)
        reply_with(asked, "one")
        assert (await first.reply()).text == "one"
        reply_with(await now.here.next_call("tools/call"), "two")
        reply = await second.reply()
        assert reply.text == "two"
        assert attempts(served_by(reply)) == [("here__read", "busy"), ("cloud__read", "upstream"), ("here__read", "ok")]


async def test_a_tool_that_takes_too_long_is_told_so_and_another_one_asked() -> None:
    async with stage(capability(attempt_timeout_s=0.05)) as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        await now.here.next_call("tools/call")
        await now.here.wait_heard("notifications/cancelled")
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        reply = await pending.reply()
        assert (reply.text, served_by(reply)["why"]) == ("cloud", "timeout")
        # The next call does not wait for it again.
        pending = now.begin(client)
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert served_by(await pending.reply())["why"] == "down"


@eras
async def test_a_client_that_gives_up_stops_the_attempt_and_no_other_begins(client_era: str) -> None:
    async with stage() as now:
        client = await now.house.client("tcp", client_era)
        pending = now.begin(client)
        await now.here.next_call("tools/call")
        client.cancel(pending)
        await now.here.wait_heard("notifications/cancelled")
        gateway = now.house.daemon.gateway
        await until(lambda: gateway.admission.in_flight == 0)
        assert now.cloud.said("tools/call") == []
        assert now.served == []


@eras
async def test_progress_of_the_attempt_reaches_the_client(client_era: str) -> None:
    async with stage() as now:
        client = await now.house.client("tcp", client_era)
        pending = now.begin(client, {"progressToken": "mine"})
        asked = await now.here.next_call("tools/call")
        asked.progress(1)
        asked.progress(2)
        asked.fail(-32603, "broken")
        asked = await now.cloud.next_call("tools/call")
        asked.progress(1)
        asked.progress(3)
        reply_with(asked, "cloud")
        await pending.reply()
        told = [one["params"] for one in client.notices if one["method"] == "notifications/progress"]
        assert [(one["progressToken"], one["progress"]) for one in told] == [("mine", 1), ("mine", 2), ("mine", 3)]


def piece(asked: Received, number: int, text: str) -> None:
    asked.notify("notifications/progress", {"progressToken": asked.token, "progress": number, "message": text})


@pytest.mark.parametrize("token", [1, "a-token-far-longer-than-the-one-that-the-server-has"])
async def test_pieces_of_an_answer_reach_the_client_however_long_its_token_is(token: int | str) -> None:
    async with stage() as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client, {"progressToken": token}, {"messages": [{"role": "user", "content": "hello"}]})
        asked = await now.here.next_call("tools/call")
        for number, text in enumerate(("Once", " upon", " a time"), 1):
            piece(asked, number, text)
        reply_with(asked, "Once upon a time")
        await pending.reply()
        told = [one["params"] for one in client.notices if one["method"] == "notifications/progress"]
        assert [(one["progressToken"], one["message"]) for one in told] == [
            (token, "Once"), (token, " upon"), (token, " a time")
        ]  # fmt: skip


@eras
async def test_an_answer_whose_beginning_the_client_has_is_finished_by_nobody_else(client_era: str) -> None:
    async with stage() as now:
        client = await now.house.client("tcp", client_era)
        chat = {"messages": [{"role": "user", "content": "hello"}]}
        pending = now.begin(client, {"progressToken": 1}, chat)
        asked = await now.here.next_call("tools/call")
        piece(asked, 1, "Once")
        asked.fail(-32603, "it broke")
        error = (await pending.reply()).error
        assert error["data"]["reason"] == "answer_cut"
        assert "it broke" in error["message"]
        assert now.cloud.said("tools/call") == []

        # Whoever has no piece of it is answered by the cloud.
        pending = now.begin(client, None, chat)
        asked = await now.here.next_call("tools/call")
        asked.fail(-32603, "it broke")
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert (await pending.reply()).text == "cloud"


async def test_an_answer_without_what_clients_were_told_of_is_taken_only_when_there_is_no_other() -> None:
    bare = dump({"resultType": "complete", "content": [{"type": "text", "text": "bare"}]})
    async with stage() as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        (await now.here.next_call("tools/call")).reply(bare)
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert (await pending.reply()).text == "cloud"
        pending = now.begin(client)
        (await now.here.next_call("tools/call")).reply(bare)
        (await now.cloud.next_call("tools/call")).fail(-32603, "broken")
        assert (await pending.reply()).text == "bare"


async def test_who_may_use_the_capability_need_not_see_its_tools() -> None:
    token = "a" * 32
    import hashlib

    digest = hashlib.sha256(token.encode()).hexdigest()
    owners = (TokenOwner("reader", digest, tools=("ocr",)),)
    async with stage(owners=owners) as now:
        client = await now.house.client("http", "modern", token=token)
        assert await client.names() == ["ocr"]
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here")
        assert (await pending.reply()).text == "here"
        error = (await client.tool("here__read").reply()).error
        assert "Unknown tool" in error["message"]


async def test_a_call_counts_for_its_caller_and_so_does_each_attempt() -> None:
    async with stage() as now:
        done: list[ExchangeDone] = []
        now.house.daemon.gateway.events.subscribe(
            lambda event: done.append(event) if isinstance(event, ExchangeDone) else None
        )
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        (await now.here.next_call("tools/call")).fail(-32603, "broken")
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        await pending.reply()
        calls = [(one.name, one.transport, one.outcome) for one in done if one.method == "tools/call"]
        assert calls == [
            ("here__read", "capability", "error"),
            ("cloud__read", "capability", "ok"),
            ("ocr", "tcp", "ok"),
        ]
        one = now.served[0]
        assert (one.capability, one.tool, one.where, one.why, one.attempts) == (
            "ocr", "cloud__read", "cloud", "failed", 2,
        )  # fmt: skip


async def test_while_the_cloud_is_down_calls_come_back_and_go_there_again_when_it_is_back() -> None:
    async with stage(capability(min_confidence=0.6)) as now:
        client = await now.house.client("tcp", "modern")
        recent = now.house.daemon.gateway.capabilities._recent
        for expected in (2, 1):
            pending = now.begin(client)
            reply_with(await now.here.next_call("tools/call"), "here", confidence=0.1)
            if expected == 2:
                await now.cloud.next_call("tools/call")
                for channel in list(now.cloud.channels):
                    channel.hang_up()
            served = served_by(await pending.reply())
            assert (served["where"], len(served["attempts"])) == ("local", expected)
        recent.forget()
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here", confidence=0.1)
        reply_with(await now.cloud.next_call("tools/call"), "cloud", confidence=0.8)
        assert served_by(await pending.reply())["where"] == "cloud"


async def test_when_the_time_of_the_call_is_up_what_there_is_is_the_answer() -> None:
    async with stage(capability(min_confidence=0.6), call_timeout_s=0.3) as now:
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here", confidence=0.1)
        await now.cloud.next_call("tools/call")
        reply = await pending.reply()
        assert (reply.text, served_by(reply)["attempts"][1]["outcome"]) == ("here", "timeout")
        await now.cloud.wait_heard("notifications/cancelled")
        # That the call had no more time is not held against the cloud.
        pending = now.begin(client)
        await now.here.next_call("tools/call")
        error = (await pending.reply()).error
        assert error["data"]["reason"] == "capability_deadline"
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here", confidence=0.1)
        reply_with(await now.cloud.next_call("tools/call"), "cloud", confidence=0.9)
        assert (await pending.reply()).text == "cloud"


async def test_a_cloud_that_nobody_reached_yet_is_waited_for_by_nobody_who_does_not_need_it() -> None:
    async with stage(fields=({}, {"start_timeout_s": 0.3, "probe_timeout_s": 0.3})) as now:
        now.cloud.silent.update(("server/discover", "initialize"))
        client = await now.house.client("tcp", "modern")
        pending = now.begin(client)
        reply_with(await now.here.next_call("tools/call"), "here")
        assert (await pending.reply()).text == "here"


async def test_what_is_preferred_and_not_heard_yet_is_waited_for_not_longer_than_one_is_patient() -> None:
    rules = capability(order=("cloud__read", "here__read"), busy_ms=50)
    async with stage(rules, fields=({}, {"start_timeout_s": 0.3, "probe_timeout_s": 0.3})) as now:
        now.cloud.silent.update(("server/discover", "initialize"))
        client = await now.house.client("tcp", "modern")
        for _ in range(2):
            pending = now.begin(client)
            reply_with(await now.here.next_call("tools/call"), "here")
            assert served_by(await pending.reply())["why"] == "missing"


async def test_many_calls_and_any_end_of_them_leave_nothing_behind() -> None:
    chance = random.Random(7)
    async with stage(capability(busy_ms=20, attempt_timeout_s=0.2, min_confidence=0.5)) as now:
        gateway = now.house.daemon.gateway

        async def play(server: Json, count: int) -> None:
            for _ in range(count):
                asked = await server.calls.wait(lambda item: True, skip=seen[server.name])
                seen[server.name] = server.calls.items.index(asked) + 1
                end = chance.randrange(5)
                if end == 0:
                    asked.fail(-32603, "no", {"reason": chance.choice(["model_busy", "model_missing", "other"])})
                elif end == 1:
                    asked.reply(b"[]")
                elif end > 2:
                    reply_with(asked, "yes", confidence=chance.random())

        seen = {"here": 0, "cloud": 0}
        players = [asyncio.ensure_future(play(server, 1000)) for server in (now.here, now.cloud)]
        client = await now.house.client("tcp", "modern")
        pending = []
        for number in range(120):
            pending.append(now.begin(client))
            if number % 5 == 0:
                client.cancel(chance.choice(pending))
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: gateway.admission.in_flight == 0)
        for player in players:
            player.cancel()
        await asyncio.gather(*players, return_exceptions=True)
        assert all(not link._servings for link in gateway.capabilities._open)
        answered = sum(one.answer.done() for one in pending)
        assert answered == len(now.served)
        assert answered >= 96


async def test_capabilities_come_change_and_go_with_the_configuration() -> None:
    from dataclasses import replace

    from tidegate.config.model_workers import capabilities_backend

    async with stage() as now:
        daemon = now.house.daemon
        client = await now.house.client("tcp", "session")
        assert "ocr" in await client.names()
        pending = now.begin(client)
        asked = await now.here.next_call("tools/call")

        async def put(*capabilities: Json) -> None:
            rest = daemon.gateway.snapshot.backends[:2]
            backends = (*rest, capabilities_backend(capabilities)) if capabilities else rest
            await within(daemon.take_up(replace(daemon.gateway.snapshot, backends=backends)))

        await put(capability(name="ocr2", order=("cloud__read",)))
        # What runs goes on under what it began with, as long as the drain time lasts.
        assert await client.names() == ["here__read", "cloud__read", "ocr2"]
        again = client.tool("ocr2", {"text": "x"})
        reply_with(await now.cloud.next_call("tools/call"), "cloud")
        assert (await again.reply()).text == "cloud"
        await put()
        assert await client.names() == ["here__read", "cloud__read"]
        await put(capability())
        assert await client.names() == ["here__read", "cloud__read", "ocr"]
        asked.text("late")
        await asyncio.wait_for(pending.answer, 10)
        assert json.loads(pending.answer.result().raw)
