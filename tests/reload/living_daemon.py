"""The daemon as a process, with a configuration file that a test changes under it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from clients import Client, HttpClient, StreamClient
from heard import BOUND_S, within

Json = Any
READY_S = 30.0
TIDEGATE = (sys.executable, "-m", "tidegate")
LISTEN = ("--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0")


@dataclass
class Living:
    """A running daemon."""

    process: asyncio.subprocess.Process
    folder: Path
    ready: Json
    log: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "tidegate.toml"

    @property
    def admin(self) -> str:
        return str(self.ready["admin"])

    def write(self, text: str) -> None:
        """As an editor saves: the daemon never sees half of it."""
        beside = self.config.with_name("beside")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.config)

    async def join(self, era: str = "session", way_in: str = "tcp") -> Client:
        client: Client
        if way_in == "http":
            client = HttpClient(self.ready["http"][0], era)
        else:
            client = StreamClient(self.ready["tcp"][0] if way_in == "tcp" else self.ready["unix"], era)
        self.clients.append(client)
        await within(client.start())
        return client

    async def post(self, **headers: str) -> tuple[int, Json]:
        """`POST /reload`: HTTP status and the answer."""
        return await asyncio.to_thread(_fetch, f"{self.admin}/reload", b"", headers)

    async def status(self) -> Json:
        return (await asyncio.to_thread(_fetch, f"{self.admin}/status", None, {}))[1]

    async def last_reload(self, holds: Callable[[Json], bool]) -> Json:
        """The last reload, as `/status` has it, once it is one that `holds`."""
        async with asyncio.timeout(BOUND_S):
            while True:
                last = (await self.status())["configuration"]["last_reload"]
                if last is not None and holds(last):
                    return last
                await anyio.sleep(0.02)

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    async def verb(self, *words: str) -> tuple[int, str, str]:
        """`tidegate WORDS --admin …`: exit code, stdout, stderr."""
        child = await asyncio.create_subprocess_exec(
            *TIDEGATE, *words, "--admin", self.admin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await within(child.communicate())
        assert child.returncode is not None
        return child.returncode, out.decode(), err.decode()


@asynccontextmanager
async def living(
    text: str, *words: str, folder: Path | None = None, environ: dict[str, str] | None = None
) -> AsyncIterator[Living]:
    """A daemon with this configuration, from ready to gone."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        place = folder or Path(name)
        config = place / "tidegate.toml"
        config.write_text(text, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *TIDEGATE, "serve", "--config", str(config), *LISTEN, "--unix", str(place / "s"), *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "XDG_STATE_HOME": str(place / "state"), **(environ or {})},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        reading = None
        alive = None
        try:
            async with asyncio.timeout(READY_S):
                first = await process.stdout.readline()
            assert first, (await process.stderr.read()).decode()
            alive = Living(process, place, json.loads(first))
            reading = asyncio.ensure_future(_keep(process.stderr, alive.log))
            yield alive
        finally:
            for client in alive.clients if alive is not None else ():
                client.close()
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await within(process.wait())
            except TimeoutError:
                process.kill()
                await process.wait()
            if reading is not None:
                await within(reading)


async def _keep(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode("utf-8", "replace").rstrip())


def _fetch(url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Json]:
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
