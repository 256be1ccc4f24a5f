"""Several of one server behind one name, end to end: who gets what, and what happens when one of them is lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from clients import Client, Reply
from gateway import House, house
from heard import Json, until
from scripted_http import HttpBackendProtocol
from scripted_server import Received, ScriptedServer, StreamChannel, tool

from tidegate.cli.sharing import sharing
from tidegate.config.snapshot import Backend, Limits
from tidegate.control.telemetry.exposition import Exposition
from tidegate.control.telemetry.gauges import write_backends
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.exchange import UNREAD
from tidegate.pipeline.upstream import slot as slot_module
from tidegate.pipeline.upstream.service import Service
from tidegate.storage.documents import Documents

pytestmark = pytest.mark.anyio

READS = tool("echo", annotations={"readOnlyHint": True})


class Replica(ScriptedServer):
    """Answers calls with its own label, unless it is told to wait. May die, and come back at the same place."""

    def __init__(self, era: str, label: str, transport: str = "http") -> None:
        super().__init__(era, "pair", tools=(READS, tool("hold")))
        self.label = label
        self.transport = transport
        self.waits = False
        self._port = 0
        self._server: asyncio.Server | None = None
        self._made: list[HttpBackendProtocol | StreamChannel] = []

    def serve(self, received: Received) -> None:
        if received.method == "tools/call" and not self.waits and received.params["name"] != "hold":
            received.text(self.label)
        else:
            super().serve(received)

    @property
    def called(self) -> int:
        return len(self.said("tools/call"))

    async def rise(self) -> str:
        """Its address."""

        def make() -> asyncio.Protocol:
            made = StreamChannel(self) if self.transport == "tcp" else HttpBackendProtocol(self)
            self._made.append(made)
            return made

        self._server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{self._port}"

    def die(self) -> None:
        if self._server is not None:
            self._server.close()
        for made in self._made:
            if made.transport is not None:
                made.transport.abort()
        self.channels.clear()
        self.listens.clear()


def backend(places: Sequence[str], transport: str, **fields: Json) -> Backend:
    path = "/mcp" if transport == "http" else "/sse"
    ends = tuple(place if transport == "tcp" else f"http://{place}{path}" for place in places)
    where: Json = {"address": ends[0]} if transport == "tcp" else {"url": ends[0]}
    return Backend("pair", cast(Json, transport), replicas=len(ends), endpoints=ends, **where, **fields)


@asynccontextmanager
async def replicated(*servers: Replica, **fields: Json) -> AsyncIterator[House]:
    """A gateway with one backend, whose replicas are `servers`."""
    places = [await server.rise() for server in servers]
    try:
        async with house(backends=[backend(places, servers[0].transport, **fields)]) as home:
            yield home
    finally:
        for server in servers:
            server.die()


@asynccontextmanager
async def children(server: ScriptedServer, **fields: Json) -> AsyncIterator[House]:
    """A gateway with two children, which are both `server`."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        one = await server.listen("stdio", Path(folder))
        try:
            async with house(backends=[replace(one, replicas=2, **fields)]) as home:
                yield home
        finally:
            server.close()


def service(home: House) -> Service:
    return home.daemon.gateway.services[0]


def ready(home: House) -> int:
    return sum(slot.state == "ready" for slot in service(home).slots.values())


async def all_open(home: House, client: Client, number: int = 2) -> None:
    await client.names()
    await until(lambda: ready(home) == number)


