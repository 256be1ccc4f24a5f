"""What a gateway left behind that was killed together with its keeper: ended by the next one, when it starts a child.

A mark names the gateway it comes from (`mark.py`). One of this boot and PID namespace that does not run any more has no
use for its children; those of any other gateway are left alone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Generator
from functools import lru_cache
from typing import Final

from tidegate.pipeline.upstream.child.mark import VARIABLE, daemon_mark
from tidegate.pipeline.upstream.child.proc import pids, read_row, read_variable, send_signal

_log = logging.getLogger("tidegate.child")

_PORTION: Final = 32
_ROUNDS: Final = 5
"""They may start others while they are looked for."""


@lru_cache(maxsize=1)
def end_orphans_once() -> None:
    end_orphans()


def end_orphans() -> None:
    """Begins to; a portion in each turn of the loop."""
    loop = asyncio.get_running_loop()
    steps = _end()

    def go_on() -> None:
        if next(steps, False):
            loop.call_soon(go_on)

    loop.call_soon(go_on)


def _end() -> Generator[bool, None, None]:
    ended = 0
    for _ in range(_ROUNDS):
        found = 0
        for number, pid in enumerate(pids(), 1):
            row = read_row(pid)
            if row is not None and not row.dead and is_orphan(read_variable(pid, VARIABLE)):
                found += send_signal(row, signal.SIGKILL)
            if number % _PORTION == 0:
                yield True
        ended += found
        if not found:
            break
    if ended:
        _log.warning("orphans_ended processes=%d of a gateway that was killed", ended)


def is_orphan(marks: bytes) -> bool:
    """Whether one of the gateways that a process comes from has been here and is gone."""
    boot, namespace, _, _ = daemon_mark()[:-1].split(".")
    for mark in marks.decode("ascii", "replace").split():
        parts = mark.split(".")
        if len(parts) != 5 or parts[:2] != [boot, namespace] or not (parts[2].isdecimal() and parts[3].isdecimal()):
            continue
        gateway = read_row(int(parts[2]))
        if gateway is None or gateway.dead or gateway.started != int(parts[3]):
            return True
    return False
