"""Servers that do not run: not yet, not any more, or not just now. What they offer is there all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import Client
from gateway import House, house
from heard import until
from scripted_server import ScriptedServer, tool

from tidegate.config.snapshot import Backend
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.upstream import hung_check, slot
from tidegate.storage.documents import Documents

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ["modern", "session"])


async def learn(home: House, folder: Path, server: ScriptedServer) -> None:
    """A gateway hears the server, and keeps what it heard."""
    client = await home.client("tcp", "modern")
    assert await client.names() == ["echo"]
    await until(lambda: (folder / f"{server.name}.json").exists())


async def state_of(home: House) -> list[object]:
    [backend] = home.daemon.statistics()["backends"]  # type: ignore[misc]
    return [slot["state"] for slot in backend["slots"]]


@pytest.mark.requirement("asleep.remembered")
@both_eras
@pytest.mark.parametrize("transport", ["stdio", "tcp"])
async def test_after_a_restart_lists_are_there_before_any_server_runs(era: str, transport: str, tmp_path: Path) -> None:
    server = ScriptedServer(era)
    async with house(server, transport=transport, documents=Documents(tmp_path)) as home:
        await learn(home, tmp_path, server)
        for channel in server.channels:
            channel.hang_up()
        server.silent |= {"server/discover", "initialize"}
        async with house(backends=home.daemon.snapshot.backends, documents=Documents(tmp_path)) as again:
            assert again.daemon.gateway.services[0].slots == {}
            for client_era in ("modern", "session"):
                client = await again.client("http", client_era)
                assert await client.names() == ["echo"]
                assert (await client.begin("prompts/list").reply()).result["prompts"] == [{"name": "greet"}]


@pytest.mark.requirement("asleep.refreshed-behind")
@both_eras
async def test_what_is_remembered_is_refreshed_behind_and_changes_are_told(era: str, tmp_path: Path) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="stdio", documents=Documents(tmp_path)) as home:
        await learn(home, tmp_path, server)
        server.offers["tools"] = [tool("echo"), tool("new")]
        async with house(backends=home.daemon.snapshot.backends, documents=Documents(tmp_path)) as again:
            client = await again.client("tcp", "session")
            await client.names()
            await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
            assert await client.names() == ["echo", "new"]
            assert [item["method"] for item in client.notices] == ["notifications/tools/list_changed"]


@pytest.mark.requirement("asleep.remembered")
@both_eras
async def test_a_call_starts_a_server_that_was_only_remembered(era: str, tmp_path: Path) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="stdio", documents=Documents(tmp_path)) as home:
        await learn(home, tmp_path, server)
        before = len(server.channels)
        async with house(backends=home.daemon.snapshot.backends, documents=Documents(tmp_path)) as again:
            client = await again.client("tcp", era)
            assert len(server.channels) == before
            pending = client.tool("echo")
            (await server.next_call()).text("awake")
            assert (await pending.reply()).text == "awake"
            assert len(server.channels) == before + 1


@pytest.mark.requirement("asleep.remembered")
async def test_a_server_of_another_configuration_is_not_the_one_remembered(tmp_path: Path) -> None:
    one, other = ScriptedServer("modern"), ScriptedServer("modern", tools=(tool("other"),))
    async with house(one, transport="tcp", documents=Documents(tmp_path)) as home:
        await learn(home, tmp_path, one)
    async with house(other, transport="tcp", documents=Documents(tmp_path)) as home:
        assert await (await home.client("tcp", "modern")).names() == ["other"]


@pytest.mark.requirement("asleep.idle")
@both_eras
async def test_a_child_that_nobody_uses_is_stopped_and_starts_again_when_it_is_needed(era: str) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="stdio", fields=[{"idle_stop_s": 0.1}]) as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        await until(lambda: server.running == 0)
        assert await state_of(home) == ["idle"]
        assert await client.names() == ["echo"]
        assert server.running == 0
        pending = client.tool("echo")
        (await server.next_call()).text("awake")
        assert (await pending.reply()).text == "awake"
        assert [item for item in client.notices if "list_changed" in item["method"]] == []


@pytest.mark.requirement("asleep.idle")
@pytest.mark.parametrize("why", ["a call runs", "a resource is followed", "started at once", "session", "never"])
async def test_a_child_that_somebody_needs_is_not_stopped(why: str) -> None:
    fields = {
        "started at once": {"start": "at_once"},
        "session": {"isolation": "session"},
        "never": {"idle_stop_s": 0},
    }.get(why, {})
    server, idle = ScriptedServer("session", "one"), ScriptedServer("session", "two")
    more = [{"idle_stop_s": 0.1, **fields}, {"idle_stop_s": 0.1}]
    async with house(server, idle, transport="stdio", fields=more) as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["one__echo", "two__echo"]
        if why == "a call runs":
            client.tool("one__echo")
            await server.next_call()
        if why == "a resource is followed":
            await client.begin("resources/subscribe", {"uri": "test://one/a"}).reply()
        # The other one shows that the time has come.
        await until(lambda: idle.running == 0)
        for _ in range(3):
            again = client.tool("two__echo")
            (await idle.next_call()).text("awake")
            await again.reply()
            await until(lambda: idle.running == 0)
        assert server.running == 1


@pytest.mark.requirement("asleep.at-once")
@both_eras
async def test_a_server_may_be_started_before_anybody_needs_it(era: str) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="stdio", fields=[{"start": "at_once"}]) as home:
        await server.wait_heard("tools/list")
        await until(lambda: home.daemon.gateway.services[0].slots != {})
        client = await home.client("tcp", era)
        assert await client.names() == ["echo"]


@pytest.mark.requirement("asleep.down")
@both_eras
async def test_a_call_of_a_tool_whose_server_is_down_hears_why(era: str) -> None:
    server, other = ScriptedServer(era, "one"), ScriptedServer("modern", "two")
    async with house(server, other, transport="tcp") as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["one__echo", "two__echo"]
        server.close()
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
        assert await client.names() == ["two__echo"]
        error = (await client.tool("one__echo").reply()).error
        assert "`one`" in error["message"]
        assert "tried again" in error["message"]
        assert "Unknown tool" in (await client.tool("one__other").reply()).error["message"]
        assert await answered(client, other) == "did echo"


async def answered(client: Client, server: ScriptedServer) -> str:
    pending = client.tool("two__echo")
    (await server.next_call()).text("did echo")
    return str((await pending.reply()).text)


@pytest.mark.requirement("asleep.parked")
@both_eras
async def test_a_server_that_goes_on_failing_is_parked_tried_for_ever_and_comes_back(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot, "Backoff", lambda most_s: Backoff(0.01, 0.02))
    server, other = ScriptedServer(era, "one"), ScriptedServer("modern", "two")
    async with house(server, other, transport="unix") as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["one__echo", "two__echo"]
        server.close()
        service = home.daemon.gateway.services[0]
        await until(lambda: "parked" in [one.state for one in service.slots.values()])
        attempts = [one.backoff.attempt for one in service.slots.values()]
        assert "`one`" in (await client.tool("one__echo").reply()).error["message"]
        assert await answered(client, other) == "did echo"
        # Nobody asks for it any more, and still:
        await until(lambda: max(one.backoff.attempt for one in service.slots.values()) > max(attempts) + 5)
        heard = len(client.notices)
        (home.folder / "one.backend").unlink(missing_ok=True)
        await server.listen("unix", home.folder)
        await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed", skip=heard)
        assert await client.names() == ["one__echo", "two__echo"]
        assert "ready" in [one.state for one in service.slots.values()]


@pytest.mark.requirement("asleep.down")
async def test_what_a_child_said_before_it_ended_is_shown_while_it_is_down() -> None:
    dead = Backend("dead", "stdio", ("/bin/sh", "-c", "echo no such sensor >&2; exit 3"))
    async with house(backends=(dead,)) as home:
        client = await home.client("tcp", "modern")
        await client.begin("tools/list").reply()
        [backend] = home.daemon.statistics()["backends"]  # type: ignore[misc]
        [shown] = [slot for slot in backend["slots"] if slot["error"]]
        assert shown["state"] == "down"
        assert shown["link"] == {"stderr": ["no such sensor"]}
        assert shown["since_s"] >= 0
        assert shown["next_attempt_s"] >= 0


@pytest.mark.requirement("asleep.hangs")
@both_eras
async def test_a_server_that_hangs_is_started_again(era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hung_check, "_PATIENCE_S", 0.2)
    server = ScriptedServer(era)
    async with house(server, transport="stdio", fields=[{"call_timeout_s": 0.2}]) as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        before = len(server.channels)
        server.silent |= {"ping", "server/discover"}
        error = (await client.tool("echo").reply()).error
        assert "did not answer" in error["message"]
        await server.next_call("ping" if era == "session" else "server/discover")
        server.silent.clear()
        await until(lambda: len(server.channels) > before)
        again = client.tool("echo")
        (await server.next_call("tools/call")).text("awake")
        assert (await again.reply()).text == "awake"


@pytest.mark.requirement("asleep.hangs")
@both_eras
async def test_a_server_that_is_only_slow_goes_on(era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hung_check, "_PATIENCE_S", 0.2)
    server = ScriptedServer(era)
    async with house(server, transport="stdio", fields=[{"call_timeout_s": 0.2}]) as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        before = len(server.channels)
        for _ in range(4):
            assert "did not answer" in (await client.tool("echo").reply()).error["message"]
        assert len(server.channels) == before
