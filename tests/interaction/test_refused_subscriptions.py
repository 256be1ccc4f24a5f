"""Subscriptions that a server refuses, that end before they began, and that come in numbers."""

from __future__ import annotations

import asyncio

import pytest
from gateway import house
from scripted_server import ScriptedServer

pytestmark = pytest.mark.anyio

URI = "test://one/a"


async def test_a_refused_subscription_is_asked_for_again_and_by_others() -> None:
    async with house(ScriptedServer("session")) as home:
        server = home.server
        server.silent.add("resources/subscribe")
        one, two = await home.client("tcp", "session"), await home.client("tcp", "session")
        for client in (one, one, two):
            pending = client.begin("resources/subscribe", {"uri": URI})
            (await server.next_call()).fail(-32002, "no such resource")
            assert (await pending.reply()).error["code"] == -32002
        pending = two.begin("resources/subscribe", {"uri": URI})
        (await server.next_call()).reply({})
        assert (await pending.reply()).result == {}
        assert (await one.call("resources/subscribe", {"uri": URI})).result == {}
        assert len(server.said("resources/subscribe")) == 4
        assert server.said("resources/unsubscribe") == []
        server.announce("notifications/resources/updated", {"uri": URI})
        await one.notices.wait(lambda item: item["method"] == "notifications/resources/updated")


async def test_who_subscribes_while_the_server_thinks_hears_its_refusal_too() -> None:
    async with house(ScriptedServer("session")) as home:
        server = home.server
        server.silent.add("resources/subscribe")
        one, two = await home.client("tcp", "session"), await home.client("tcp", "session")
        first = one.begin("resources/subscribe", {"uri": URI})
        first_call = await server.next_call()
        second = two.begin("resources/subscribe", {"uri": URI})
        second_call = await server.next_call()
        first_call.fail(-32602, "no")
        second_call.fail(-32602, "no")
        assert (await first.reply()).error["message"] == "no"
        assert (await second.reply()).error["message"] == "no"


async def test_what_a_listener_was_refused_is_not_taken_for_granted_by_a_session() -> None:
    async with house(ScriptedServer("session")) as home:
        server = home.server
        server.silent.add("resources/subscribe")
        modern, session = await home.client("tcp", "modern"), await home.client("tcp", "session")
        modern.begin("subscriptions/listen", {"notifications": {"resourceSubscriptions": [URI]}})
        (await server.next_call()).fail(-32602, "no")
        await modern.notices.wait(lambda item: item["method"] == "notifications/subscriptions/acknowledged")
        pending = session.begin("resources/subscribe", {"uri": URI})
        (await server.next_call()).fail(-32602, "no")
        assert (await pending.reply()).error["code"] == -32602


async def test_unsubscribing_before_the_subscription_came_through_leaves_nothing_behind() -> None:
    async with house(ScriptedServer("session")) as home:
        server = home.server
        client = await home.client("tcp", "session")
        server.silent.add("initialize")
        server.channels[0].hang_up()
        greeting = await server.next_call("initialize")
        first = client.begin("resources/subscribe", {"uri": URI})
        assert (await client.call("resources/unsubscribe", {"uri": URI})).result == {}
        assert (await first.reply()).result == {}
        second = client.begin("resources/subscribe", {"uri": URI})
        await client.call("ping")
        server.silent.clear()
        server.serve(greeting)
        assert (await second.reply()).result == {}
        assert len(server.said("resources/subscribe")) == 1
        # Nobody else is counted: the server hears of the end.
        assert (await client.call("resources/unsubscribe", {"uri": URI})).result == {}
        await server.wait_heard("resources/unsubscribe")


@pytest.mark.parametrize("code", [-32601, -32602])
async def test_a_server_that_does_not_listen_is_not_asked_again(code: int) -> None:
    async with house(ScriptedServer("modern")) as home:
        server = home.server
        server.silent.add("subscriptions/listen")
        client = await home.client("tcp", "modern")
        await client.names()
        (await server.next_call("subscriptions/listen")).fail(code, "no")
        await asyncio.sleep(1.3)
        assert len(server.said("subscriptions/listen")) == 1


