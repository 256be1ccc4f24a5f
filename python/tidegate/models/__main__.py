"""A worker as a process: `python -P -m tidegate.models`, started by the gateway, or by hand to try a model.

Nothing but messages goes to its stdout, whatever a library prints.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Final

from tidegate.errors import ConfigError
from tidegate.models.worker.assignment import VARIABLE, read_assignment
from tidegate.models.worker.process import be_frugal, bound_memory, step_back
from tidegate.models.worker.worker import LINGER_S, Worker

_USAGE: Final = f"""\
usage: python -P -m tidegate.models [--linger SECONDS]

Serves a set of local models over stdin and stdout: MCP 2026-07-28, one message a line. The gateway starts it for each
backend that has `models` and ends it by closing its stdin. What it serves is in the environment variable
`{VARIABLE}`, JSON; all but `models` may be left out:

  {{"set": "NAME", "models": [{{"path": "FOLDER or NAME", "shipped": false, "digest": "sha256:…"}}],
   "memory_bytes": 0, "unload_idle_s": 300, "line_bytes": 4194304, "result_bytes": 16777216, "depth": 64}}

To try one by hand:

  export {VARIABLE}='{{"models": [{{"path": "language", "shipped": true}}]}}'
  echo '{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{
    "io.modelcontextprotocol/protocolVersion":"2026-07-28",
    "io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}' | tr -d '\\n' |
    python -P -m tidegate.models --linger 60

options:
  --linger SECONDS   how long calls in flight may take when stdin has ended (default {LINGER_S:g})
  --help             this
"""

_BAD_USAGE: Final = 2
_STACK_BYTES: Final = 4 << 20
"""Of a computing thread's: 8 MB each would be counted as memory that is used."""


def main(arguments: list[str]) -> int:
    if arguments == ["--help"] or arguments == ["-h"]:
        print(_USAGE, end="")
        return 0
    linger_s = LINGER_S
    if arguments:
        try:
            option, seconds = arguments
            linger_s = float(seconds)
        except ValueError:
            option = ""
        if option != "--linger" or not 0 <= linger_s < 1e6:
            print(_USAGE, end="", file=sys.stderr)
            return _BAD_USAGE
    try:
        assignment = read_assignment(os.environ.get(VARIABLE, ""))
    except ConfigError as error:
        print(f"{error}; `--help` says more", file=sys.stderr)
        return _BAD_USAGE
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    requests, replies = _kept_apart()
    step_back()
    be_frugal()
    bound_memory(assignment.memory_bytes)
    threading.stack_size(_STACK_BYTES)
    sys.setswitchinterval(0.001)  # seconds; the main thread is to have its turn soon while others compute in Python
    Worker(assignment, requests, replies, linger_s=linger_s).run()
    return 0


def _kept_apart() -> tuple[int, int]:
    """Descriptors of the two ends, which nothing else in the process knows."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that compute are not waited for, and nothing of theirs is taken apart while they use it.
    os._exit(status)
