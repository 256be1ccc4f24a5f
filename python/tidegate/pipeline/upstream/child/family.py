"""A child with everything that descends from it, wherever that has gone, and the end of all of them.

Members are found by the child's process group and session, by its mark in their environment (`mark.py`), and by being
started by, or in a group or session of, another member. What escapes is a process that clears its environment, leaves
the session *and* outlives its parent; that takes intent, and a control group (`docs/operations/children.md`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Generator
from typing import Final

from tidegate.pipeline.upstream.child.mark import VARIABLE
from tidegate.pipeline.upstream.child.proc import Row, pids, read_row, read_variable, send_signal

_PORTION: Final = 32
"""Rows read in one turn of the event loop: some 0.5 ms."""
_LISTINGS: Final = 8
_QUIET_LOOKS: Final = 2
_FIRST_PAUSE_S: Final = 0.005
_MOST_PAUSE_S: Final = 0.2
_ROUNDS: Final = 40
"""With these pauses some 5 s; a process that SIGKILL does not end by then hangs in the kernel."""


class Family:
    """The processes of one child. `leader` was started as the leader of a session of its own."""

    def __init__(self, leader: Row, mark: str) -> None:
        self._leader = leader
        self._mark = mark.encode()
        self._marks: dict[tuple[int, int], bool] = {}
        """(pid, started) of those who may belong to it → whether they carry the mark."""

    async def find(self) -> list[Row]:
        """Everyone, the leader and the dead included. Reads in portions, so it may miss what is started meanwhile."""
        return await _drive(self.survey())

    def survey(self, *, kill: bool = False) -> Generator[None, None, list[Row]]:
        """As `find`, a portion at each step.

        `kill`: whoever carries the mark is killed as soon as seen, with its process group. Processes that keep
        replacing themselves are gone when one comes back to them, but their group is not.
        """
        rows: list[Row] = []
        seen: set[int] = set()
        for _ in range(_LISTINGS):
            # Who started somebody and left while the others were read is not missed.
            fresh = [pid for pid in pids() if pid not in seen]
            seen.update(fresh)
            for number, pid in enumerate(fresh, 1):
                row = read_row(pid)
                if row is not None and row.started >= self._leader.started:
                    rows.append(row)
                    if kill and not row.dead and self._carries_mark(pid):
                        self._marks[(pid, row.started)] = True
                        _kill_group(row)
                if number % _PORTION == 0:
                    yield
            if not fresh:
                break
        marks: dict[tuple[int, int], bool] = {}
        for number, row in enumerate(rows, 1):
            key = (row.pid, row.started)
            # Between fork and exec a process still shows what it was forked from: a "no" holds only for its environment
            # of now, a "yes" for good.
            marks[key] = self._marks.get(key, False) or self._carries_mark(row.pid)
            if number % _PORTION == 0:
                yield
        self._marks = {key: carried for key, carried in marks.items() if carried}
        return self._members(rows)

    def _carries_mark(self, pid: int) -> bool:
        return pid != os.getpid() and self._mark in read_variable(pid, VARIABLE).split()

    def _members(self, rows: list[Row]) -> list[Row]:
        leader = self._leader
        if any(row.pid == leader.pid and row.started != leader.started for row in rows):
            # Its pid is another's by now, which the kernel does while nobody is left in its group and session.
            places: set[int] = set()
        else:
            places = {leader.pid}
        members: dict[int, Row] = {}
        rest = [row for row in rows if row.pid != os.getpid()]
        while True:
            joining = [
                row
                for row in rest
                if (row.pid, row.started) in self._marks
                or row.group in places
                or row.session in places
                or row.parent in members
            ]
            if not joining:
                return list(members.values())
            for row in joining:
                members[row.pid] = row
                places.add(row.pid)
            rest = [row for row in rest if row.pid not in members]

    async def end(self) -> int:
        """Kills every member but a dead one, and again whom they started meanwhile. How many withstood."""
        pause_s = _FIRST_PAUSE_S
        left: list[Row] = []
        quiet = 0
        for _ in range(_ROUNDS):
            found = await _drive(self.survey(kill=True))
            self._reap(found)
            left = [row for row in found if not row.dead]
            quiet = 0 if left else quiet + 1
            if quiet >= _QUIET_LOOKS:
                break
            for row in left:
                send_signal(row, signal.SIGKILL)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _MOST_PAUSE_S)
        return len(left)

    def _reap(self, found: list[Row]) -> None:
        """A daemon that is the first process of a container inherits its children's children."""
        for row in found:
            if row.dead and row.parent == os.getpid() and row.pid != self._leader.pid:
                with contextlib.suppress(OSError):
                    os.waitpid(row.pid, os.WNOHANG)


async def _drive(survey: Generator[None, None, list[Row]]) -> list[Row]:
    """A portion in each turn of the loop."""
    while True:
        try:
            next(survey)
        except StopIteration as done:
            found: list[Row] = done.value
            return found
        await asyncio.sleep(0)


def _kill_group(row: Row) -> None:
    """A child has a session of its own, so its descendants share a group with nobody else."""
    if row.group > 1 and row.group != os.getpgrp() and row.session != os.getsid(0):
        with contextlib.suppress(OSError):
            os.killpg(row.group, signal.SIGKILL)
