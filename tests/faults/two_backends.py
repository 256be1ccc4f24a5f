"""The real daemon as a process, with a backend that goes wrong and one that does not, and clients of both eras."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from clients import Client, HttpClient, Reply, StreamClient
from heard import BOUND_S, within
from steady_server import SteadyServer

Json = Any
CALL_TIMEOUT_S = 0.4
LIST_CHANGED = "notifications/tools/list_changed"
CONFIG = """
[limits]
rate_per_s = 0
drain_s = 0.2
{limits}
[backends.good]
tcp = "{good}"
"""
BAD = """
[backends.{name}]
{where}
call_timeout_s = {timeout}
start_timeout_s = 1
probe_timeout_s = 0.5
"""


@dataclass
class TwoBackends:
    """A running daemon. `session` and `listener` hear of changes, each in its era's way."""

    process: asyncio.subprocess.Process
    addresses: Json
    good: SteadyServer
    bad: str = "bad"
    """Which of the backends that go wrong a test is about; a test that leaves one worn out has one of its own."""
    log: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    async def join(self, client: Client) -> Client:
        self.clients.append(client)
        await within(client.start())
        return client

    @property
    def http(self) -> str:
        return str(self.addresses["http"][0])

    @property
    def tcp(self) -> str:
        return str(self.addresses["tcp"][0])

    @property
    def admin(self) -> str:
        return str(self.addresses["admin"])

    async def start_clients(self) -> None:
        self.session = await self.join(HttpClient(self.http, "session"))
        self.listener = await self.join(StreamClient(self.tcp, "modern"))
        self.other = await self.join(StreamClient(self.tcp, "modern"))
        self.listener.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await self.listener.notices.wait(lambda item: item["method"].endswith("acknowledged"))

    async def call_bad(self, tool: str = "echo", client: Client | None = None) -> Reply:
        return await (client or self.listener).tool(f"{self.bad}__{tool}").reply()

    async def settle(self) -> None:
        """Until the daemon has noticed what happened to its sockets before now."""
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            await self.other.tool("good__echo").reply()

    async def status(self) -> Json:
        return await asyncio.to_thread(_get, f"{self.admin}/status")

    async def bad_status(self) -> Json:
        rows = (await self.status())["backends"]
        return next(row for row in rows if row["backend"] == self.bad)

    async def until_works(self) -> None:
        """Calls the bad backend until it answers, as a person would."""
        async with asyncio.timeout(BOUND_S):
            while "result" not in (reply := await self.call_bad()).message or reply.text != "did echo":  # noqa: ASYNC110
                await anyio.sleep(0.02)

    async def until_listed(self, listed: bool = True) -> None:
        """As seen by both clients, each asking again only when it is told that the list changed."""
        for client in (self.session, self.listener):
            while True:
                heard = len(client.notices)
                if any(name.startswith(f"{self.bad}__") for name in await client.names()) is listed:
                    break
                await client.notices.wait(lambda item: item["method"] == LIST_CHANGED, skip=heard)

    @asynccontextmanager
    async def others_answered(self) -> AsyncIterator[None]:
        """Calls of the good backend, one after the other, all the while; every one must be answered."""
        answered = 0
        stopped = False

        async def call_on() -> None:
            nonlocal answered
            while not stopped:
                reply = await self.other.tool("good__echo").reply()
                assert reply.text == "steady"
                answered += 1
                await anyio.sleep(0.002)

        async with anyio.create_task_group() as group:
            group.start_soon(call_on)
            yield
            stopped = True
        assert answered


@asynccontextmanager
async def two_backends(
    bad: str | dict[str, str],
    *,
    limits: str = "",
    timeout_s: float = CALL_TIMEOUT_S,
    before: Callable[[], None] | None = None,
    log: str = "",
) -> AsyncIterator[TwoBackends]:
    """`bad`: the lines of its table that say where it is, or a name and such lines for each of several.

    `before` runs in the daemon's process before it starts. `log`: a file that its log goes to instead of to the test.
    """
    bads = {"bad": bad} if isinstance(bad, str) else bad
    good = SteadyServer()
    await good.start()
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        config = Path(folder) / "tidegate.toml"
        text = CONFIG.format(good=good.address, limits=limits)
        text += "".join(BAD.format(name=name, where=where, timeout=timeout_s) for name, where in bads.items())
        config.write_text(text, encoding="utf-8")
        stderr = os.open(log, os.O_WRONLY) if log else asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidegate", "serve", "--config", str(config), "--http", "127.0.0.1:0",
            "--tcp", "127.0.0.1:0", "--unix", f"{folder}/s", "--admin", "127.0.0.1:0",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            env={**os.environ, "TIDEGATE_LOG": "warning"}, preexec_fn=before,
        )  # fmt: skip
        assert process.stdout is not None
        if log:
            os.close(stderr)
        reading = None
        house = None
        try:
            first = await within(process.stdout.readline())
            assert first, (await process.stderr.read()).decode() if process.stderr is not None else "it did not start"
            house = TwoBackends(process, json.loads(first), good)
            if process.stderr is not None:
                reading = asyncio.ensure_future(_read_log(process.stderr, house.log))
            yield house
        finally:
            for client in house.clients if house is not None else ():
                client.close()
            if process.returncode is None:
                process.terminate()
            try:
                await within(process.wait())
            except TimeoutError:
                process.kill()
                await process.wait()
            if reading is not None:
                await within(reading)
            good.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Polls what has no event. Raises: TimeoutError."""
    async with asyncio.timeout(BOUND_S):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.002)


async def _read_log(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode("utf-8", "replace").rstrip())


def _get(url: str) -> Json:
    import urllib.request

    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
