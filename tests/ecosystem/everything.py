"""Our everything-server (tests/conformance) as a process, for whoever needs a server with one of everything."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "conformance" / "everything_server.py"
STDIO = [sys.executable, str(SCRIPT), "--stdio"]
"""The command that serves stdin and stdout."""
START_S = 30.0


@contextmanager
def everything_http() -> Iterator[str]:
    """The URL of a running one."""
    process = subprocess.Popen([sys.executable, str(SCRIPT), "--http", "0"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], START_S)[0]:
            raise AssertionError(f"the everything-server said no port within {START_S} s")
        port = os.read(process.stdout.fileno(), 64)
        if not port:
            raise AssertionError("the everything-server ended before it listened")
        yield f"http://127.0.0.1:{int(port)}/mcp"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
