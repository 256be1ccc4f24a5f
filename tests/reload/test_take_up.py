"""A gateway that is given another configuration while clients use it: who notices, and what they notice."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import urllib.request
from dataclasses import replace

import pytest
from clients import Client, HttpClient
from gateway import House, house
from heard import BOUND_S, Json, within
from scripted_server import ScriptedServer, tool

from tidegate.config.snapshot import Backend, Limits, Listen, Snapshot
from tidegate.config.snapshot import Client as TokenOwner
from tidegate.errors import ConfigError
from tidegate.pipeline.accept import listener
from tidegate.systemd.sockets import Inherited, Passed

pytestmark = pytest.mark.anyio
LIST_CHANGED = "notifications/tools/list_changed"
ERAS = pytest.mark.parametrize("era", ["session", "modern"])


def owner(name: str, token: str = "", **more: Json) -> TokenOwner:
    return TokenOwner(name, hashlib.sha256((token or name).encode()).hexdigest(), **more)


async def changed(home: House, **more: Json) -> dict[str, Json]:
    """Puts a configuration into force that differs in `more`."""
    told = await within(home.daemon.take_up(replace(home.daemon.snapshot, **more)))
    assert told is not None
    return told


def backends(home: House) -> tuple[Backend, ...]:
    return home.daemon.snapshot.backends


async def opened(home: House, server: ScriptedServer) -> Backend:
    """One more server, on TCP, until the house is closed."""
    home.servers = (*home.servers, server)
    home.clients.append(server)  # type: ignore[arg-type] # closed with them
    return await server.listen("tcp", home.folder)


async def two(home: House, era: str) -> Backend:
    return await opened(home, ScriptedServer(era, "two", tools=(tool("two"),)))


async def list_changed_heard(client: Client) -> None:
    await client.notices.wait(lambda item: item["method"] == LIST_CHANGED)


async def following(home: House, era: str, **more: Json) -> Client:
    """A client that hears of changes, in its era's way."""
    client = await home.client("tcp", era, **more)
    if era == "modern":
        client.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await client.notices.wait(lambda item: item["method"].endswith("acknowledged"))
    return client


@ERAS
async def test_an_added_backend_is_there_at_once_and_gives_the_first_its_prefix(era: str) -> None:
    async with house(ScriptedServer(era)) as home:
        client = await following(home, era)
        assert await client.names() == ["echo"]
        told = await changed(home, backends=(*backends(home), await two(home, era)))
        assert told["backends"] == {
            "added": ["two"], "removed": [], "changed": [], "adjusted": [], "unchanged": ["one"]
        }  # fmt: skip
        assert (await client.tool("echo").reply()).error["message"] == "Unknown tool: `echo`"
        await list_changed_heard(client)
        assert await client.names() == ["one__echo", "two__two"]
        pending = client.tool("one__echo")
        (await home.server.next_call()).text("yes")
        assert (await pending.reply()).text == "yes"
        assert len(home.server.channels) == 1


@ERAS
async def test_a_removed_backends_tools_are_unknown_to_the_next_request(era: str) -> None:
    async with house(ScriptedServer(era)) as home:
        second = await two(home, era)
        await changed(home, backends=(*backends(home), second))
        client = await following(home, era)
        assert "two__two" in await client.names()
        channel = home.servers[1].channels[0]
        await changed(home, backends=backends(home)[:1])
        assert (await client.tool("two__two").reply()).error["message"] == "Unknown tool: `two__two`"
        await list_changed_heard(client)
        assert await client.names() == ["echo"]
        await within(channel.closed.wait())


@ERAS
async def test_a_filter_is_in_force_at_once_and_the_connection_stays(era: str) -> None:
    async with house(ScriptedServer(era, tools=(tool("a"), tool("b")))) as home:
        client = await following(home, era)
        assert await client.names() == ["a", "b"]
        pending = client.tool("a")
        call = await home.server.next_call()
        told = await changed(home, backends=(replace(backends(home)[0], exclude=("b",), call_timeout_s=7.0),))
        assert told["backends"]["adjusted"] == ["one"]
        assert (await client.tool("b").reply()).error["message"] == "Unknown tool: `b`"
        await list_changed_heard(client)
        assert await client.names() == ["a"]
        call.text("in flight meanwhile")
        assert (await pending.reply()).text == "in flight meanwhile"
        assert len(home.server.channels) == 1


