"""Servers that are stopped, remembered or changed at a bad moment: nobody loses a call, a word or a reason by it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from gateway import House, house
from heard import Json, until, within
from scripted_server import ScriptedServer

from tidegate.config.snapshot import Secret
from tidegate.storage.documents import Documents

pytestmark = pytest.mark.anyio

FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}


async def changed(home: House, **more: Json) -> None:
    """Puts another setting of the one backend into force."""
    [backend] = home.daemon.snapshot.backends
    snapshot = replace(home.daemon.snapshot, backends=(replace(backend, **more),))
    assert await within(home.daemon.take_up(snapshot)) is not None


async def test_a_child_stopped_while_the_user_is_asked_does_not_cost_the_call() -> None:
    server = ScriptedServer("modern")
    async with house(server, transport="stdio", fields=[{"idle_stop_s": 0.1}]) as home:
        client = await home.client("tcp", "session", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await server.next_call()
        call.reply(
            {
                "resultType": "input_required",
                "inputRequests": {"name": {"method": "elicitation/create", "params": FORM}},
                "requestState": "s1",
            }
        )
        question = await client.questions.wait(lambda item: True)
        # The user thinks; the child has nothing to do.
        await asyncio.sleep(0.5)
        client.answer(question, {"action": "accept", "content": {"name": "Ada"}})
        again = await server.next_call()
        assert again.params["requestState"] == "s1"
        again.text("Hello Ada")
        assert (await pending.reply()).text == "Hello Ada"


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_stopped_child_that_is_to_run_at_once_from_now_on_is_started_by_the_reload(era: str) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="stdio", fields=[{"idle_stop_s": 0.1}]) as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        await until(lambda: server.running == 0)
        await changed(home, start="at_once")
        await until(lambda: server.running == 1)
        before = len(server.channels)
        await changed(home, call_timeout_s=7.0)
        assert await client.names() == ["echo"]
        assert len(server.channels) == before


async def test_those_who_wait_go_on_when_a_reload_gives_the_server_more_at_once() -> None:
    async with house(ScriptedServer("session"), fields=[{"max_in_flight": 1}]) as home:
        server = home.server
        client = await home.client("tcp", "session")
        client.tool("echo", {"n": "hangs"})
        await server.next_call()
        waits = client.tool("echo", {"n": "waits"})
        await until(lambda: len(home.daemon.gateway.services[0].queue) == 1)
        await changed(home, max_in_flight=2)
        (await server.next_call()).text("there was room")
        assert (await waits.reply()).text == "there was room"


@pytest.mark.parametrize("was", ["sse", "http"])
async def test_a_remembered_transport_that_is_gone_is_found_out_again(was: str, tmp_path: Path) -> None:
    """`transport = "http"`: the server spoke 2024-11-05's when it was last heard, and was upgraded since."""
    server = ScriptedServer("session")
    async with house(server, transport="http", documents=Documents(tmp_path)) as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        await until(lambda: (tmp_path / "one.json").exists())
        documents = Documents(tmp_path)
        text = documents.read("one.json")
        assert text is not None
        documents.write("one.json", text.replace(b'"transport": "http"', b'"transport": "%b"' % was.encode()))
        async with house(backends=home.daemon.snapshot.backends, documents=Documents(tmp_path)) as again:
            client = await again.client("tcp", "session")
            assert await client.names() == ["echo"]
            pending = client.tool("echo")
            (await server.next_call()).text("upgraded")
            assert (await pending.reply()).text == "upgraded"


async def test_a_shorter_idle_time_holds_at_once() -> None:
    server = ScriptedServer("session")
    async with house(server, transport="stdio") as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        assert server.running == 1
        await changed(home, idle_stop_s=0.1)
        await until(lambda: server.running == 0)


async def test_a_backend_that_was_replaced_is_not_kept_until_it_would_have_been_idle() -> None:
    server = ScriptedServer("session")
    async with house(server, transport="stdio") as home:
        client = await home.client("tcp", "session")
        assert await client.names() == ["echo"]
        gone = home.daemon.gateway.services[0]
        assert gone._idle_stop._timers
        await changed(home, env=(("X", Secret("other")),))
        assert await client.names() == ["echo"]
        # The loop would hold on to all that it offered.
        await until(lambda: not gone._idle_stop._timers)


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_an_only_server_that_is_down_refuses_nobody_who_comes_meanwhile(era: str, tmp_path: Path) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="unix", documents=Documents(tmp_path)) as home:
        assert await (await home.client("tcp", "session")).names() == ["echo"]
        await until(lambda: (tmp_path / "one.json").exists())
        server.close()
        async with house(backends=home.daemon.snapshot.backends, documents=Documents(tmp_path)) as again:
            first = await again.client("tcp", "session")
            assert "`one`" in (await first.tool("echo").reply()).error["message"]
            client = await again.client("tcp", "session")
            assert "tools" in client.initialized["capabilities"]
            modern = await again.client("tcp", "modern")
            assert "tools" in (await modern.call("server/discover")).result["capabilities"]
            (home.folder / "one.backend").unlink(missing_ok=True)
            await server.listen("unix", home.folder)
            await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
            assert await client.names() == ["echo"]


class SlowDisk(Documents):
    """Documents that take their time, the first the longest."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.kept = b""
        self.overtaken = threading.Event()
        self.begun = 0

    def read(self, name: str) -> bytes | None:
        return None

    def write(self, name: str, text: bytes) -> None:
        self.begun += 1
        if self.begun == 1:
            self.overtaken.wait(0.5)
        self.kept = text
        self.overtaken.set()


async def test_what_is_kept_is_what_was_heard_last_however_slow_the_disk() -> None:
    disk = SlowDisk()
    server = ScriptedServer("session")
    async with house(server, documents=disk) as home:
        client = await home.client("tcp", "session")
        await client.names()
        await until(lambda: disk.begun == 1)
        server.offers["tools"].append(b'{"name":"new","inputSchema":{"type":"object"}}')
        server.announce("notifications/tools/list_changed")
        await until(lambda: disk.begun == 2)
        await asyncio.sleep(0.6)
        assert b"new" in disk.kept


async def test_what_is_followed_is_followed_still_when_the_server_comes_back_in_the_other_era() -> None:
    server = ScriptedServer("session")
    async with house(server, transport="stdio") as home:
        client = await home.client("tcp", "session")
        await client.names()
        await client.call("resources/subscribe", {"uri": "test://one/a"})
        server.era = "modern"
        for channel in list(server.channels):
            channel.hang_up()
        await until(lambda: any("resourceSubscriptions" in item.params["notifications"] for item in server.listens))
        server.announce("notifications/resources/updated", {"uri": "test://one/a"})
        await client.notices.wait(lambda item: item["method"] == "notifications/resources/updated")
