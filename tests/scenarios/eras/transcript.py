"""What one side of a conversation said and heard, in order, in a file that all sides write to.

Each program of this folder notes what goes over its own wire, whole and as it is. A line of the file:

    {"at": nanoseconds of the machine's monotonic clock, "side": "client" | "server", "way": "says" | "hears",
     "message": the JSON-RPC message}

What is said is noted before it leaves and what is heard after it has arrived, so a message never seems to arrive
before it was sent. Without `ERAS_TRANSCRIPT` in the environment nothing is written: the programs also run alone.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Literal, TypeAlias

Side: TypeAlias = Literal["client", "server"]
Way: TypeAlias = Literal["says", "hears"]
Message: TypeAlias = dict[str, Any]

FILE = "ERAS_TRANSCRIPT"
"""The variable that names the file."""


class Transcript:
    """The notes of one side."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def says(self, message: Message) -> Message:
        return self._note("says", message)

    def hears(self, message: Message) -> Message:
        return self._note("hears", message)

    def _note(self, way: Way, message: Message) -> Message:
        if path := os.environ.get(FILE):
            line = {"at": time.monotonic_ns(), "side": self.side, "way": way, "message": message}
            # One write for one line: several processes append to the file.
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(fd, json.dumps(line, ensure_ascii=False).encode() + b"\n")
            finally:
                os.close(fd)
        return message
