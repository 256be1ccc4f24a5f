"""A server that is down, and many clients who would each have a connection of their own to it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from gateway import house
from heard import until
from scripted_server import RELAY, ScriptedServer

from tidegate.config.snapshot import Backend
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.upstream import slot

pytestmark = pytest.mark.anyio

CLIENTS = 8


@pytest.mark.requirement("asleep.scout")
async def test_a_dead_server_is_tried_for_one_client_only_and_all_have_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot, "Backoff", lambda most_s: Backoff(0.3, 0.3))
    server = ScriptedServer("session", "one")
    starts, works = tmp_path / "starts", tmp_path / "works"
    starts.touch()
    await server.listen("unix", tmp_path)
    serve = shlex.join((sys.executable, "-I", "-S", RELAY, str(tmp_path / "one.backend")))
    script = f"echo >> {starts}; [ -e {works} ] || exit 3; exec {serve}"
    backend = Backend("one", "stdio", ("/bin/sh", "-c", script))
    other = ScriptedServer("modern", "two")
    async with house(other, transport="tcp", backends=(backend,)) as home:
        clients = [
            await home.client("tcp", "session", capabilities={"elicitation": {}, "roots": {"n": number}})
            for number in range(CLIENTS)
        ]
        for client in clients:
            assert await client.names() == ["two__echo"]
        service = home.daemon.gateway.services[1]
        await until(lambda: max(one.backoff.attempt for one in service.slots.values()) >= 5)
        tried = sum(one.backoff.attempt for one in service.slots.values())
        assert max(one.backoff.attempt for one in service.slots.values()) >= tried - 1
        assert len(starts.read_text(encoding="ascii")) <= tried + 1
        works.touch()
        for client in clients:
            await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
            assert await client.names() == ["two__echo", "one__echo"]
    server.close()
