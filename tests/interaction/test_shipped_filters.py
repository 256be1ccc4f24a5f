"""The filters that come with tidegate, in a real sandbox before scripted servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import house
from heard import Json, until
from scripted_server import ScriptedServer, tool

from tidegate.config.snapshot import Filter, Grants, Plugin
from tidegate.pipeline.plugins import Plugins

pytestmark = pytest.mark.anyio

ARM = (tool("move"), tool("stop"), tool("rearm"))
YES: Json = {"action": "accept", "content": {}}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all tests, so that each plugin is compiled once."""
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(autouse=True)
def kept(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What plugins keep is of one test; what is compiled is of all."""
    begin = Plugins.__init__

    def beginning(self: Plugins, directory: Path | None, *more: Json) -> None:
        begin(self, compiled, *more)

    monkeypatch.setattr(Plugins, "__init__", beginning)
    yield
    for file in compiled.glob("plugins.sqlite3*"):
        file.unlink()


def mask(**settings: Json) -> Filter:
    return Filter("mask", Plugin("mask", shipped=True, settings=json.dumps(settings)))


def envelope(**dead_man: Json) -> Filter:
    rule: Json = {
        "tool": "move",
        "arguments": [
            {
                "pointer": "/to",
                "min": 0,
                "max": 100,
                "max_step": 60,
                "initial": 0,
                "approval_above": 50,
            }
        ],
    }
    if dead_man:
        rule["dead_man"] = {"stop": "stop", "rearm": "rearm", **dead_man}
    grants = Grants(time=True, store_bytes=65536, call=("stop",))
    plugin = Plugin("safety-envelope", shipped=True, grants=grants, settings=json.dumps({"tools": [rule]}))
    return Filter("safety", plugin)


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_personal_data_is_masked(era: str) -> None:
    async with house(ScriptedServer(era), filters=[mask()]) as home:
        client = await home.client("tcp", era)
        for _ in range(2):
            pending = client.tool("echo", {"to": "ada@example.org"})
            call = await home.server.next_call("tools/call")
            assert call.params["arguments"] == {"to": "ada@example.org"}
            call.text("write to ada@example.org about card 4111 1111 1111 1111")
            text = (await pending.reply()).text
            assert text == "write to [email] about card [card]"


@pytest.mark.parametrize("server_era", ["modern", "session"])
@pytest.mark.parametrize("era", ["modern", "session"])
async def test_only_what_is_within_the_envelope_reaches_the_arm(era: str, server_era: str) -> None:
    async with house(ScriptedServer(server_era, tools=ARM), filters=[envelope()]) as home:
        client = await home.client("tcp", era, capabilities={"elicitation": {}})
        for arguments, why in (
            ({"to": 101}, "above the most allowed"),
            ({"to": -1}, "below the least allowed"),
            ({"to": "5"}, "must be a number"),
            ({"to": 61}, "at once"),
            ({"to": 5, "force": 9}, "no rule says"),
            ({}, "is missing"),
        ):
            reply = await client.tool("move", arguments).reply()
            assert reply.result["isError"] is True
            assert why in reply.text
        assert home.server.said("tools/call") == []
        pending = client.tool("move", {"to": 40})
        (await home.server.next_call("tools/call")).text("moved")
        assert (await pending.reply()).text == "moved"
        pending = client.tool("move", {"to": 60})
        if era == "session":
            question = await client.questions.wait(lambda item: True)
            assert "`/to` is 60: go on?" in question["params"]["message"]
            client.answer(question, {"action": "decline"})
        else:
            first = (await pending.reply()).result
            retry = {"inputResponses": {"approval": {"action": "decline"}}, "requestState": first["requestState"]}
            pending = client.begin("tools/call", {"name": "move", "arguments": {"to": 60}, **retry})
        assert (await pending.reply()).result["isError"] is True
        assert [call.params["arguments"] for call in home.server.said("tools/call")] == [{"to": 40}]
        pending = client.tool("move", {"to": 60})
        if era == "session":
            client.answer(await client.questions.wait(lambda item: True, skip=1), YES)
        else:
            first = (await pending.reply()).result
            retry = {"inputResponses": {"approval": YES}, "requestState": first["requestState"]}
            pending = client.begin("tools/call", {"name": "move", "arguments": {"to": 60}, **retry})
        (await home.server.next_call("tools/call")).text("moved far")
        assert (await pending.reply()).text == "moved far"


async def test_the_arm_is_stopped_when_its_commands_are_not_renewed() -> None:
    async with house(ScriptedServer("modern", tools=ARM), filters=[envelope(renew_ms=100)]) as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("move", {"to": 10})
        (await home.server.next_call("tools/call")).text("moved")
        await pending.reply()
        call = await home.server.next_call("tools/call")
        assert call.params["name"] == "stop"
        call.text("stopped")
        reply = await client.tool("move", {"to": 20}).reply()
        assert "call `rearm` to arm it again" in reply.text
        pending = client.tool("rearm")
        (await home.server.next_call("tools/call")).text("armed")
        assert (await pending.reply()).text == "armed"
        assert [call.params["name"] for call in home.server.said("tools/call")] == ["move", "stop", "rearm"]


async def test_a_command_that_waited_until_after_the_stop_is_not_made() -> None:
    filters, fields = [envelope(renew_ms=800)], [{"max_in_flight": 1}]
    async with house(ScriptedServer("modern", tools=ARM), filters=filters, fields=fields) as home:
        client = await home.client("tcp", "modern")
        first = client.tool("move", {"to": 10})
        working = await home.server.next_call("tools/call")
        second = client.tool("move", {"to": 20})
        await until(lambda: len(home.daemon.gateway.services[0].queue) == 1)
        stop = await home.server.next_call("tools/call")
        assert stop.params["name"] == "stop"
        stop.text("stopped")
        working.text("moved")
        assert (await first.reply()).text == "moved"
        assert "call `rearm` to arm it again" in (await second.reply()).text
        assert [call.params["name"] for call in home.server.said("tools/call")] == ["move", "stop"]
