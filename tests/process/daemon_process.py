"""`tidegate` as a process of its own, with children that tell when they are there."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_S = 20.0
END_S = 12.0
TIDEGATE = (sys.executable, "-m", "tidegate")

SERVER = """
import json, os, signal, subprocess, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()} {helper.pid}\\n")
def serve():
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        if asked["method"] == "initialize":
            result = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "s", "version": "1"}}
        elif asked["method"] == "tools/list":
            result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        elif asked["method"] == "tools/call":
            continue
        else:
            error = {"code": -32601, "message": "no"}
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}), flush=True)
            continue
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
serve()
if "stubborn" in sys.argv:
    while True:
        signal.pause()
"""
"""A session-era server with a helper process of its own; it never answers a call, and `stubborn` never leaves."""

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def configuration(folder: Path, *words: str) -> tuple[Path, Path]:
    """A configuration with one such server, and the file in which its process ids appear."""
    script, pids = folder / "server.py", folder / "pids"
    script.write_text(SERVER, encoding="utf-8")
    command = json.dumps([sys.executable, "-I", "-S", str(script), str(pids), *words])
    path = folder / "tidegate.toml"
    path.write_text(f"[backends.s]\ncommand = {command}\n[limits]\ndrain_s = 0.2\n", encoding="utf-8")
    return path, pids


def alive(pid: int) -> bool:
    """Running, and not just waiting to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] != "Z"


def wait_until(holds: Callable[[], bool], what: str, bound_s: float = END_S) -> None:
    """Polls what no file descriptor tells. Raises: AssertionError."""
    deadline_s = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {bound_s} s: {what}"
        time.sleep(0.01)


def children(pids: Path) -> list[int]:
    return [int(word) for word in pids.read_text(encoding="ascii").split()] if pids.exists() else []


def wait_gone(pids: Path, bound_s: float = END_S) -> None:
    wait_until(lambda: not any(alive(pid) for pid in children(pids)), "every child is gone", bound_s)


def read_line(stream: Any, bound_s: float = READY_S) -> Any:
    """One line of JSON. Raises: AssertionError."""
    deadline_s = time.monotonic() + bound_s
    data = b""
    while not data.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        assert left_s > 0, f"no whole line within {bound_s} s, only {data!r}"
        if select.select([stream], [], [], left_s)[0]:
            byte = os.read(stream.fileno(), 1)
            assert byte, f"the stream ended after {data!r}"
            data += byte
    return json.loads(data)


@dataclass
class Process:
    """A started command; `ready` is the daemon's first line."""

    popen: subprocess.Popen[bytes]
    ready: Any

    def say(self, message: Any) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(message).encode() + b"\n")
        self.popen.stdin.flush()


@contextmanager
def started(*words: str, environ: dict[str, str] | None = None, stdin: int = subprocess.PIPE) -> Iterator[Process]:
    """`tidegate WORDS`, killed at the end if it has not ended by itself."""
    popen = subprocess.Popen(
        [*TIDEGATE, *words],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    try:
        yield Process(popen, None)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def daemon(folder: Path, config: Path | None = None, *words: str) -> Iterator[Process]:
    """A daemon that is ready, on `folder/s` and on a free TCP port."""
    files = ["--config", str(config)] if config is not None else []
    listen = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--unix", str(folder / "s"), "--admin", ""]
    with started("serve", *files, *listen, *words) as process:
        process.ready = read_line(process.popen.stdout)
        assert process.ready["ready"] is True
        yield process
