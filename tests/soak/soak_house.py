"""The daemon of a soak and its servers, as processes; and what befalls them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from soak_watch import descendants

SERVER = str(Path(__file__).with_name("soak_server.py"))
PYTHON = (sys.executable, "-I", "-S")
CONFIG = """
[limits]
rate_per_s = 0
session_idle_s = 5
suspended_s = 3
drain_s = 1

[backends.box]
builtin = "host"

[backends.steady]
command = {steady}
isolation = "shared"

[backends.calm]
url = "{calm}"
isolation = "shared"

[backends.wild]
command = {wild}
call_timeout_s = 5
max_connections = 4
max_in_flight = 8
max_queued = 16
queue_timeout_s = 2

[backends.odd]
command = {odd}
call_timeout_s = 5

[backends.far]
url = "{far}"
call_timeout_s = 5
probe_timeout_s = 2
max_connections = 4
{more}
"""
STEADY = ("steady", "calm")
"""Nothing befalls these: every call to them is answered."""
WILD = ("wild", "odd", "far")
READY_S = 30.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class HttpServer:
    """A soak server over HTTP, that can be killed and started on the same port."""

    def __init__(self, era: str, name: str) -> None:
        self._words = (*PYTHON, SERVER, "http", era, name, str(free_port()))
        self.url = f"http://127.0.0.1:{self._words[-1]}/mcp"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


class SoakHouse:
    """A context: everything is started by it, and gone after it."""

    def __init__(self, folder: Path, runner: tuple[str, ...] = ("-m", "tidegate")) -> None:
        self.folder = folder
        self.calm, self.far = HttpServer("modern", "calm"), HttpServer("session", "far")
        self.unix = str(folder / "s")
        self._runner = runner
        self._reloads = 0
        self.faults: dict[str, int] = {}
        """What befell it so far, and how often."""

    def _write(self, more: str) -> None:
        def stdio(era: str, name: str) -> str:
            return json.dumps([*PYTHON, SERVER, "stdio", era, name])

        text = CONFIG.format(
            steady=stdio("session", "steady"),
            calm=self.calm.url,
            wild=stdio("session", "wild"),
            odd=stdio("modern", "odd"),
            far=self.far.url,
            more=more,
        )
        path = self.folder / "tidegate.toml"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)

    def __enter__(self) -> SoakHouse:
        for server in (self.calm, self.far):
            server.start()
        self._write("")
        listen = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--unix", self.unix]
        with (self.folder / "stderr").open("wb") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, *self._runner, "serve", "--config", str(self.folder / "tidegate.toml"), *listen],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TIDEGATE_STATE": str(self.folder / "state")},
            )
        assert self.daemon.stdout is not None
        said: dict[str, Any] = json.loads(self.daemon.stdout.readline())
        self.http: str = said["http"][0]
        self.tcp: str = said["tcp"][0]
        self.admin: str = said["admin"]
        return self

    @property
    def pid(self) -> int:
        return self.daemon.pid

    def __exit__(self, *_: object) -> None:
        left = descendants(self.pid)
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        finally:
            self.daemon.kill()
            self.daemon.wait()
            assert self.daemon.stdout is not None
            self.daemon.stdout.close()
            for server in (self.calm, self.far):
                server.kill()
            self.orphans = [pid for pid in left if Path(f"/proc/{pid}").exists()]

    def log(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    # -- what befalls it --------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Another file, in force soon after: a backend comes and goes."""
        self._reloads += 1
        self._write('[backends.guest]\nbuiltin = "host"\n' if self._reloads % 2 else "")
        self.daemon.send_signal(signal.SIGHUP)

    def victims(self, names: tuple[str, ...]) -> list[int]:
        """Processes of stdio servers with these names."""
        found = []
        for pid in descendants(self.pid):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if SERVER.encode() in words and words[-2].decode() in names and b"setpriv" not in words[0]:
                    found.append(pid)
        return found

    async def weather(self, dice: random.Random, every_s: float, *, reloads: bool) -> None:
        """One fault after the other, until cancelled."""
        kinds = ["kill", "kill", "hang", "down", *(["reload"] if reloads else [])]
        while True:
            await asyncio.sleep(every_s * dice.uniform(0.5, 1.5))
            kind = dice.choice(kinds)
            self.faults[kind] = self.faults.get(kind, 0) + 1
            if kind == "down":
                self.far.kill()
                await asyncio.sleep(dice.uniform(0.1, 2))
                await asyncio.to_thread(self.far.start)
            elif kind == "reload":
                self.reload()
            elif victims := self.victims(WILD):
                victim = dice.choice(victims)
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
                    if kind == "hang":
                        await asyncio.sleep(dice.uniform(0.5, 3))
                        os.kill(victim, signal.SIGCONT)
