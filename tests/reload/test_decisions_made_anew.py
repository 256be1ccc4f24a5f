"""Every way in which a decision that the relay repeats can become untrue: the next call is decided anew.

Each row of the table makes a flow (the same call is relayed), changes one thing, and says what becomes of the next
call. Whatever that is, the relay has not repeated what was decided before.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from clients import PREFIX, Client, HttpClient, Pending, Reply, StreamClient
from gateway import House, house
from heard import Json, until, within
from http_wire import HttpConnection
from scripted_server import ScriptedServer, tool

from tidegate.config.snapshot import Backend, Limits
from tidegate.config.snapshot import Client as TokenOwner
from tidegate.pipeline.era.session import Session
from tidegate.pipeline.upstream.connection import Connection

pytestmark = pytest.mark.anyio
FAR_FROM_IDLE_S = 1e9


def owner(name: str, token: str = "", **more: Json) -> TokenOwner:
    return TokenOwner(name, hashlib.sha256((token or name).encode()).hexdigest(), **more)


@dataclass
class Scene:
    """A gateway, and a client whose calls of one name are relayed."""

    home: House
    client: Client
    name: str = "echo"
    method: str = "tools/call"
    arguments: Json = field(default_factory=lambda: {"arguments": {}})

    @property
    def server(self) -> ScriptedServer:
        return self.home.server

    @property
    def backend(self) -> Backend:
        return self.home.daemon.snapshot.backends[0]

    @property
    def relayed(self) -> int:
        return int(self.home.daemon.gateway.relay.native.relayed)

    @property
    def session(self) -> Session:
        (session,) = self.home.daemon.gateway.sessions
        return session

    def begin(self, name: str = "", **more: Json) -> Pending:
        named = {("uri" if self.method == "resources/read" else "name"): name or self.name}
        return self.client.begin(self.method, {**named, **self.arguments}, **more)

    async def answered(self, server: ScriptedServer | None = None, name: str = "", **more: Json) -> Reply:
        """One call, answered by this server and no other."""
        server = server or self.server
        pending = self.begin(name, **more)
        (await server.next_call(self.method)).reply(server.complete({"content": [], "from": server.name}))
        reply = await pending.reply()
        assert reply.result["from"] == server.name
        return reply

    async def error(self, name: str = "") -> Json:
        """That of one call, which no server hears of."""
        heard = [len(server.said(self.method)) for server in self.home.servers]
        found = (await self.begin(name).reply()).error
        assert [len(server.said(self.method)) for server in self.home.servers] == heard
        return found

    async def flow(self, server: ScriptedServer | None = None) -> None:
        """Makes one: the first call may open the connection, the second one is decided, the third one relayed."""
        await self.answered(server)
        if isinstance(self.client, StreamClient):
            # Shown once; a message with a token in it is never relayed.
            self.client.token = ""
        await self.answered(server)
        before = self.relayed
        await self.answered(server)
        assert self.relayed == before + 1

    async def reload(self, **more: Json) -> None:
        assert await within(self.home.daemon.take_up(replace(self.home.daemon.snapshot, **more))) is not None

    async def adjust(self, **more: Json) -> None:
        """Other settings for the first backend."""
        first, *rest = self.home.daemon.snapshot.backends
        await self.reload(backends=(replace(first, **more), *rest))

    async def opened(self, server: ScriptedServer, **fields: Json) -> Backend:
        """One more server, on TCP, until the house is closed."""
        self.home.servers = (*self.home.servers, server)
        self.home.clients.append(server)  # type: ignore[arg-type] # closed with them
        return await server.listen("tcp", self.home.folder, **fields)


Step = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    """`change` is what happens; `then` makes the next call and says what becomes of it."""

    change: Step
    then: Step
    roads: tuple[str, ...] = ("http", "tcp")
    spoken: tuple[str, ...] = ("session", "modern")
    """The eras of client and server, which are the same."""
    tools: tuple[str, ...] = ("echo",)
    owners: tuple[TokenOwner, ...] = ()
    token: str = ""
    limits: Limits = Limits(rate_per_s=0, drain_s=0.0)  # noqa: RUF009 - frozen
    fields: Json = None


def unknown(name: str = "echo") -> Step:
    async def then(scene: Scene) -> None:
        assert (await scene.error(name))["message"] == f"Unknown tool: `{name}`"

    return then


def says(*words: str) -> Step:
    async def then(scene: Scene) -> None:
        message = (await scene.error())["message"]
        for word in words:
            assert word in message

    return then


async def served(scene: Scene) -> None:
    await scene.answered()


async def served_by_new(scene: Scene) -> None:
    await scene.answered(scene.home.servers[1])


def adjusted(**more: Json) -> Step:
    async def change(scene: Scene) -> None:
        await scene.adjust(**more)

    return change


def reloaded(**more: Json) -> Step:
    async def change(scene: Scene) -> None:
        await scene.reload(**more)

    return change


def limited(**more: Json) -> Step:
    async def change(scene: Scene) -> None:
        await scene.reload(limits=replace(scene.home.daemon.snapshot.limits, **more))

    return change


# -- the session -------------------------------------------------------------------------------------------------


async def deleted(scene: Scene) -> None:
    client = scene.client
    assert isinstance(client, HttpClient)
    gone = client.open("DELETE", client.headers(), b"", None)
    await within(gone.ended.wait())


async def reaped(scene: Scene) -> None:
    """The idle time is over for the session, without waiting for it."""
    await hang_up_stream(scene)
    sessions = scene.home.daemon.gateway.sessions
    scene.home.daemon.gateway.relay.publish()
    sessions._used_s[scene.session.key] -= FAR_FROM_IDLE_S
    assert sessions._reap() == 1


async def crowded_out(scene: Scene) -> None:
    """Another client's session takes the last place in the table."""
    await hang_up_stream(scene)
    await scene.home.client("http", "session")


