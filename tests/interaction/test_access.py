"""Tokens: who is let in, what they see, and how much they may ask."""

from __future__ import annotations

import hashlib

import pytest
from clients import Client, HttpClient, StreamClient
from gateway import House, house
from heard import within
from scripted_server import ScriptedServer, dump, tool

from tidegate.config.snapshot import Client as TokenOwner
from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio
sides = pytest.mark.parametrize(
    ("era", "way_in"),
    [
        ("session", "http"),
        ("session", "sse"),
        ("session", "tcp"),
        ("modern", "http"),
        ("modern", "tcp"),
        ("modern", "packed"),
    ],
)


def owner(name: str, **more: object) -> TokenOwner:
    return TokenOwner(name, hashlib.sha256(name.encode()).hexdigest(), **more)  # type: ignore[arg-type]


OWNERS = (
    owner("all"),
    owner("some", tools=("a*",), prompts=(), resources=("test://one/a",)),
)


async def client_of(home: House, way_in: str, era: str, token: str) -> Client:
    return await home.client(way_in, era, token=token)


@pytest.mark.requirement("access.refused-looks-unknown", "access.lists-are-filtered")
@sides
async def test_a_refused_tool_looks_unknown(era: str, way_in: str) -> None:
    server = ScriptedServer(era, tools=(tool("a1"), tool("b1"), tool("a2")))
    async with house(server, owners=OWNERS) as home:
        some = await client_of(home, way_in, era, "some")
        everything = await client_of(home, way_in, era, "all")
        assert await everything.names() == ["a1", "b1", "a2"]
        assert await some.names() == ["a1", "a2"]
        assert await some.names("prompts/list", "prompts") == []
        assert await some.names("resources/list", "resources", "uri") == ["test://one/a"]
        refused = (await some.tool("b1").reply()).error
        unknown = (await some.tool("zz").reply()).error
        assert dump(refused).replace(b"b1", b"zz") == dump(unknown)
        for method, params in (
            ("prompts/get", {"name": "greet"}),
            ("resources/read", {"uri": "test://one/item/1"}),
            ("vendor/do", {}),
        ):
            assert (await some.call(method, params)).error["code"] in (-32602, -32002, -32601)
        assert server.calls.items == []
        pending = some.tool("a1")
        call = await server.next_call()
        assert b"dev.tidegate" not in call.raw
        assert b"some" not in call.raw
        call.text("let in")
        assert (await pending.reply()).text == "let in"


