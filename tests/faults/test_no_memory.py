"""Large messages for which there is no memory: each is refused, with words; the daemon lives and serves the others."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path

import anyio
import pytest
from clients import Client, HttpClient, StreamClient
from faulty_http import Asked, FaultyHttp
from two_backends import TwoBackends, two_backends

pytestmark = pytest.mark.anyio

BIG = "x" * 3_900_000
"""Just below `line_bytes` and `body_bytes`."""
TOLD = ("no memory", "reset the connection", "closed the connection", "is no message")


def _address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _answer_big(asked: Asked) -> None:
    content = [{"type": "text", "text": "y" * 8_000_000}]
    result = {"resultType": "complete", "content": content}
    asked.respond("200 OK", json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "result": result}).encode())


async def _call_big(home: TwoBackends, client: Client, outcomes: list[str]) -> None:
    """What becomes of a large call: its answer, an error in words, or the end of its connection."""
    home.clients.append(client)
    await client.start()
    pending = client.tool("bad__echo", {"a": BIG})
    ended = client.closed if isinstance(client, StreamClient) else pending.http and pending.http.ended
    assert ended is not None
    async with asyncio.timeout(20):
        await asyncio.wait([asyncio.ensure_future(ended.wait()), pending.answer], return_when=asyncio.FIRST_COMPLETED)
    if not pending.answer.done():
        outcomes.append("ended")
    elif "result" in (message := pending.answer.result().message):
        outcomes.append("result")
    else:
        outcomes.append(message["error"]["message"])


@pytest.mark.parametrize("room_mib", [8, 24, 64])
async def test_large_messages_without_memory_are_refused_and_the_daemon_lives(room_mib: int) -> None:
    server = FaultyHttp("modern")
    await server.start()
    async with two_backends(f'url = "{server.url}"', timeout_s=5) as home:
        await home.start_clients()
        await home.until_works()
        pid = home.process.pid
        most = _address_space(pid) + room_mib * 2**20
        resource.prlimit(pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        server.break_down(_answer_big, only=("tools/call",))
        outcomes: list[str] = []
        async with home.others_answered(), anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(_call_big, home, HttpClient(home.http, "modern"), outcomes)
                group.start_soon(_call_big, home, StreamClient(home.tcp, "modern"), outcomes)
                group.start_soon(_call_big, home, StreamClient(home.tcp, "modern", packed=True), outcomes)
        assert len(outcomes) == 18
        told = [one for one in outcomes if one not in ("result", "ended")]
        assert all(any(words in one for words in TOLD) for one in told), told
        assert outcomes.count("result") < 18, "there was memory for all of them"
        assert home.process.returncode is None
        server.heal()
        await home.until_works()
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        server.break_down(_answer_big, only=("tools/call",))
        after: list[str] = []
        await _call_big(home, StreamClient(home.tcp, "modern"), after)
        assert after == ["result"]
        assert len([line for line in home.log if "refused what=messages" in line]) <= 3
    server.stop()