async def hang_up_stream(scene: Scene) -> None:
    """Whoever has a stream open is not idle."""
    client = scene.client
    assert isinstance(client, HttpClient)
    assert client.general is not None
    session = scene.session
    client.general.close()
    await until(lambda: session.general is None or not session.general.alive)


# -- servers -----------------------------------------------------------------------------------------------------


async def tool_removed(scene: Scene) -> None:
    await offers(scene, tool("other"))


async def tool_renamed(scene: Scene) -> None:
    await offers(scene, tool("echo2"))


async def offers(scene: Scene, *tools: bytes) -> None:
    """The server says that its list has changed, and has been asked for it."""
    server = scene.server
    if server.era == "modern":
        await until(lambda: bool(server.listens))
    voided = scene.home.daemon.gateway.relay.statistics()["voided_total"]
    server.offers["tools"] = list(tools)
    server.announce("notifications/tools/list_changed")
    await until(lambda: scene.home.daemon.gateway.relay.statistics()["voided_total"] != voided)


async def died(scene: Scene) -> None:
    channel = scene.server.channels[-1]
    channel.hang_up()
    await within(channel.closed.wait())
    await until(lambda: not _connections(scene))


async def came_back_otherwise(scene: Scene) -> None:
    """As a server of the other era."""
    scene.server.era = "modern" if scene.server.era == "session" else "session"
    await died(scene)


async def came_back_without(scene: Scene) -> None:
    """As a version that has the tool no more."""
    scene.server.offers["tools"] = [tool("other")]
    await died(scene)
    # Until it has said so, it is taken for what it was.
    await until(lambda: bool(_connections(scene)))


def _connections(scene: Scene) -> list[Connection]:
    slots = scene.home.daemon.gateway.services[0].slots.values()
    return [slot.connection for slot in slots if slot.connection is not None]


async def served_by_the_next(scene: Scene) -> None:
    await scene.answered()
    assert len(scene.server.channels) == 2


