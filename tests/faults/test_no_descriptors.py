"""Clients take every descriptor there is: who is in stays served, who comes is told, servers are still reached."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from clients import StreamClient
from faulty_http import FaultyHttp
from two_backends import TwoBackends, two_backends, until

pytestmark = pytest.mark.anyio

DESCRIPTORS = 100
WORDS = "file descriptors"
_PING = b"GET /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n"


def _few() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


@asynccontextmanager
async def _house() -> AsyncIterator[tuple[FaultyHttp, TwoBackends]]:
    server = FaultyHttp("modern")
    await server.start()
    try:
        async with two_backends(f'url = "{server.url}"', before=_few) as home:
            await home.start_clients()
            yield server, home
    finally:
        server.stop()


def _connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").removesuffix("/mcp").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


async def _until_refused(address: str, opened: ExitStack) -> bytes:
    """What the first HTTP client is told for which there is no room.

    A descriptor that the daemon itself had while the others came, and gave back since, is room for one more.
    """
    for _ in range(DESCRIPTORS):
        client = opened.enter_context(_connect(address))
        client.sendall(_PING)
        said = await asyncio.to_thread(client.recv, 65536)
        if not said.startswith(b"HTTP/1.1 405 "):
            break
    return said


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def test_clients_without_end_leave_the_daemon_its_servers_its_operators_and_its_clients() -> None:
    async with _house() as (_, home):
        with ExitStack() as opened:
            for _ in range(3 * DESCRIPTORS):
                opened.enter_context(_connect(home.tcp))
            async with home.others_answered():
                # Neither backend had a connection before.
                await home.until_works()
                said = await _until_refused(home.http, opened)
                assert said.startswith(b"HTTP/1.1 503 "), said
                assert WORDS in json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"]
                connections = (await home.status())["connections"]
                assert WORDS in connections["refusing"]
                assert connections["refused_total"] > DESCRIPTORS
                before, said_before = _cpu_ticks(home.process.pid), len(home.log)
                for _ in range(DESCRIPTORS):
                    opened.enter_context(_connect(home.tcp))
                await home.settle()
                assert [line for line in home.log if WORDS in line]
                assert len(home.log) - said_before <= 1
            # The calls of the good backend cost more than the refused clients, which cost no busy loop.
            assert _cpu_ticks(home.process.pid) - before < 300
        await home.settle()
        late = await home.join(StreamClient(home.tcp, "session"))
        assert (await late.tool("good__echo").reply()).text == "steady"


async def test_the_last_descriptor_itself_is_gone_and_comes_back() -> None:
    async with _house() as (_, home):
        await home.until_works()
        await home.settle()
        used = len(os.listdir(f"/proc/{home.process.pid}/fd"))  # noqa: PTH208 - one system call
        resource.prlimit(home.process.pid, resource.RLIMIT_NOFILE, (used, DESCRIPTORS))
        with ExitStack() as opened:
            async with home.others_answered():
                for _ in range(50):
                    opened.enter_context(_connect(home.tcp))
                reply = await home.call_bad()
                assert "result" in reply.message
                # The configuration is validated by a process of its own, for which there are no pipes.
                home.process.send_signal(signal.SIGHUP)
                await until(lambda: any("no process could be started" in line for line in home.log))
        resource.prlimit(home.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        await home.settle()
        late = await home.join(StreamClient(home.tcp, "session"))
        assert (await late.tool("bad__echo").reply()).text == "did echo"
        await until(lambda: home.process.returncode is None)


async def test_the_limit_of_connections_is_told_and_lifted() -> None:
    server = FaultyHttp("modern")
    await server.start()
    async with two_backends(f'url = "{server.url}"', limits="connections = 8") as home:
        await home.start_clients()
        with ExitStack() as opened:
            for _ in range(30):
                opened.enter_context(_connect(home.tcp))
            await home.settle()
            refused = opened.enter_context(_connect(home.http))
            refused.sendall(_PING)
            said = await asyncio.to_thread(refused.recv, 65536)
            assert b"`connections` is reached (8)" in said
            async with home.others_answered():
                await home.until_works()
            assert "connections" in (await home.status())["connections"]["refusing"]
        await home.settle()
        await home.join(StreamClient(home.tcp, "session"))
    server.stop()
