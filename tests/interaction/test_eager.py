"""The eager mode of the other tests does what it says: the first call of its kind is ended by the relay."""

from __future__ import annotations

import pytest
from gateway import house
from scripted_server import ScriptedServer

from relay_modes import Seen

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("relay_mode", ["eager"], indirect=True)]


@pytest.mark.parametrize(
    ("era", "way_in", "way_out"),
    [
        ("session", "http", "stdio"),
        ("session", "tcp", "unix"),
        ("session", "unix", "http"),
        ("modern", "http", "tcp"),
        ("modern", "tcp", "http"),
        ("modern", "http", "http"),
    ],
)
async def test_a_first_call_is_relayed(era: str, way_in: str, way_out: str, relay_mode: Seen) -> None:
    async with house(ScriptedServer(era), transport=way_out) as home:
        client = await home.client(way_in, era)
        assert await client.names() == ["echo"]
        gateway = home.daemon.gateway
        for number in range(3):
            pending = client.tool("echo")
            call = await home.server.next_call("tools/call")
            assert gateway.relay.native.in_flight == 1
            assert gateway.admission.in_flight == 0
            call.text(f"answer {number}")
            assert (await pending.reply()).text == f"answer {number}"
            assert gateway.relay.native.relayed == number + 1
        assert relay_mode.decided == 1
        assert relay_mode.promoted == 0


@pytest.mark.parametrize("way_out", ["tcp", "http"])
async def test_a_first_call_that_takes_long_goes_back(way_out: str, relay_mode: Seen) -> None:
    async with house(ScriptedServer("modern"), transport=way_out) as home:
        client = await home.client("http", "modern")
        await client.names()
        pending = client.tool("echo")
        call = await home.server.next_call("tools/call")
        gateway = home.daemon.gateway
        gateway.relay.settle()
        assert relay_mode.promoted == 1
        assert gateway.admission.in_flight == 1
        call.text("at last")
        assert (await pending.reply()).text == "at last"
        assert gateway.admission.in_flight == 0
