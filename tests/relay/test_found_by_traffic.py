"""What random traffic has found, each in as few messages as show it."""

from __future__ import annotations

import pytest
from gateway import House, house
from heard import until
from odd_server import OddServer
from playing import MODERN, Play, Player
from traffic import Kind

pytestmark = pytest.mark.anyio

STATELESS = (
    b'{"name":"echo","arguments":{"do":"%b"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{}%b}}'
)


def call(own_id: int, do: str, more: bytes = b"") -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%b}' % (own_id, STATELESS % (do.encode(), more))


def posted(body: bytes) -> bytes:
    head = (
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def player(home: House, server: OddServer, transport: str) -> Player:
    play = Play(home, [server], [Kind(transport, MODERN)], 30)
    await play.greet()
    return play.players[0]


async def test_what_is_pipelined_behind_a_call_that_went_back_waits_for_it() -> None:
    """It was relayed: its answer came first, and was taken for the other one's."""
    server = OddServer("modern")
    async with house(server) as home:
        client = await player(home, server, "http")
        client.say(posted(call(1, "ok")))
        await until(lambda: b'"id":1,' in client.wire.data)
        client.say(posted(call(2, "hold")))
        await until(lambda: len(server.held) == 1)
        relay = home.daemon.gateway.relay
        assert relay.native.in_flight == 1
        relay.settle()
        client.say(posted(call(3, "ok")))
        # Another client's call gets there after these have been read.
        other = await player(home, server, "tcp")
        other.say(call(9, "ok") + b"\n")
        await until(lambda: b'"id":9,' in other.wire.data)
        assert [item.params["arguments"]["do"] for item in server.said("tools/call")] == ["ok", "hold", "ok"]
        server.release(0, "ok")
        await until(lambda: b'"id":3,' in client.wire.data)
        at = [client.wire.data.index(b'"id":%d,' % number) for number in (1, 2, 3)]
        assert at == sorted(at)


async def test_answers_that_come_together_are_passed_on_in_their_order() -> None:
    """Those of the relay were ahead of those of the slow lane."""
    server = OddServer("modern")
    async with house(server) as home:
        client = await player(home, server, "tcp")
        client.say(call(1, "ok") + b"\n")
        await until(lambda: b'"id":1,' in client.wire.data)
        # The relay leaves those with a progress token alone.
        for number, more in ((2, b',"progressToken":"a"'), (3, b',"progressToken":"b"'), (4, b""), (5, b"")):
            client.say(call(number, "hold", more) + b"\n")
            await until(lambda upto=number - 1: len(server.held) == upto)
        relay = home.daemon.gateway.relay.native
        assert relay.in_flight == 2
        result = b'{"resultType":"complete","content":[]}'
        raw = [b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (held.id, result) for held in server.held]
        server.held[0].channel.send(b"\n".join(raw))
        await until(lambda: client.wire.data.count(b'"result"') == 5)
        at = [client.wire.data.index(b'"id":%d,' % number) for number in (1, 2, 3, 4, 5)]
        assert at == sorted(at)
        assert relay.relayed == 2
