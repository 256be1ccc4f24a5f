"""Clients and servers that mean no good, against calls that the relay repeats."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from clients import Client, Pending
from gateway import House, house
from heard import Json, until, within
from http_wire import HttpConnection
from scripted_server import Received, ScriptedServer, StreamChannel, dump

from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("era", ["session", "modern"])
LIMITS = Limits(rate_per_s=0, drain_s=0.0)


def relayed(home: House) -> int:
    return int(home.daemon.gateway.relay.native.relayed)


def in_relay(home: House) -> int:
    return int(home.daemon.gateway.relay.native.in_flight)


async def answered(client: Client, server: ScriptedServer, name: str = "echo") -> None:
    pending = client.tool(name)
    (await server.next_call()).text("made")
    await pending.reply()


async def flow(home: House, client: Client, server: ScriptedServer | None = None, name: str = "echo") -> None:
    """From here on, calls of this tool by this client are relayed."""
    before = relayed(home)
    for _ in range(3):
        await answered(client, server or home.server, name)
    assert relayed(home) > before


async def held(home: House, client: Client, name: str = "echo", **more: Json) -> tuple[Pending, Received]:
    """A call in flight in the relay, and what the server has of it."""
    before = in_relay(home)
    pending = client.tool(name, **more)
    call = await home.server.next_call()
    assert in_relay(home) == before + 1
    return pending, call


@asynccontextmanager
async def one_server(era: str = "session", **more: Json) -> AsyncIterator[House]:
    limits = more.pop("limits", LIMITS)
    async with house(ScriptedServer(era), limits=limits, fields=[more]) as home:
        yield home


# -- what is kept ------------------------------------------------------------------------------------------------


async def test_flows_that_are_forgotten_leave_no_decisions() -> None:
    """Endless names of resources: each is a flow, until all are forgotten, and then nothing is kept of them."""
    async with one_server() as home:
        client = await home.stream_client("tcp", "session")
        for number in range(20):
            pending = client.begin("resources/read", {"uri": f"test://one/item/{number}"})
            (await home.server.next_call()).reply({"contents": []})
            await pending.reply()
        relay = home.daemon.gateway.relay
        rows = relay.native.flows()
        assert len(rows) >= 19
        kind = type(rows[0][0])
        del rows
        relay.void("test")
        gc.collect()
        assert [item for item in gc.get_objects() if type(item) is kind and item._lane is relay] == []


# -- servers -----------------------------------------------------------------------------------------------------


@ERAS
async def test_an_answer_under_another_spelling_or_to_nobody_is_dropped(era: str) -> None:
    async with one_server(era) as home:
        client = await home.client("tcp", era)
        await flow(home, client)
        pending, call = await held(home, client)
        result = dump(home.server.complete({"content": [{"type": "text", "text": "wrong"}]}))
        for own_id in (f"{call.id}.0", f'"{call.id}"', f"{call.id}e0", f"-{call.id}", "999999", "0", "null", "[1]"):
            call.channel.send(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (own_id.encode(), result))
        call.channel.send(b"no message")
        call.text("right")
        call.text("twice")
        assert (await pending.reply()).text == "right"
        await client.names()
        assert len(client.stray) == 0
        await flow(home, client)


async def test_a_server_cannot_answer_what_was_asked_of_another() -> None:
    one, two = ScriptedServer("session"), ScriptedServer("session", "two")
    async with house(one, two, limits=LIMITS) as home:
        client = await home.client("tcp", "session")
        other = await home.client("tcp", "session")
        await flow(home, client, one, "one__echo")
        await flow(home, other, two, "two__echo")
        pending, call = await held(home, client, "one__echo")
        for own_id in range(1, 50):
            two.channels[-1].send(dump({"jsonrpc": "2.0", "id": own_id, "result": {"content": []}}))
        await answered(other, two, "two__echo")
        assert not pending.answer.done()
        call.text("mine")
        assert (await pending.reply()).text == "mine"


@ERAS
async def test_a_call_that_was_taken_over_is_answered_once(era: str) -> None:
    async with one_server(era) as home:
        client = await home.client("tcp", era)
        await flow(home, client)
        pending, call = await held(home, client)
        call.channel.notify("notifications/message", {"level": "info", "data": "has all taken over"})
        call.text("once")
        call.text("twice")
        assert (await pending.reply()).text == "once"
        assert in_relay(home) == 0
        await client.names()
        assert len(client.stray) == 0


@ERAS
async def test_a_server_that_floods_with_answers_to_nobody_does_not_delay_others(era: str) -> None:
    async with one_server(era) as home:
        client = await home.client("tcp", era)
        await flow(home, client)
        pending, call = await held(home, client)
        channel = call.channel
        assert isinstance(channel, StreamChannel)
        assert channel.transport is not None
        channel.transport.write(b'{"jsonrpc":"2.0","id":424242,"result":{}}\n' * 500)
        call.text("yes")
        assert (await pending.reply()).text == "yes"


# -- ids of clients ----------------------------------------------------------------------------------------------


@ERAS
@pytest.mark.parametrize("way_in", ["tcp", "unix"])
async def test_ids_are_told_apart_by_their_bytes(era: str, way_in: str) -> None:
    async with one_server(era) as home:
        client = await home.stream_client(way_in, era)
        await flow(home, client)
        first = client.begin("tools/call", {"name": "echo", "arguments": {}}, own_id=77)
        call = await home.server.next_call()
        text = client.begin("tools/call", {"name": "echo", "arguments": {}}, own_id="77")
        other = await home.server.next_call()
        again = client.compose(77, "tools/call", {"name": "echo", "arguments": {}})
        client.send_other(again)
        # Which of the two it is for, the id does not say.
        assert "in use" in (await first.reply()).error["message"]
        other.text("text")
        assert (await text.reply()).text == "text"
        call.text("number")
        await until(lambda: any(reply.message.get("result") for reply in client.stray))


# -- who shares a head -------------------------------------------------------------------------------------------


@ERAS
async def test_connections_that_send_the_same_head_get_their_own_answers(era: str) -> None:
    async with one_server(era) as home:
        client = await home.http_client(era)
        await flow(home, client)
        # The same bytes on two connections at once, but for what the arguments say.
        pairs = [await held(home, client, arguments={"n": number}) for number in range(2)]
        for _, call in reversed(pairs):
            call.text(str(call.params["arguments"]["n"]))
        for number, (pending, _) in enumerate(pairs):
            assert (await pending.reply()).text == str(number)


# -- clients that do not read --------------------------------------------------------------------------------------


LONG = "x" * 200_000


@ERAS
async def test_a_stream_that_is_not_read_is_cut_off_and_others_go_on(era: str) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, write_buffer_bytes=1_000_000)
    async with one_server(era, limits=limits) as home:
        client = await home.stream_client("tcp", era)
        other = await home.client("tcp", era)
        await flow(home, client)
        await flow(home, other)
        assert client.transport is not None
        client.transport.pause_reading()
        before = relayed(home)
        for _ in range(60):
            client.tool("echo")
        for _ in range(60):
            (await home.server.next_call()).text(LONG)
        await until(lambda: home.daemon.registry.statistics()["open"] == 1)
        assert relayed(home) > before
        await flow(home, other)
        client.transport.resume_reading()


@ERAS
async def test_over_http_whoever_does_not_read_is_not_served_before(era: str) -> None:
    async with one_server(era) as home:
        client = await home.http_client(era)
        await flow(home, client)
        raw = client.compose(5, "tools/call", {"name": "echo", "arguments": {}})
        replies: list[bytes] = []
        kept = HttpConnection(client.where, "POST", client.headers(raw), raw, lambda raw, _: replies.append(raw))
        request = kept._request
        kept.begin()
        sock = kept._sock
        assert sock is not None
        call = await home.server.next_call()
        reading = pause(kept)
        call.text("x" * 8_000_000)
        await until(lambda: in_relay(home) == 0)
        heard = len(home.server.said("tools/call"))
        sock.send(request)
        other = await home.client("tcp", era)
        await flow(home, other)
        assert len(home.server.said("tools/call")) == heard + 3
        reading()
        (await home.server.next_call()).text("second")
        await within(kept.ended.wait())
        kept.close()


def pause(connection: HttpConnection) -> Callable[[], None]:
    """Reads no more; returns what reads on."""
    loop = asyncio.get_running_loop()
    assert connection._sock is not None
    loop.remove_reader(connection._sock)
    return lambda: loop.add_reader(connection._sock, connection._readable)


# -- fairness ----------------------------------------------------------------------------------------------------


@ERAS
async def test_one_who_floods_is_taken_in_turns_with_the_others(era: str) -> None:
    async with one_server(era, max_in_flight=4) as home:
        flooder = await home.client("tcp", era)
        victim = await home.client("tcp", era)
        await flow(home, flooder)
        await flow(home, victim)
        for _ in range(24):
            flooder.tool("echo", {"who": "flooder"})
        calls = [await home.server.next_call() for _ in range(4)]
        pending = victim.tool("echo", {"who": "victim"})
        await until(lambda: len(home.daemon.gateway.services[0].queue) == 21)
        served: list[str] = []
        while not pending.answer.done():
            calls.pop(0).text("done")
            calls.append(await home.server.next_call())
            served.append(calls[-1].params["arguments"]["who"])
            if served[-1] == "victim":
                calls[-1].text("done")
                await pending.reply()
        # Clients without a session and a token are one and the same, and wait in the order in which they came.
        assert len(served) <= (2 if era == "session" else 21)