@ERAS
async def test_a_changed_backend_serves_anew_while_its_old_calls_finish(era: str) -> None:
    old, new = ScriptedServer(era), ScriptedServer(era, tools=(tool("echo"), tool("more")))
    async with house(old, limits=Limits(drain_s=30.0, rate_per_s=0)) as home:
        client = await following(home, era)
        pending = client.tool("echo")
        call = await old.next_call()
        told = await changed(home, backends=(await opened(home, new),))
        assert told["backends"]["changed"] == ["one"]
        again = client.tool("echo")
        (await new.next_call()).text("new")
        assert (await again.reply()).text == "new"
        await list_changed_heard(client)
        assert await client.names() == ["echo", "more"]
        assert not old.channels[0].closed.is_set()
        call.text("old")
        assert (await pending.reply()).text == "old"
        await within(old.channels[0].closed.wait())


@ERAS
async def test_a_call_that_outlasts_the_drain_time_of_its_backend_is_told_so(era: str) -> None:
    async with house(ScriptedServer(era), limits=Limits(drain_s=0.05, rate_per_s=0)) as home:
        client = await home.client("http", era)
        pending = client.tool("echo")
        await home.server.next_call()
        await changed(home, backends=())
        error = (await pending.reply()).error
        assert "taken out of the configuration" in error["message"]
        assert "`drain_s`" in error["message"]


async def test_a_resource_is_followed_at_the_server_that_has_it_now() -> None:
    old, new = ScriptedServer("session"), ScriptedServer("session")
    async with house(old) as home:
        client = await home.client("tcp", "session")
        await client.call("resources/subscribe", {"uri": "test://one/a"})
        await changed(home, backends=(await opened(home, new),))
        await new.wait_heard("resources/subscribe")
        new.announce("notifications/resources/updated", {"uri": "test://one/a"})
        await client.notices.wait(lambda item: item["method"] == "notifications/resources/updated")


async def test_the_same_configuration_is_no_change() -> None:
    async with house(ScriptedServer("session")) as home:
        assert await home.daemon.take_up(replace(home.daemon.snapshot)) is None


# -- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way_in", ["http", "tcp", "sse"])
async def test_a_removed_token_ends_its_sessions_and_no_others(way_in: str) -> None:
    async with house(ScriptedServer("session"), owners=(owner("a"), owner("b"))) as home:
        gone = await home.client(way_in, "session", token="a")
        stays = await home.client(way_in, "session", token="b")
        pending = gone.tool("echo")
        await home.server.next_call()
        told = await changed(home, clients=(owner("b"),))
        assert told["clients"] == {"added": [], "removed": ["a"], "adjusted": []}
        assert "token" in (await pending.reply()).error["message"]
        assert await stays.names() == ["echo"]
        assert len(home.daemon.gateway.sessions) == 1
        if way_in != "sse":
            assert "token" in (await gone.call("tools/list")).error["message"].lower()