async def served_across_eras(scene: Scene) -> None:
    reply = await scene.answered()
    assert ("resultType" in reply.result) == (scene.client.era == "modern")
    assert len(scene.server.channels) >= 2


async def moved(scene: Scene) -> None:
    """The backend of this name is another server."""
    await scene.reload(backends=(await scene.opened(ScriptedServer(scene.server.era)),))


async def moved_to_another(scene: Scene) -> None:
    """The tool is taken from one backend, and another one gets its name."""
    second = await scene.opened(ScriptedServer(scene.server.era, "two"), prefix="")
    await scene.reload(backends=(replace(scene.backend, exclude=("echo",), prefix=""), second))


async def joined(scene: Scene) -> None:
    """A second backend: both have a prefix from now on."""
    second = await scene.opened(ScriptedServer(scene.server.era, "two", tools=(tool("two"),)))
    await scene.reload(backends=(scene.backend, second))


# -- ways in -----------------------------------------------------------------------------------------------------


async def listener_removed(scene: Scene) -> None:
    """The connection stays until it has nothing more to do, which is now."""
    listen = scene.home.daemon.snapshot.listen
    await scene.reload(listen=replace(listen, tcp=(), unix=""))


async def hung_up(scene: Scene) -> None:
    client = scene.client
    assert isinstance(client, StreamClient)
    scene.begin()
    await within(client.closed.wait())
    assert len(scene.server.said("tools/call")) == 3


async def first_owner(scene: Scene) -> None:
    await scene.reload(clients=(owner("somebody"),))


async def called_by_a_foreign_name(scene: Scene) -> None:
    """The client's flow is that of a name which only the configuration lets in."""
    await foreign_name(scene, 200)
    before = scene.relayed
    await foreign_name(scene, 200)
    assert scene.relayed == before + 1
    await scene.reload(listen=replace(scene.home.daemon.snapshot.listen, allowed_hosts=()))


async def turned_away(scene: Scene) -> None:
    await foreign_name(scene, 403)


async def foreign_name(scene: Scene, status: int) -> None:
    client = scene.client
    assert isinstance(client, HttpClient)
    raw = client.compose(7, "tools/call", {"name": "echo", "arguments": {}})
    replies: list[bytes] = []
    headers = {**client.headers(raw), "host": "gate.example.org", "origin": "http://localhost:3000"}
    asked = HttpConnection(client.where, "POST", headers, raw, lambda raw, _: replies.append(raw))
    asked.begin()
    if status == 200:
        (await scene.server.next_call("tools/call")).text("yes")
    await within(asked.started.wait())
    asked.close()
    assert asked.response.status == status


# -- room --------------------------------------------------------------------------------------------------------


async def in_line(scene: Scene) -> None:
    """One call, relayed, has the only place: the next two wait, and have their turn in order."""
    first = scene.begin()
    held = await scene.server.next_call("tools/call")
    relay = scene.home.daemon.gateway.relay.native
    assert relay.in_flight == 1
    waiting = [scene.begin(), scene.begin()]
    await until(lambda: len(scene.home.daemon.gateway.services[0].queue) == 2)
    assert len(scene.server.said("tools/call")) == 4
    held.text("first")
    await first.reply()
    for number, pending in enumerate(waiting):
        (await scene.server.next_call("tools/call")).text(str(number))
        assert (await pending.reply()).text == str(number)


async def one_in_flight(scene: Scene) -> None:
    """With room for one, a second call waits."""
    first = scene.begin()
    held = await scene.server.next_call("tools/call")
    second = scene.begin()
    await until(lambda: len(scene.home.daemon.gateway.services[0].queue) == 1)
    held.text("first")
    assert (await first.reply()).text == "first"
    (await scene.server.next_call("tools/call")).text("second")
    assert (await second.reply()).text == "second"


async def nothing(scene: Scene) -> None:
    """What is different is in the call itself."""


