"""Clients that do not read what they asked for: they alone wait, and no memory is piled up for them."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from faulty_http import Asked, FaultyHttp
from two_backends import TwoBackends, two_backends, until

pytestmark = pytest.mark.anyio

READERS = 6
CALLS = 12
ANSWER_BYTES = 1_000_000
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def _resident_mib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 // 2**20


def _long(asked: Asked) -> None:
    content = [{"type": "text", "text": "y" * ANSWER_BYTES}]
    result = {"resultType": "complete", "content": content}
    asked.respond("200 OK", json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "result": result}).encode())


def _ask(own_id: int) -> bytes:
    params = {"name": "bad__echo", "arguments": {}, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": own_id, "method": "tools/call", "params": params}).encode()


def _http(body: bytes) -> bytes:
    fields = ("content-type: application/json", "accept: application/json, text/event-stream", "mcp-name: bad__echo",
              "mcp-protocol-version: 2026-07-28", "mcp-method: tools/call", f"content-length: {len(body)}")  # fmt: skip
    return "\r\n".join(["POST /mcp HTTP/1.1", "host: 127.0.0.1", *fields, "", ""]).encode() + body


def _connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").removesuffix("/mcp").rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    return sock


@pytest.mark.parametrize("way", ["tcp", "http"])
async def test_who_does_not_read_holds_up_nobody_and_costs_bounded_memory(way: str) -> None:
    server = FaultyHttp("modern")
    await server.start()
    async with two_backends(f'url = "{server.url}"', limits="write_buffer_bytes = 2_000_000", timeout_s=5) as home:
        await home.start_clients()
        await home.until_works()
        before = _resident_mib(home.process.pid)
        server.break_down(_long, only=("tools/call",))
        with ExitStack() as opened:
            async with home.others_answered():
                for _ in range(READERS):
                    sock = opened.enter_context(_connect(home.tcp if way == "tcp" else home.http))
                    for own_id in range(CALLS):
                        sock.sendall(_ask(own_id) + b"\n" if way == "tcp" else _http(_ask(own_id)))
                asked = READERS * (CALLS if way == "tcp" else 1)
                await until(lambda: server.asked["tools/call"] >= asked)
                await home.settle()
                assert _resident_mib(home.process.pid) - before < READERS * 8
                reader = await _reads_all(home)
                assert reader
        server.heal()
        await home.until_works()
    server.stop()


async def _reads_all(home: TwoBackends) -> bool:
    """A client of the same backend that does read."""
    reply = await home.listener.tool("bad__echo").reply()
    return len(reply.text) == ANSWER_BYTES