@pytest.mark.requirement("access.lists-are-filtered", "access.refused-looks-unknown", "listen.filters")
@pytest.mark.parametrize("way_in", ["http", "tcp", "packed"])
@pytest.mark.parametrize("backend", ["modern", "session"])
async def test_a_listener_hears_nothing_of_a_resource_it_may_not_see(way_in: str, backend: str) -> None:
    seen, hidden, updated = "test://one/a", "test://one/item/1", "notifications/resources/updated"
    async with house(ScriptedServer(backend), owners=OWNERS) as home:
        server = home.server
        some = await client_of(home, way_in, "modern", "some")
        everything = await client_of(home, way_in, "modern", "all")

        async def listen(client: Client, uris: list[str]) -> list[str]:
            client.begin("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
            notice = await client.notices.wait(
                lambda item: item["method"] == "notifications/subscriptions/acknowledged"
            )
            honoured: list[str] = notice["params"]["notifications"]["resourceSubscriptions"]
            return honoured

        def followed() -> set[str]:
            """What the gateway has asked the server to be told of."""
            told = {item.params["uri"] for item in server.said("resources/subscribe")}
            for item in server.said("subscriptions/listen"):
                told.update(item.params["notifications"].get("resourceSubscriptions", []))
            return told

        assert await listen(some, [hidden, seen, "no:such"]) == [seen]
        await server.heard.wait(lambda item: seen in followed())
        assert followed() == {seen}
        # Another's interest in it brings the news to the gateway, and not to this client.
        assert await listen(everything, [hidden]) == [hidden]
        await server.heard.wait(lambda item: hidden in followed())
        for uri in (hidden, seen):
            server.announce(updated, {"uri": uri})
        assert (await everything.notices.wait(lambda item: item["method"] == updated))["params"]["uri"] == hidden
        assert (await some.notices.wait(lambda item: item["method"] == updated))["params"]["uri"] == seen
        await some.names()
        assert {item["params"]["uri"] for item in some.notices if item["method"] == updated} == {seen}


@pytest.mark.requirement("access.401")
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_without_a_valid_token_nothing_is_served_over_http(token: str) -> None:
    async with house(ScriptedServer("modern"), owners=OWNERS) as home:
        client = HttpClient(home.http, "modern", token=token)
        home.clients.append(client)
        reply = await client.call("tools/list")
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert "tools" not in reply.raw.decode()


@pytest.mark.requirement("access.token-on-streams")
async def test_without_a_token_nothing_is_served_over_tcp_but_the_owners_unix_socket_is_open() -> None:
    async with house(ScriptedServer("modern"), owners=OWNERS) as home:
        client = await home.stream_client("tcp", "modern")
        assert "token" in (await client.call("tools/list")).error["message"]
        client.token = "all"
        assert await client.names() == ["echo"]
        local = await home.stream_client("unix", "modern")
        assert await local.names() == ["echo"]


@pytest.mark.requirement("access.sessions-are-personal")
async def test_a_session_is_of_no_use_to_another_principal() -> None:
    async with house(ScriptedServer("session"), owners=OWNERS) as home:
        mine = await home.http_client("session", token="all")
        other = HttpClient(home.http, "session", token="some")
        home.clients.append(other)
        other.session = mine.session
        assert (await other.call("tools/list")).status == 404


@pytest.mark.requirement("access.rate-limit")
@pytest.mark.parametrize("way_in", ["http", "tcp"])
async def test_the_bucket_of_a_principal_runs_dry_without_harm_to_others(way_in: str) -> None:
    owners = (owner("slow", rate_per_s=0.001, burst=2), owner("free"))
    async with house(ScriptedServer("modern"), owners=owners, limits=Limits(drain_s=0.0)) as home:
        slow, free = await client_of(home, way_in, "modern", "slow"), await client_of(home, way_in, "modern", "free")
        assert [(await slow.call("tools/list")).message.get("error", {}).get("code") for _ in range(3)] == [
            None,
            None,
            -31029,
        ]
        if way_in == "http":
            assert (await slow.call("tools/list")).status == 429
        assert await free.names() == ["echo"]


@pytest.mark.requirement("limits.in-flight")
async def test_more_requests_in_flight_than_allowed_are_refused_at_once() -> None:
    async with house(ScriptedServer("modern"), limits=Limits(in_flight=2, rate_per_s=0, drain_s=0.0)) as home:
        client = await home.client("tcp", "modern")
        pending = [client.tool("echo") for _ in range(2)]
        calls = [await home.server.next_call() for _ in pending]
        assert (await client.tool("echo").reply()).error["code"] == -31003
        for call in calls:
            call.text("x")
        for each in pending:
            await each.reply()
        again = client.tool("echo")
        (await home.server.next_call()).text("x")
        await again.reply()


@pytest.mark.requirement("limits.connections")
async def test_connections_over_the_limit_are_closed() -> None:
    async with house(ScriptedServer("modern"), limits=Limits(connections=1, rate_per_s=0, drain_s=0.0)) as home:
        first = await home.stream_client("tcp", "modern")
        second = StreamClient(home.tcp, "modern")
        home.clients.append(second)
        await second.connect()
        await within(second.closed.wait())
        assert await first.names() == ["echo"]


@pytest.mark.requirement("access.origin", "access.host")
async def test_foreign_origins_and_hosts_are_refused() -> None:
    async with house(ScriptedServer("modern")) as home:
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            client = _Disguised(home.http, "modern")
            client.more = headers
            home.clients.append(client)
            assert (await client.call("tools/list")).status == 403
        assert home.server.heard.items == []


@pytest.mark.requirement("access.origin")
async def test_a_page_of_this_machine_may_ask_and_read_the_answer() -> None:
    async with house(ScriptedServer("modern")) as home:
        page = {"origin": "http://localhost:6274"}
        client = _Disguised(home.http, "modern")
        client.more = page
        home.clients.append(client)
        asked = client.open("OPTIONS", {**page, "access-control-request-method": "POST"}, b"", None)
        await within(asked.ended.wait())
        assert asked.response.status == 204
        assert "mcp-method" in asked.response.headers["access-control-allow-headers"]
        answered = client.open("POST", client.headers(b"{}"), b"{}", None)
        await within(answered.ended.wait())
        for response in (asked.response, answered.response):
            assert response.headers["access-control-allow-origin"] == "http://localhost:6274"


class _Disguised(HttpClient):
    more: dict[str, str]

    def headers(self, raw: bytes = b"") -> dict[str, str]:
        return {**super().headers(raw), **self.more}
