"""Writes on stderr as fast as it can, from a process beside the one that serves: `lines` or one endless line."""

import os
import sys

import plain

data = (b"all is well\n" if sys.argv[1] == "lines" else b"x" * 12) * 5000


def flood(message_id: object) -> None:
    if os.fork() == 0:
        while True:
            os.write(2, data)
    plain.write(plain.text(message_id, "flooding"))


plain.serve(flood)