async def log_lines_heard(scene: Scene) -> None:
    """Another log level in `_meta`: a line that the server says meanwhile arrives."""
    pending = scene.begin(meta={PREFIX + "logLevel": "debug"})
    call = await scene.server.next_call("tools/call")
    call.notify("notifications/message", {"level": "debug", "data": "told"})
    call.text("yes")
    await pending.reply()
    assert [item["method"] for item in scene.client.notices] == ["notifications/message"]


async def level_set(scene: Scene) -> None:
    await scene.client.call("logging/setLevel", {"level": "error"})
    scene.client.notices.items.clear()


async def only_errors_heard(scene: Scene) -> None:
    """The level of a session holds for calls in flight in the relay."""
    pending = scene.begin()
    call = await scene.server.next_call("tools/call")
    call.channel.notify("notifications/message", {"level": "info", "data": "untold"})
    call.channel.notify("notifications/message", {"level": "error", "data": "told"})
    call.text("yes")
    assert (await pending.reply()).text == "yes"
    data = [item["params"]["data"] for item in scene.client.notices if item["method"] == "notifications/message"]
    assert data == ["told"]


async def refused_for_its_rate(scene: Scene) -> None:
    """The first call has the only token of the new bucket."""
    await scene.answered()
    assert "requests a second" in (await scene.error())["message"]


TABLE: dict[str, Row] = {
    "the session is deleted": Row(deleted, says("Session not found"), ("http",), ("session",)),
    "the session was idle for too long": Row(reaped, says("Session not found"), ("http",), ("session",)),
    "the table of sessions is full": Row(
        crowded_out,
        says("Session not found"),
        ("http",),
        ("session",),
        limits=Limits(rate_per_s=0, drain_s=0.0, sessions=1),
    ),
    "the token is revoked, in a session over HTTP": Row(
        reloaded(clients=(owner("b"),)), says("wants"), ("http",), ("session",), owners=(owner("a"),), token="a"
    ),
    "the token is revoked": Row(
        reloaded(clients=(owner("b"),)), says("token"), ("http", "tcp"), owners=(owner("a"),), token="a"
    ),
    "the token is another one's": Row(
        reloaded(clients=(owner("b", "a", tools=("other",)),)),
        says(""),
        ("http", "tcp"),
        owners=(owner("a"),),
        token="a",
    ),
    "the token allows less": Row(
        reloaded(clients=(owner("a", tools=("other",)),)), unknown(), ("http", "tcp"), owners=(owner("a"),), token="a"
    ),
    "a token is wanted": Row(first_owner, says("token"), ("http", "tcp")),
    "a token is wanted, but not from the gateway's own user": Row(first_owner, served, ("unix",)),
    "the caller may call less often": Row(
        reloaded(clients=(owner("a", rate_per_s=0.001, burst=1),)),
        refused_for_its_rate,
        ("http", "tcp"),
        owners=(owner("a"),),
        token="a",
    ),
    "everybody may call less often": Row(limited(rate_per_s=0.001, burst=1), refused_for_its_rate),
    "the server removes the tool": Row(tool_removed, unknown()),
    "the server renames the tool": Row(tool_renamed, unknown()),
    "the server dies": Row(died, served_by_the_next),
    "the server comes back in the other era": Row(came_back_otherwise, served_across_eras),
    "the server comes back without the tool": Row(came_back_without, unknown()),
    "the backend is another server": Row(moved, served_by_new),
    "another backend gets the name": Row(moved_to_another, served_by_new),
    "a second backend comes": Row(joined, unknown()),
    "the backend is removed": Row(reloaded(backends=()), unknown()),
    "the backend is disabled": Row(adjusted(enabled=False), unknown()),
    "the tool is excluded": Row(adjusted(exclude=("ec*",)), unknown()),
    "other tools are included": Row(adjusted(include=("other",)), unknown()),
    "the tool has an alias": Row(adjusted(aliases=(("echo", "cry"),)), unknown()),
    "the alias is another tool's": Row(
        adjusted(aliases=(("other", "echo"), ("echo", "cry"))), served, tools=("echo", "other")
    ),
    "the backend has a prefix": Row(adjusted(prefix="p_"), unknown()),
    "connections are made otherwise": Row(adjusted(isolation="shared"), served),
    "less may be in flight at the server": Row(adjusted(max_in_flight=1), one_in_flight, ("tcp",)),
    "others wait for the server": Row(nothing, in_line, ("tcp",), ("session",), fields={"max_in_flight": 1}),
    "nothing more may be in flight": Row(limited(in_flight=0), says("in flight")),
    "the relay is turned off": Row(reloaded(relay=False), served),
    "the listener is removed": Row(listener_removed, hung_up, ("tcp", "unix")),
    "the name in `Host` is not allowed any more": Row(called_by_a_foreign_name, turned_away, ("http",)),
    "the request has another log level": Row(nothing, log_lines_heard, ("http", "tcp"), ("modern",)),
    "the session has another log level": Row(level_set, only_errors_heard, ("tcp", "http"), ("session",)),
}
CASES = [
    pytest.param(row, road, era, id=f"{what} - {era} over {road}")
    for what, row in TABLE.items()
    for road in row.roads
    for era in row.spoken
]