async def labels(client: Client, number: int) -> Counter[str]:
    """Who answers calls that are made one after the other."""
    return Counter([(await client.tool("echo").reply()).text for _ in range(number)])


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost is tried again soon."""
    monkeypatch.setattr(slot_module, "Backoff", lambda most_s: Backoff(0.1, 0.1))


# -- who gets a request -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("era", "server_era", "transport"),
    [
        ("modern", "modern", "http"),
        ("modern", "modern", "tcp"),
        ("session", "modern", "http"),
        ("session", "modern", "tcp"),
        ("modern", "session", "http"),
        ("modern", "session", "tcp"),
        ("modern", "session", "sse"),
    ],
)
@pytest.mark.parametrize("balance", ["least_loaded", "round_robin"])
async def test_calls_one_after_the_other_are_spread_evenly(
    era: str, server_era: str, transport: str, balance: str
) -> None:
    one, two = Replica(server_era, "one", transport), Replica(server_era, "two", transport)
    async with replicated(one, two, balance=balance) as home:
        client = await home.client("http", era)
        await all_open(home, client)
        assert await labels(client, 10) == {"one": 5, "two": 5}


async def test_the_replica_with_fewest_in_flight_gets_the_next_call() -> None:
    one, two = Replica("modern", "one"), Replica("modern", "two")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        for _ in range(4):
            client.tool("hold")
        await until(lambda: one.called == two.called == 2)
        for call in two.calls.items:
            call.text("held")
        await until(lambda: sum(connection.working for connection in open_connections(home)) == 2)
        assert await labels(client, 6) == {"two": 6}


def open_connections(home: House) -> list[Json]:
    return [slot.connection for slot in service(home).slots.values() if slot.connection is not None]


async def test_in_turn_means_in_turn_however_busy() -> None:
    one, two = Replica("modern", "one"), Replica("modern", "two")
    async with replicated(one, two, balance="round_robin") as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        client.tool("hold")
        await until(lambda: one.called + two.called == 1)
        assert await labels(client, 6) == {"one": 3, "two": 3}


async def test_a_full_replica_is_passed_over_and_a_queued_call_goes_to_whichever_has_room_first() -> None:
    one, two = Replica("modern", "one"), Replica("modern", "two")
    async with replicated(one, two, max_in_flight=1, balance="round_robin") as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        held = [client.tool("hold") for _ in range(5)]
        await until(lambda: one.called == two.called == 1 and len(service(home).queue) == 3)
        for _ in range(4):
            (await two.next_call("tools/call")).text("two")
        assert (one.called, two.called, len(service(home).queue)) == (1, 4, 0)
        (await one.next_call("tools/call")).text("one")
        assert Counter([(await call.reply()).text for call in held]) == {"one": 1, "two": 4}
        assert await labels(client, 4) == {"one": 2, "two": 2}


# -- who stays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abilities", [{}, {"elicitation": {}}])
@pytest.mark.parametrize("transport", ["http", "tcp"])
async def test_sessions_are_spread_and_each_stays_with_its_replica(transport: str, abilities: Json) -> None:
    one, two = Replica("session", "one", transport), Replica("session", "two", transport)
    async with replicated(one, two) as home:
        first = await home.client("http", "modern")
        await all_open(home, first)
        clients = [await home.client("tcp", "session", capabilities=abilities) for _ in range(4)]
        for _ in range(2):
            seen = [await labels(client, 3) for client in clients]
        assert all(len(one_client) == 1 for one_client in seen), seen
        assert sum(seen, Counter()) == {"one": 6, "two": 6}


@pytest.mark.parametrize("abilities", [{}, {"elicitation": {}}])
async def test_sessions_of_a_replica_that_is_lost_go_to_another_and_stay_there(abilities: Json, soon: None) -> None:
    one, two = Replica("session", "one", "tcp"), Replica("session", "two", "tcp")
    async with replicated(one, two) as home:
        first = await home.client("http", "modern")
        await all_open(home, first)
        clients = [await home.client("tcp", "session", capabilities=abilities) for _ in range(4)]
        before = [await labels(client, 1) for client in clients]
        one.die()
        await until(lambda: not any(slot.replica == 0 and slot.connection for slot in service(home).slots.values()))
        assert [await labels(client, 1) for client in clients] == [{"two": 1}] * 4
        await one.rise()
        await until(lambda: any(slot.replica == 0 and slot.connection for slot in service(home).slots.values()))
        after = [await labels(client, 2) for client in clients]
        stayed = [now for now, then in zip(after, before, strict=True) if then == {"two": 1}]
        assert len(stayed) == 2
        assert stayed == [{"two": 2}] * 2
        assert all(len(one_client) == 1 for one_client in after), after


# -- when one is lost ---------------------------------------------------------------------------------------------


async def hammer(client: Client, number: int, over: asyncio.Event | None = None) -> list[Reply]:
    """Calls, one after the other: `number` of them, and on until it is `over`."""
    replies: list[Reply] = []
    while len(replies) < number or (over is not None and not over.is_set()):
        replies.append(await client.tool("echo", {"n": len(replies)}).reply())
    return replies


def failed(replies: Sequence[Reply]) -> list[str]:
    return [reply.message["error"]["message"] for reply in replies if "error" in reply.message]


async def test_an_http_replica_that_dies_under_load_costs_only_the_calls_it_was_working_on(soon: None) -> None:
    one, two = Replica("modern", "one"), Replica("modern", "two")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        held = [client.tool("hold") for _ in range(4)]
        await until(lambda: one.called == two.called == 2)
        over = asyncio.Event()
        loads = [asyncio.ensure_future(hammer(client, 20, over)) for _ in range(8)]
        await until(lambda: one.called > 20)
        one.die()
        called = two.called
        await until(lambda: ready(home) == 1 and two.called > called + 20)
        await one.rise()
        called = one.called
        await until(lambda: ready(home) == 2 and one.called > called + 20)
        over.set()
        replies = [reply for load in loads for reply in await load]
        assert failed(replies) == []
        for call in two.calls.items:
            call.text("two")
        ends = [await call.reply() for call in held]
        assert len(failed(ends)) == 2
        assert Counter(reply.text for reply in ends if "result" in reply.message) == {"two": 2}
        assert await labels(client, 10) == {"one": 5, "two": 5}


@pytest.mark.parametrize("server_era", ["modern", "session"])
async def test_a_child_that_dies_under_load_costs_only_the_calls_it_had(server_era: str, soon: None) -> None:
    server = Replica(server_era, "any")
    async with children(server, start="at_once") as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        over = asyncio.Event()
        loads = [asyncio.ensure_future(hammer(client, 20, over)) for _ in range(8)]
        await until(lambda: server.called > 60)
        alive = [slot.connection for slot in service(home).slots.values()]
        next(channel for channel in server.channels if not channel.closed.is_set()).hang_up()
        await until(lambda: ready(home) == 2 and alive != [slot.connection for slot in service(home).slots.values()])
        called = server.called
        await until(lambda: server.called > called + 60)
        over.set()
        replies = [reply for load in loads for reply in await load]
        # Each of the eight had at most one call there.
        assert len(failed(replies)) <= 8
        assert all("exited with status" in words for words in failed(replies)), failed(replies)
        before = Counter(id(item.channel) for item in server.said("tools/call"))
        await labels(client, 10)
        since = Counter(id(item.channel) for item in server.said("tools/call")) - before
        assert sorted(since.values()) == [5, 5]


async def test_while_all_are_down_a_call_hears_why_and_the_first_that_is_back_serves(soon: None) -> None:
    one, two = Replica("modern", "one", "tcp"), Replica("modern", "two", "tcp")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        one.die()
        two.die()
        await until(lambda: all(slot.down for slot in service(home).slots.values()))
        assert "pair" in (await client.tool("echo").reply()).error["message"]
        await two.rise()
        await until(lambda: ready(home) == 1)
        assert await labels(client, 4) == {"two": 4}


async def test_a_call_finds_the_one_of_three_that_is_left(soon: None) -> None:
    servers = [Replica("modern", label) for label in ("one", "two", "three")]
    async with replicated(*servers) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client, 3)
        for dead in servers[:2]:
            dead.die()
        calls = [client.tool("echo") for _ in range(9)]
        assert {(await call.reply()).text for call in calls} == {"three"}


async def test_when_the_last_is_lost_those_that_were_down_are_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "Backoff", lambda most_s: Backoff(600.0, 600.0))
    one, two = Replica("modern", "one", "tcp"), Replica("modern", "two", "tcp")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        two.die()
        await until(lambda: ready(home) == 1)
        assert await labels(client, 2) == {"one": 2}
        await until(lambda: all(slot.state in ("ready", "down") and not slot.opening for slot in slots(home)))
        await two.rise()
        one.die()
        await until(lambda: not any(slot.replica == 0 and slot.connection for slot in slots(home)))
        assert await labels(client, 2) == {"two": 2}


@pytest.mark.parametrize("transport", ["http", "tcp"])
@pytest.mark.parametrize("server_era", ["modern", "session"])
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_a_replica_that_was_never_there_is_not_missed(era: str, server_era: str, transport: str) -> None:
    one, two = Replica(server_era, "one", transport), Replica(server_era, "two", transport)
    async with replicated(one, two) as home:
        one.die()
        client = await home.client("tcp", era)
        assert await client.names() == ["echo", "hold"]
        assert await labels(client, 4) == {"two": 4}


async def test_a_single_clients_connection_is_made_to_a_replica_that_is_there() -> None:
    one, two = Replica("session", "one", "tcp"), Replica("session", "two", "tcp")
    async with replicated(one, two) as home:
        one.die()
        clients = [await home.client("tcp", "session", capabilities={"elicitation": {}}) for _ in range(3)]
        assert [await labels(client, 2) for client in clients] == [{"two": 2}] * 3


async def test_a_call_that_waits_for_its_turn_survives_the_replica_it_waited_for(soon: None) -> None:
    one, two = Replica("modern", "one", "tcp"), Replica("modern", "two", "tcp")
    async with replicated(one, two, max_in_flight=1) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        held = [client.tool("hold") for _ in range(2)]
        await until(lambda: one.called == two.called == 1)
        waiting = [client.tool("echo") for _ in range(4)]
        await until(lambda: len(service(home).queue) == 4)
        one.die()
        await until(lambda: sum(call.answer.done() for call in held) == 1)
        two.calls.items[0].text("two")
        assert {(await call.reply()).text for call in waiting} <= {"one", "two"}


async def test_replicas_that_turn_out_to_speak_the_older_transport_are_all_reached_by_it(
    soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = HttpBackendProtocol._request

    def request(self: HttpBackendProtocol, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        if method == "POST" and not target.startswith("/messages"):
            self.respond(405, b"")
        else:
            usual(self, method, target, headers, body)

    monkeypatch.setattr(HttpBackendProtocol, "_request", request)
    one, two = Replica("session", "one", "sse"), Replica("session", "two", "sse")
    async with replicated(one, two) as home:
        places = service(home).config.endpoints
        both = Backend("pair", "http", url=places[0], endpoints=places, replicas=2)
        await home.daemon.take_up(replace(home.daemon.snapshot, backends=(both,)))
        client = await home.client("tcp", "modern")
        await client.names()
        await labels(client, 1)
        await until(lambda: ready(home) == 2)
        assert service(home).transport == "sse"
        assert await labels(client, 10) == {"one": 5, "two": 5}
        one.die()
        await until(lambda: any(slot.down for slot in slots(home)))
        assert service(home).transport == "sse"
        assert await labels(client, 4) == {"two": 4}


# -- what is known of it ------------------------------------------------------------------------------------------


async def test_a_replica_lost_or_back_changes_no_list_and_a_change_told_by_any_is_seen(soon: None) -> None:
    one, two = Replica("modern", "one", "tcp"), Replica("modern", "two", "tcp")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        client.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await client.notices.wait(lambda item: item["method"] == "notifications/subscriptions/acknowledged")
        told = len(client.notices)
        one.die()
        await until(lambda: ready(home) == 1)
        assert await client.names() == ["echo", "hold"]
        await one.rise()
        await until(lambda: ready(home) == 2)
        assert await client.names() == ["echo", "hold"]
        assert len(client.notices) == told
        for server in (one, two):
            server.offers["tools"].append(tool("new"))
        two.announce("notifications/tools/list_changed")
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed", skip=told)
        assert await client.names() == ["echo", "hold", "new"]


@pytest.mark.parametrize("server_era", ["modern", "session"])
async def test_what_is_followed_on_a_replica_that_is_lost_is_followed_on_another(server_era: str, soon: None) -> None:
    one, two = Replica(server_era, "one", "tcp"), Replica(server_era, "two", "tcp")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "session")
        await all_open(home, client)
        await client.call("resources/subscribe", {"uri": "test://pair/a"})
        first = next(slot for slot in service(home).slots.values() if slot.subscribed)
        there, other = (one, two) if first.replica == 0 else (two, one)
        there.die()
        await until(lambda: any(slot.subscribed and slot.replica != first.replica for slot in slots(home)))
        if server_era == "session":
            await other.wait_heard("resources/subscribe")
        else:
            await other.heard.wait(lambda item: "resourceSubscriptions" in item.params.get("notifications", {}), skip=0)
        other.announce("notifications/resources/updated", {"uri": "test://pair/a"})
        await client.notices.wait(lambda item: item["method"] == "notifications/resources/updated")


def slots(home: House) -> list[Json]:
    return list(service(home).slots.values())


async def test_operators_see_each_replica_and_what_it_was_given(soon: None) -> None:
    one, two = Replica("modern", "one"), Replica("modern", "two")
    async with replicated(one, two) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        before = [row["requests"] for row in replicas(home)]
        await labels(client, 10)
        client.tool("hold")
        await until(lambda: one.called + two.called == 11)
        rows = replicas(home)
        assert sum(row["requests"] for row in rows) - sum(before) == 11
        assert sorted(row["in_flight"] for row in rows) == [0, 1]
        assert [row["state"] for row in rows] == ["ready", "ready"]
        two.die()
        await labels(client, 3)
        await until(lambda: [row["state"] for row in replicas(home)] == ["ready", "down"])
        page = metrics_page(home.daemon.statistics())
        assert 'tidegate_backend_up{backend="pair"} 1' in page
        assert 'tidegate_backend_replica_up{backend="pair",replica="2"} 0' in page
        told = "\n".join("".join(span.text for span in line) for line in sharing([row_of(home)], None))
        assert "replica 1: everybody" in told
        assert "replica 2: everybody" in told


def row_of(home: House) -> Json:
    return home.daemon.statistics()["backends"][0]  # type: ignore[index]


def replicas(home: House) -> list[Json]:
    return list(row_of(home)["replicas"])


def metrics_page(statistics: Json) -> str:
    page = Exposition()
    write_backends(page, statistics)
    return page.text()


async def test_when_the_replica_that_was_heard_is_lost_clients_are_told_what_the_next_one_has_more(soon: None) -> None:
    one, two = Replica("modern", "one", "tcp"), Replica("modern", "two", "tcp")
    two.offers["tools"].append(tool("more"))
    async with replicated(one, two) as home:
        client = await home.client("tcp", "session")
        await all_open(home, client)
        assert await client.names() == ["echo", "hold"]
        told = len(client.notices)
        one.die()
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed", skip=told)
        assert await client.names() == ["echo", "hold", "more"]


async def test_what_replicas_offered_is_remembered_after_a_restart(tmp_path: Path) -> None:
    one, two = Replica("session", "one", "tcp"), Replica("session", "two", "tcp")
    places = [await one.rise(), await two.rise()]
    documents = Documents(tmp_path)
    async with house(backends=[backend(places, "tcp")], documents=documents) as home:
        client = await home.client("tcp", "modern")
        await all_open(home, client)
        await until(lambda: any(tmp_path.rglob("pair.json")))
    one.die()
    async with house(backends=[backend(places, "tcp")], documents=documents) as home:
        client = await home.client("tcp", "modern")
        assert await client.names() == ["echo", "hold"]
        assert await labels(client, 2) == {"two": 2}
    two.die()


async def test_what_a_request_may_be_balanced_over_is_known(soon: None) -> None:
    one, two = Replica("session", "one", "tcp"), Replica("session", "two", "tcp")
    async with replicated(one, two) as home:
        clients = [await home.client("tcp", "session") for _ in range(2)]
        asks_nobody = await home.client("tcp", "modern")
        await all_open(home, asks_nobody)
        for client in clients:
            await labels(client, 1)
        both = service(home).connections_for(UNREAD)
        assert [connection.closed for connection in both] == [False, False]
        for session in home.daemon.gateway.sessions:
            assert len(service(home).connections_for(session.client)) == 1
        one.die()
        await until(lambda: ready(home) == 1)
        assert service(home).connections_for(UNREAD) == both[1:]


# -- children -----------------------------------------------------------------------------------------------------


async def test_a_further_child_is_started_when_there_is_work_for_it() -> None:
    server = Replica("modern", "any")
    async with children(server) as home:
        client = await home.client("tcp", "modern")
        await client.names()
        await labels(client, 3)
        assert (ready(home), len(server.channels)) == (1, 1)
        client.tool("hold")
        await server.next_call("tools/call")
        await labels(client, 1)
        await until(lambda: ready(home) == 2)
        busy = server.said("tools/call")[-2].channel
        await labels(client, 2)
        assert [item.channel is busy for item in server.said("tools/call")[-2:]] == [False, False]


async def test_children_that_nobody_uses_stop_and_start_again() -> None:
    server = Replica("session", "any")
    async with children(server, idle_stop_s=0.2) as home:
        client = await home.client("tcp", "modern")
        held = [client.tool("hold") for _ in range(3)]
        await until(lambda: ready(home) == 2)
        for call in server.calls.items:
            call.text("done")
        assert {(await call.reply()).text for call in held} == {"done"}
        await until(lambda: [slot.state for slot in slots(home)] == ["idle", "idle"])
        assert await labels(client, 2) == {"any": 2}


# -- another configuration ----------------------------------------------------------------------------------------


async def test_a_replica_is_added_and_taken_away_while_calls_run() -> None:
    one, two = Replica("modern", "one"), Replica("modern", "two")
    places = [await one.rise(), await two.rise()]
    async with house(backends=[backend(places[:1], "http")], limits=Limits(rate_per_s=0, drain_s=10.0)) as home:
        client = await home.client("tcp", "modern")
        assert await labels(client, 2) == {"one": 2}
        held = client.tool("hold")
        call = await one.next_call("tools/call")
        await home.daemon.take_up(replace(home.daemon.snapshot, backends=(backend(places, "http"),)))
        await client.names()
        await until(lambda: ready(home) == 2)
        assert await labels(client, 10) == {"one": 5, "two": 5}
        call.text("at last")
        assert (await held.reply()).text == "at last"
    one.die()
    two.die()