async def test_a_server_that_fails_to_listen_is_asked_less_and_less() -> None:
    async with house(ScriptedServer("modern")) as home:
        server = home.server
        server.silent.add("subscriptions/listen")
        client = await home.client("tcp", "modern")
        await client.names()
        loop = asyncio.get_running_loop()
        waited = []
        for _ in range(4):
            call = await server.next_call("subscriptions/listen")
            waited.append(loop.time())
            call.fail(-32603, "not now")
        await server.next_call("subscriptions/listen")
        assert loop.time() - waited[-1] > 1.5  # Half of 0.5 s · 2³ at the least; it was one second each time.


async def test_a_resource_that_a_server_refuses_to_watch_does_not_silence_the_others() -> None:
    async with house(ScriptedServer("modern")) as home:
        server = home.server
        client = await home.client("tcp", "modern")
        await client.names()
        await server.wait_heard("subscriptions/listen")
        server.silent.add("subscriptions/listen")
        client.begin("subscriptions/listen", {"notifications": {"resourceSubscriptions": [URI]}})
        (await server.next_call("subscriptions/listen")).fail(-32602, "no")
        await client.notices.wait(lambda item: item["method"] == "notifications/subscriptions/acknowledged")
        await client.call("tools/list")
        assert server.said("notifications/cancelled") == []


async def test_a_listener_for_many_resources_is_one_stream_for_the_server() -> None:
    async with house(ScriptedServer("modern"), fields=[{"max_in_flight": 4}]) as home:
        server = home.server
        client = await home.client("tcp", "modern")
        await client.names()
        await server.wait_heard("subscriptions/listen")
        uris = [f"test://one/{number}" for number in range(300)]
        listening = client.begin("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
        call = client.tool("echo")
        (await server.next_call("tools/call")).text("no one was in its way")
        assert (await call.reply()).text
        await client.notices.wait(lambda item: item["method"] == "notifications/subscriptions/acknowledged")
        wanted = server.said("subscriptions/listen")[-1].params["notifications"]
        assert set(wanted["resourceSubscriptions"]) == set(uris)
        assert len(server.said("subscriptions/listen")) == 2
        client.cancel(listening)
        await server.heard.wait(
            lambda item: (
                item.method == "subscriptions/listen" and "resourceSubscriptions" not in item.params["notifications"]
            ),
            skip=len(server.heard),
        )
        assert len(server.said("subscriptions/listen")) == 3


async def test_a_listener_for_many_resources_leaves_room_for_calls_on_a_session_server() -> None:
    async with house(ScriptedServer("session"), fields=[{"max_in_flight": 12}]) as home:
        server = home.server
        server.silent.add("resources/subscribe")
        client = await home.client("tcp", "modern")
        await client.names()
        uris = [f"test://one/{number}" for number in range(50)]
        listening = client.begin("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
        call = client.tool("echo")
        (await server.next_call("tools/call")).text("there was room")
        assert (await call.reply()).text == "there was room"
        asked = server.said("resources/subscribe")
        assert len(asked) < len(uris)
        server.silent.clear()
        for item in asked:
            item.reply({})
        await client.notices.wait(lambda item: item["method"] == "notifications/subscriptions/acknowledged")
        while len(server.said("resources/subscribe")) < len(uris):
            await client.call("tools/list")
        client.cancel(listening)
        while len(server.said("resources/unsubscribe")) < len(uris):
            await client.call("tools/list")
        for method in ("resources/subscribe", "resources/unsubscribe"):
            assert sorted(item.params["uri"] for item in server.said(method)) == sorted(uris)


async def test_what_a_restarted_server_refuses_is_not_taken_for_granted() -> None:
    async with house(ScriptedServer("session")) as home:
        server = home.server
        one, two = await home.client("tcp", "session"), await home.client("tcp", "session")
        assert (await one.call("resources/subscribe", {"uri": URI})).result == {}
        server.silent.add("resources/subscribe")
        server.channels[0].hang_up()
        (await server.next_call("resources/subscribe")).fail(-32602, "not any more")
        await two.call("tools/list")
        pending = two.begin("resources/subscribe", {"uri": URI})
        (await server.next_call("resources/subscribe")).fail(-32602, "no")
        assert (await pending.reply()).error["code"] == -32602