@asynccontextmanager
async def staged(row: Row, road: str, era: str, *, flow: bool = True) -> AsyncIterator[Scene]:
    """`flow`: there is one; else the server has been called."""
    server = ScriptedServer(era, tools=tuple(tool(name) for name in row.tools))
    async with house(server, limits=row.limits, owners=row.owners, fields=[row.fields or {}]) as home:
        if road == "http":
            listen = replace(home.daemon.snapshot.listen, allowed_hosts=("gate.example.org",))
            await within(home.daemon.take_up(replace(home.daemon.snapshot, listen=listen)))
        scene = Scene(home, await home.client(road, era, token=row.token))
        if flow:
            await scene.flow()
        else:
            await scene.answered()
        yield scene


@pytest.mark.parametrize(("row", "road", "era"), CASES)
async def test_the_next_call_is_decided_anew(row: Row, road: str, era: str) -> None:
    async with staged(row, road, era) as scene:
        await row.change(scene)
        before = scene.relayed
        await row.then(scene)
        assert scene.relayed == before


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_name_that_another_backend_turns_out_to_have_is_decided_anew(era: str) -> None:
    """Of two that have it, the first one keeps it; that one can be heard only when the other was called already."""
    first, second = ScriptedServer("neither", "first"), ScriptedServer(era, "second")
    async with house(first, second, limits=Row(served, served).limits, fields=[{"prefix": ""}] * 2) as home:
        scene = Scene(home, await home.client("tcp", era))
        await scene.flow(second)
        first.era = era
        await until(lambda: bool(_connections(scene)))
        before = scene.relayed
        await scene.answered(first)
        assert scene.relayed == before


@pytest.mark.parametrize(
    ("what", "road", "era"),
    [
        ("a call that may take but 2 s", "tcp", "session"),
        ("a call that may take but 2 s", "http", "modern"),
        ("a token in each message", "tcp", "session"),
        ("a progress token", "tcp", "modern"),
        ("a method that is no call", "tcp", "session"),
    ],
)
async def test_some_calls_are_decided_each_time(what: str, road: str, era: str) -> None:
    fields = {"call_timeout_s": 2.0} if "2 s" in what else {}
    token = "a" if "token in each" in what else ""
    owners = (owner("a"),) if token else ()
    async with house(ScriptedServer(era), limits=Row(served, served).limits, fields=[fields], owners=owners) as home:
        scene = Scene(home, await home.client(road, era, token=token))
        for number in range(4):
            if what == "a method that is no call":
                await scene.client.call("tools/list")
            else:
                await scene.answered(meta={"progressToken": number} if what == "a progress token" else None)
        assert scene.relayed == 0
