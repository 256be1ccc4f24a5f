"""Servers with one of everything as processes: ours (both eras) and the reference one (session era)."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from node_runtime import LOOPBACK_ONLY, node, package_file

SCRIPT = Path(__file__).resolve().parents[1] / "conformance" / "everything_server.py"
STDIO = [sys.executable, str(SCRIPT), "--stdio"]
"""The command of ours on stdin and stdout."""
START_S = 30.0


def everything_http() -> AbstractContextManager[str]:
    """The URL of a running one of ours."""
    return listening([sys.executable, str(SCRIPT), "--http", "0"], {}, "/mcp")


def reference_http(transport: str) -> AbstractContextManager[str]:
    """The URL of the reference server: `streamableHttp` or `sse`."""
    script = package_file("@modelcontextprotocol/server-everything", "dist/index.js")
    environment = {"PORT": "0", "TIDEGATE_TELL_PORT": "1"}
    path = "/sse" if transport == "sse" else "/mcp"
    return listening([node(), "--require", LOOPBACK_ONLY, script, transport], environment, path)


@contextmanager
def listening(command: list[str], environment: dict[str, str], path: str) -> Iterator[str]:
    """A process that prints its port as a line of its own; ended by the process id."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        yield f"http://127.0.0.1:{_port(process)}{path}"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _port(process: subprocess.Popen[bytes]) -> int:
    """The first line that is a number; whatever else a server says before it is skipped."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_S
    said = b""
    while True:
        for line in said.split(b"\n")[:-1]:
            if line.strip().isdigit():
                return int(line)
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise AssertionError(f"{process.args!r} said no port within {START_S} s: {said!r}")
        chunk = os.read(process.stdout.fileno(), 4096)
        if not chunk:
            raise AssertionError(f"{process.args!r} ended before it listened: {said!r}")
        said += chunk
