"""A server as a child process, spoken to over its standard streams (2026-07-28, transports/stdio).

The child leads a process group of its own, so that what it starts ends with it, and is told to die by the
kernel when the daemon does. Its stderr is not a protocol: a bounded tail is kept for people.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import cast

import anyio

from tidegate.config.snapshot import Backend
from tidegate.errors import UpstreamClosed, UpstreamUnreachable
from tidegate.pipeline.upstream.joined_writer import JoinedWriter
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.pipeline.upstream.stream import LineInbox

_GRACE_S = 2.0
"""Between closing stdin, SIGTERM and SIGKILL: the order of the stdio binding's "Shutdown"."""
_LAST_WORDS_S = 0.1
"""How long a lost child's exit status and last lines are waited for: its own children may hold its pipes open."""
_STDERR_LINES = 100
_STDERR_LINE_CHARS = 500
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM", "XDG_RUNTIME_DIR")
"""What a child needs of the daemon's environment; the rest may hold secrets of other backends."""


@lru_cache(maxsize=1)
def _death_pact() -> tuple[str, ...]:
    """Prefix that has the kernel kill the child when the daemon dies, also by SIGKILL."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


class StdioChild(asyncio.SubprocessProtocol):
    """One child process as a link."""

    cancels_by_closing = False

    def __init__(self, backend: Backend, *, max_bytes: int, write_buffer_bytes: int) -> None:
        self._backend = backend
        self._max_bytes = max_bytes
        self._write_buffer_bytes = write_buffer_bytes
        self._owner: LinkOwner | None = None
        self._inbox: LineInbox | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: JoinedWriter | None = None
        self._exited = asyncio.Event()
        self._open_pipes = {0, 1, 2}
        self._stderr_rest = b""
        self.pid: int | None = None
        self.stderr_tail: deque[str] = deque(maxlen=_STDERR_LINES)

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._inbox = LineInbox(owner, self._max_bytes)
        name = self._backend.name
        command = self._backend.command
        environment = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        environment.update((key, value.reveal()) for key, value in self._backend.env)
        program = shutil.which(command[0], path=environment.get("PATH"))
        if program is None and self._backend.cwd is not None and os.sep in command[0]:
            program = shutil.which(Path(self._backend.cwd) / command[0])
        if program is None:
            raise UpstreamUnreachable(f"backend `{name}`: the program `{command[0]}` was not found")
        try:
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: self,
                *_death_pact(),
                program,
                *command[1:],
                env=environment,
                cwd=self._backend.cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise UpstreamUnreachable(f"backend `{name}` could not be started: {error}") from error
        self._transport = transport
        self.pid = transport.get_pid()
        stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))  # uvloop's are no subclasses
        self._stdin = JoinedWriter(stdin, name, self._write_buffer_bytes)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            assert self._inbox is not None
            self._inbox.feed(data)
        else:
            self._keep_stderr(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        self._report_soon()

    def process_exited(self) -> None:
        self._exited.set()
        self._report_soon()

    def _report_soon(self) -> None:
        """Reports the loss when its cause is known: how it exited, what it last said. These come in any order."""
        exited = self._exited.is_set()
        # A server that closes its stdout can answer no more, whether or not it still runs.
        if self._owner is None or not (exited or 1 not in self._open_pipes):
            return
        if exited and not self._open_pipes & {1, 2}:
            self._report_lost()
        else:
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._report_lost)

    def _report_lost(self) -> None:
        owner, self._owner = self._owner, None
        if owner is None:
            return
        code = self._transport.get_returncode() if self._transport is not None else None
        if code is None:
            how = "closed its output"
        elif code < 0:
            how = f"was ended by signal {_signal_name(-code)}"
        else:
            how = f"exited with status {code}"
        last = f"; it last said: {self.stderr_tail[-1]}" if self.stderr_tail else ""
        owner.lost(UpstreamClosed(f"backend `{self._backend.name}` {how}{last}"))

    def _keep_stderr(self, data: bytes) -> None:
        *lines, rest = (self._stderr_rest + data).split(b"\n")
        self._stderr_rest = rest[-_STDERR_LINE_CHARS:]
        for line in lines[-_STDERR_LINES:]:
            text = line[:_STDERR_LINE_CHARS].decode("utf-8", "replace").rstrip()
            if text:
                self.stderr_tail.append(text)

    def send(self, message: bytes, call: Call | None) -> None:
        if self._stdin is not None:
            self._stdin.send(message, call, self._owner)

    def abandon(self, call: Call) -> None:
        pass

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        transport = self._transport
        if transport is None:
            return
        # Shielded: a child must not stay because whoever ends it is told to end, too.
        with anyio.CancelScope(shield=True):
            await self._end(transport)

    async def _end(self, transport: asyncio.SubprocessTransport) -> None:
        if self._stdin is not None:
            self._stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._signal_group(number)
            try:
                async with asyncio.timeout(_GRACE_S):
                    await self._exited.wait()
                break
            except TimeoutError:
                continue
        # What the child itself started and left behind.
        self._signal_group(signal.SIGKILL)
        transport.close()
        self._transport = None

    def _signal_group(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def statistics(self) -> dict[str, object]:
        return {"pid": self.pid, "running": not self._exited.is_set(), "stderr": list(self.stderr_tail)[-5:]}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # Most of the real-time ones have no name.
        return str(number)