async def test_a_client_with_a_new_token_starts_a_new_session() -> None:
    async with house(ScriptedServer("session"), owners=(owner("a"), owner("b"))) as home:
        client = await home.client("tcp", "session", token="a")
        await changed(home, clients=(owner("a", "other"), owner("b")))
        assert "token" in (await client.call("tools/list")).error["message"]
        client.token = "other"
        assert (await client.call("tools/list")).error["code"] == -32602
        await client.call("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}})
        assert await client.names() == ["echo"]


@ERAS
async def test_other_rights_hold_at_once_and_the_session_stays(era: str) -> None:
    async with house(ScriptedServer(era, tools=(tool("a"), tool("b"))), owners=(owner("x"), owner("y"))) as home:
        client = await following(home, era, token="x")
        other = await following(home, era, token="y")
        assert await client.names() == ["a", "b"]
        told = await changed(home, clients=(owner("x", tools=("a",)), owner("y")))
        assert told["clients"]["adjusted"] == ["x"]
        assert (await client.tool("b").reply()).error["message"] == "Unknown tool: `b`"
        await list_changed_heard(client)
        assert await client.names() == ["a"]
        assert await other.names() == ["a", "b"]
        assert not [item for item in other.notices if item["method"] == LIST_CHANGED]


async def test_a_new_rate_holds_at_once_and_an_untouched_one_is_not_filled_up() -> None:
    owners = (owner("x", rate_per_s=0.001, burst=3), owner("y", rate_per_s=0.001, burst=3))
    async with house(ScriptedServer("modern"), owners=owners) as home:
        x, y = [await home.client("http", "modern", token=name) for name in "xy"]
        for client in (x, y):
            for _ in range(3):
                assert await client.names() == ["echo"]
            assert (await client.call("tools/list")).status == 429
        await changed(home, clients=(owner("x", rate_per_s=0.001, burst=1), owners[1]))
        assert await x.names() == ["echo"]
        assert (await x.call("tools/list")).status == 429
        assert (await y.call("tools/list")).status == 429


async def test_the_first_token_shuts_out_whoever_has_none_except_our_own_user() -> None:
    async with house(ScriptedServer("session")) as home:
        clients = [await home.client(way_in, "session") for way_in in ("http", "tcp", "unix")]
        await changed(home, clients=(owner("x"),))
        for client in clients[:2]:
            assert "token" in (await client.call("tools/list")).error["message"].lower()
        assert await clients[2].names() == ["echo"]
        assert len(home.daemon.gateway.sessions) == 1
        await changed(home, clients=())
        assert await (await home.client("tcp", "session")).names() == ["echo"]
        again = await home.client("http", "session")
        assert await again.names() == ["echo"]


async def test_an_open_stream_of_a_removed_token_ends() -> None:
    async with house(ScriptedServer("modern"), owners=(owner("a"), owner("b"))) as home:
        client = await home.client("tcp", "modern", token="a")
        stream = client.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await client.notices.wait(lambda item: item["method"].endswith("acknowledged"))
        await changed(home, clients=(owner("b"),))
        assert "token" in (await stream.reply()).error["message"]
        assert len(home.daemon.gateway.subscriptions) == 0


# -- limits ---------------------------------------------------------------------------------------------------------


async def test_limits_hold_at_once_or_for_new_connections() -> None:
    async with house(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        told = await changed(home, limits=replace(home.daemon.snapshot.limits, in_flight=1, line_bytes=2000))
        assert told["limits"] == {"now": ["in_flight"], "new_connections": ["line_bytes"]}
        pending = client.tool("echo", {"text": "x" * 3000})
        call = await home.server.next_call()
        assert "in flight" in (await client.call("tools/list")).error["message"]
        call.text("done")
        assert (await pending.reply()).text == "done"
        fresh = await home.client("tcp", "modern")
        fresh.tool("echo", {"text": "x" * 3000})
        assert "2000 bytes" in (await fresh.stray.wait(lambda item: True)).error["message"]


# -- listeners ------------------------------------------------------------------------------------------------------


async def test_an_untouched_listener_keeps_its_connections_a_removed_one_lets_its_calls_finish() -> None:
    async with house(ScriptedServer("session"), limits=Limits(drain_s=30.0, rate_per_s=0)) as home:
        http = await home.client("http", "session")
        busy, idle = [await home.client("tcp", "session") for _ in range(2)]
        where = home.tcp
        pending = busy.tool("echo")
        call = await home.server.next_call()
        told = await changed(home, listen=replace(home.daemon.snapshot.listen, tcp=()))
        assert told["listeners"] == {"added": [], "removed": [f"tcp {where}"]}
        assert "tcp" not in home.daemon.addresses
        with pytest.raises(ConnectionRefusedError), socket.create_connection(where.split(":")):  # type: ignore[arg-type]
            pass
        await within(idle.closed.wait())  # type: ignore[attr-defined]
        assert await http.names() == ["echo"]
        call.text("finished")
        assert (await pending.reply()).text == "finished"
        await within(busy.closed.wait())  # type: ignore[attr-defined]
        assert len(home.daemon.registry) <= 2


async def test_a_moved_listener_is_open_before_the_old_one_closes() -> None:
    async with house(ScriptedServer("session")) as home:
        listen = home.daemon.snapshot.listen
        before = home.http
        old_unix = home.unix
        told = await changed(
            home, listen=replace(listen, http=("127.0.0.1:0", "localhost:0"), unix=str(home.folder / "moved"))
        )
        assert home.daemon.addresses["http"][0] == before  # type: ignore[index]
        assert len(told["listeners"]["added"]) == 2
        assert told["listeners"]["removed"] == [f"unix {old_unix}"]
        client = HttpClient(home.daemon.addresses["http"][1], "session")  # type: ignore[index]
        home.clients.append(client)
        await within(client.start())
        assert await (await home.client("unix", "session")).names() == ["echo"]
        assert not (home.folder / "tg.sock").exists()


async def test_an_address_that_cannot_be_had_refuses_everything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with house(ScriptedServer("session")) as home:
            client = await home.client("tcp", "session")
            before = home.daemon.snapshot
            listen = replace(before.listen, http=(*before.listen.http, "127.0.0.1:0", address), tcp=())
            with pytest.raises(ConfigError, match="cannot listen on"):
                await home.daemon.take_up(replace(before, listen=listen, backends=()))
            assert home.daemon.snapshot is before
            assert len(home.daemon.addresses["http"]) == 1  # type: ignore[arg-type]
            assert await client.names() == ["echo"]


async def page(home: House, path: str) -> int:
    """HTTP status of a page of the operators' listener."""

    def fetch() -> int:
        with urllib.request.urlopen(f"{home.daemon.addresses['admin']}{path}", timeout=BOUND_S) as answer:
            return int(answer.status)

    return await asyncio.to_thread(fetch)


async def test_the_operators_listener_comes_moves_and_goes() -> None:
    async with house(ScriptedServer("session")) as home:
        listen = home.daemon.snapshot.listen
        await changed(home, listen=replace(listen, admin="127.0.0.1:0"))
        before = home.daemon.addresses["admin"]
        assert await page(home, "/health/ready") == 200
        told = await changed(home, listen=replace(listen, admin="localhost:0"))
        assert told["listeners"]["removed"] == [f"admin {str(before).removeprefix('http://')}"]
        assert home.daemon.addresses["admin"] != before
        assert await page(home, "/status") == 200
        await changed(home, listen=listen)
        assert "admin" not in home.daemon.addresses


def test_a_passed_socket_can_be_had_again_after_its_listener_was_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        address = f"127.0.0.1:{made.getsockname()[1]}"
        inherited = Inherited([Passed("http", made, address)])
        for _ in range(2):
            assert inherited.adopt(Listen(http=("127.0.0.1:1",))).http == (address,)
            passed = inherited.take("http", address)
            assert passed is not None
            with passed:
                assert passed.getsockname() == made.getsockname()
            assert inherited.take("http", address) is None


async def test_a_port_that_the_gateway_has_itself_changes_hands_only_by_a_restart() -> None:
    async with house(ScriptedServer("session")) as home:
        listen = home.daemon.snapshot.listen
        with pytest.raises(ConfigError, match=r"this gateway has that port itself, for `listen\.tcp`"):
            await home.daemon.take_up(replace(home.daemon.snapshot, listen=replace(listen, http=(home.tcp,), tcp=())))


async def test_a_kept_public_listener_that_nobody_needs_a_token_for_any_more_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house(ScriptedServer("session"), owners=(owner("a"),)) as home:
        monkeypatch.setattr(listener, "is_loopback", lambda host: False)
        with pytest.raises(ConfigError, match=r"listen\.allow_public"):
            await home.daemon.take_up(replace(home.daemon.snapshot, clients=()))
        await changed(home, clients=(owner("b"),))


async def test_the_mode_of_the_unix_socket_follows() -> None:
    async with house(ScriptedServer("session")) as home:
        await changed(home, listen=replace(home.daemon.snapshot.listen, unix_mode=0o660))
        assert (home.folder / "tg.sock").stat().st_mode & 0o777 == 0o660


async def test_hosts_and_origins_follow() -> None:
    async with house(ScriptedServer("modern")) as home:
        daemon = home.daemon
        client = await home.http_client("modern")
        assert await client.names() == ["echo"]
        await changed(home, listen=replace(daemon.snapshot.listen, allowed_origins=("https://tools.example.org",)))
        daemon._origin.check("127.0.0.1", "https://tools.example.org")


async def test_a_daemon_without_listeners_may_be_given_some() -> None:
    async with house(ScriptedServer("modern")) as home:
        await changed(home, listen=Listen())
        assert home.daemon.addresses == {}
        await changed(home, listen=Listen(http=("127.0.0.1:0",)))
        assert await (await home.client("http", "modern")).names() == ["echo"]


async def test_a_hundred_configurations_leave_nothing_behind() -> None:
    async with house(ScriptedServer("modern")) as home:
        gateway = home.daemon.gateway
        client = await home.client("http", "modern")
        second = await two(home, "modern")
        first = backends(home)
        for _ in range(50):
            await changed(home, backends=(*first, second))
            assert await client.names() == ["one__echo", "two__two"]
            await changed(home, backends=first)
            assert await client.names() == ["echo"]
        await within(_nothing_retiring(home))
        assert [service.name for service in gateway.services] == ["one"]
        assert len(home.server.channels) == 1
        assert isinstance(home.daemon.snapshot, Snapshot)


async def _nothing_retiring(home: House) -> None:
    import anyio

    while home.daemon.gateway.statistics()["retiring"]:  # noqa: ASYNC110  bounded by whoever waits
        await anyio.sleep(0.01)
