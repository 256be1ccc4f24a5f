"""One started program with its pipes: begun, watched, asked to leave, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio

from tidegate.config.snapshot import Backend
from tidegate.errors import UpstreamUnreachable
from tidegate.pipeline.upstream.child.exit_watch import end_group, watch_exit
from tidegate.pipeline.upstream.child.family import Family
from tidegate.pipeline.upstream.child.keeper import keeper
from tidegate.pipeline.upstream.child.mark import marked, next_mark
from tidegate.pipeline.upstream.child.orphans import end_orphans_once
from tidegate.pipeline.upstream.child.proc import Row, read_row
from tidegate.pipeline.upstream.child.program import death_pact, environment, find_program, why_not_started

_log = logging.getLogger("tidegate.child")

_GRACE_S: Final = 2.0
"""Between closing stdin, SIGTERM and SIGKILL: the order of the stdio binding's "Shutdown"."""
_OOM_SCORE: Final = 300
"""When memory runs out, the kernel takes a child rather than the daemon. Of 1000."""


class Process:
    """Made by `start`. Whoever has one must `end` it."""

    def __init__(self, popen: subprocess.Popen[bytes], mark: str, exited: Callable[[], None]) -> None:
        self.pid = popen.pid
        self.exited = asyncio.Event()
        self.stdin: asyncio.WriteTransport | None = None
        # It cannot have been reaped yet, so its row is there, unless /proc is not.
        row = read_row(popen.pid) or Row(popen.pid, "R", os.getpid(), popen.pid, popen.pid, 0, 0)
        self.family = Family(row, mark)
        self._popen = popen
        self._tell_exited = exited
        self._pipes: list[asyncio.BaseTransport] = []
        self._ended = asyncio.Event()
        self._ending = False
        keeper().add(popen.pid)
        with contextlib.suppress(OSError):
            score = Path(f"/proc/{popen.pid}/oom_score_adj")
            score.write_text(str(max(_OOM_SCORE, int(score.read_text(encoding="ascii")))), encoding="ascii")

    @property
    def returncode(self) -> int | None:
        return self._popen.returncode

    async def connect(self, stdin: asyncio.BaseProtocol, stdout: asyncio.Protocol, stderr: asyncio.Protocol) -> None:
        """Raises: OSError."""
        popen = self._popen
        try:
            watch_exit(popen, self._exit, group=True)
        except OSError:
            end_group(popen.pid)
            popen.wait()
            self.exited.set()
            raise
        # In a task of its own, which nothing cancels: half-connected pipes would belong to nobody. It takes one turn.
        failures: list[OSError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(self._connect, stdin, stdout, stderr, failures, name=f"pipes {self.pid}")
        if failures:
            raise failures[0]

    async def _connect(
        self, stdin: asyncio.BaseProtocol, stdout: asyncio.Protocol, stderr: asyncio.Protocol, failures: list[OSError]
    ) -> None:
        loop, popen = asyncio.get_running_loop(), self._popen
        with anyio.CancelScope(shield=True):
            try:
                self.stdin, _ = await loop.connect_write_pipe(lambda: stdin, popen.stdin)
                self._pipes.append(self.stdin)
                for pipe, protocol in ((popen.stdout, stdout), (popen.stderr, stderr)):
                    reading, _ = await loop.connect_read_pipe(lambda protocol=protocol: protocol, pipe)  # type: ignore[misc]
                    self._pipes.append(reading)
            except OSError as error:
                failures.append(error)

    def _exit(self) -> None:
        self.exited.set()
        self._tell_exited()

    def signal_group(self, number: signal.Signals) -> None:
        # Until it has been reaped, nobody else has its number.
        if not self.exited.is_set():
            with contextlib.suppress(OSError):
                os.killpg(self.pid, number)

    def kill_group(self) -> None:
        if not self.exited.is_set():
            end_group(self.pid)

    async def end(self) -> None:
        """Asks it to leave, insists, and sees to it that nothing is left. Bounded."""
        if self._ending:
            await self._ended.wait()
            return
        self._ending = True
        try:
            await self._end_leader()
            if left := await self.family.end():
                _log.warning("processes_left pid=%d processes=%d of a child that was ended", self.pid, left)
        finally:
            for pipe in self._pipes:
                pipe.close()
            # Those that no transport has taken over.
            for file in (self._popen.stdin, self._popen.stdout, self._popen.stderr)[len(self._pipes) :]:
                if file is not None:
                    file.close()
            keeper().remove(self.pid)
            self._ended.set()
        await keeper().leave_if_idle()

    async def _end_leader(self) -> None:
        if self.stdin is not None:
            self.stdin.close()
        else:
            self.kill_group()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self.signal_group(number)
                # One that is stopped hears only when it goes on.
                self.signal_group(signal.SIGCONT)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await self.exited.wait()
                return


async def start(backend: Backend, exited: Callable[[], None], started: Callable[[Process], None]) -> None:
    """`started` gets the process before anything else can happen. Raises: UpstreamUnreachable."""
    try:
        started(_start(backend, exited))
    except UpstreamUnreachable:
        with anyio.CancelScope(shield=True):
            await keeper().leave_if_idle()
        raise


def _start(backend: Backend, exited: Callable[[], None]) -> Process:
    surroundings = environment(backend)
    program = find_program(backend, surroundings.get("PATH"))
    mark = next_mark()
    end_orphans_once()
    try:
        keeper().expect()
        # Not the loop's own way: uvloop's hands every inheritable descriptor on, and copies the page table to do so.
        popen = subprocess.Popen(  # noqa: S603  what the operator configured
            [*death_pact(), program, *backend.command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=marked(surroundings, mark),
            cwd=backend.cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise why_not_started(backend, error) from error
    return Process(popen, mark, exited)
