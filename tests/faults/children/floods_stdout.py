"""Writes on stdout as fast as it can, for ever: a line without an end, garbage, empty lines, or valid notifications."""

import json
import sys

import plain

NOTICE = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "again"}}
FLOODS = {
    "endless": b"x" * 65536,
    "garbage": b"no json\n" * 8192,
    "blank": b"\n" * 65536,
    "notices": (json.dumps(NOTICE).encode() + b"\n") * 500,
    "answers": plain.text(4711, "nobody asked") * 500,
}
data = FLOODS[sys.argv[1]]


def flood(message_id: object) -> None:
    while True:
        plain.write(data)


plain.serve(flood)
