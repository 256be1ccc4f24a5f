"""The host facts as a stand-alone stdio server: `python -m tidegate.host`.

One JSON-RPC message a line; ends when stdin ends. Nothing but messages goes to stdout.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from tidegate.clock import Clock
from tidegate.host.dialogue import MESSAGE_BYTES, HostDialogue
from tidegate.host.server import HostServer


def converse(dialogue: HostDialogue, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answers line by line until `requests` ends.

    An over-long line is handed on cut, just long enough to get its refusal; the rest of it is skipped.
    """
    while line := requests.readline(MESSAGE_BYTES + 2):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = requests.readline(65536)
        line = line.rstrip(b"\r\n")
        reply = dialogue.receive(line) if line.strip() else None
        if reply is not None:
            replies.write(reply + b"\n")
            replies.flush()


def main() -> int:
    try:
        converse(HostDialogue(HostServer(Clock())), sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # the reader left; keep the interpreter from flushing into the void at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
