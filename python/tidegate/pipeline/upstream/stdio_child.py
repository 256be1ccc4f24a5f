"""A server as a child process, spoken to over its standard streams (2026-07-28, transports/stdio).

This is the link: messages in and out, and what is said of the child's end. How it is started and how nothing of it is
left is `child/process.py`; how it is read `child/stdout.py` and `child/stderr.py`.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final, cast

import anyio

from tidegate.config.snapshot import Backend
from tidegate.errors import ChildEnded
from tidegate.pipeline.codec import LineUpstream
from tidegate.pipeline.upstream.child.process import Process, start
from tidegate.pipeline.upstream.child.program import why_not_started
from tidegate.pipeline.upstream.child.stderr import Stderr
from tidegate.pipeline.upstream.child.stdout import Stdout
from tidegate.pipeline.upstream.child.usage import memory_bytes
from tidegate.pipeline.upstream.joined_writer import JoinedWriter
from tidegate.pipeline.upstream.link import Call, LineRelay, LinkOwner

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.child.allowance import Allowance

_LAST_WORDS_S: Final = 0.1
"""How long a lost child's exit status and last lines are waited for: its own children may hold its pipes open."""
_SHOWN_LINES: Final = 10
_NOT_EXECUTED: Final = "setpriv: failed to execute "


class StdioChild(asyncio.BaseProtocol):
    """One child process as a link. It is itself the protocol of the child's stdin."""

    cancels_by_closing = False

    def __init__(
        self, backend: Backend, *, max_bytes: int, write_buffer_bytes: int, relay: LineRelay | None = None
    ) -> None:
        self._backend = backend
        self._relay = relay
        self._relayed: LineUpstream | None = None
        self._max_bytes = max_bytes
        self._write_buffer_bytes = write_buffer_bytes
        self._owner: LinkOwner | None = None
        self._process: Process | None = None
        self._stdin: JoinedWriter | None = None
        self._stdin_lost = False
        self._stdout: Stdout | None = None
        self._stderr = Stderr(backend.name)
        self._last_words: asyncio.Handle | None = None
        self._allowance: Allowance | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def open(self, owner: LinkOwner) -> None:
        await start(self._backend, self._exited, self._started)
        process = self._process
        assert process is not None
        self._owner = owner
        self._stderr.pid = process.pid
        stdout = self._stdout = Stdout(owner, self._max_bytes, self._report_soon)
        self._relayed = self._relay.lines(stdout, self._max_bytes) if self._relay is not None else None
        reading: asyncio.Protocol = stdout
        if self._relayed is not None:
            stdout.lines = self._relayed
            reading = cast(asyncio.Protocol, self._relayed)
        try:
            await process.connect(self, reading, self._stderr)
        except OSError as error:
            self._owner = None
            raise why_not_started(self._backend, error) from error
        assert process.stdin is not None
        self._stdin = JoinedWriter(process.stdin, self._backend.name, self._write_buffer_bytes)
        if self._relayed is not None:
            owner.relay_by(self._relayed.upstream, process.stdin.write, self._stdin)
        if self._backend.memory_bytes or self._backend.cpu_percent:
            from tidegate.pipeline.upstream.child.allowance import Allowance

            self._allowance = Allowance(self._backend, process, self.overdrawn)
            self._allowance.start()

    def _started(self, process: Process) -> None:
        self._process = process

    def pause_writing(self) -> None:
        if self._relayed is not None:
            self._relayed.upstream.paused = True

    def resume_writing(self) -> None:
        if self._relayed is not None:
            self._relayed.upstream.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """It closed its stdin, or has gone."""
        self._stdin_lost = True
        self._report_soon()

    def _exited(self) -> None:
        self._stderr.hurry()
        if self._stdout is not None:
            self._stdout.hurry()
        self._report_soon()

    def _report_soon(self) -> None:
        """Reports the loss when its cause is known: how it exited, what it last said. These come in any order."""
        process, stdout = self._process, self._stdout
        if self._owner is None or process is None or stdout is None:
            return
        exited = process.exited.is_set()
        # A server that closes one of the two can be asked or can answer no more, whether or not it still runs.
        if not (exited or stdout.at_end or self._stdin_lost):
            return
        if exited and stdout.at_end and self._stderr.at_end:
            self._report_lost(self._how_it_ended())
        elif self._last_words is None:
            self._owner.ending()
            self._last_words = asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._last_words_over)

    def _last_words_over(self) -> None:
        self._report_lost(self._how_it_ended())

    def _how_it_ended(self) -> str:
        process, stdout = self._process, self._stdout
        assert process is not None
        assert stdout is not None
        code = process.returncode
        lines = self._stderr.lines(1)
        if code is None:
            how = "closed its output" if stdout.at_end else "closed its input"
        elif code in (126, 127) and lines and lines[0].startswith(_NOT_EXECUTED):
            return f"could not be executed: {lines[0].removeprefix(_NOT_EXECUTED)}"
        elif code < 0:
            how = f"was ended by signal {_signal_name(-code)}"
        else:
            how = f"exited with status {code}"
        if stdout.within_message:
            how += " in the middle of a message"
        return f"{how}; it last said: {lines[0]}" if lines else how

    def _report_lost(self, how: str) -> None:
        owner, self._owner = self._owner, None
        if self._last_words is not None:
            self._last_words.cancel()
        if owner is not None:
            owner.lost(ChildEnded(f"backend `{self._backend.name}` {how}", tuple(self._stderr.lines())))

    def overdrawn(self, how: str) -> None:
        """It has used more than it may, and is ended. `how` goes on from the backend's name."""
        assert self._process is not None
        # It goes on growing while it is asked politely.
        self._process.kill_group()
        self._report_lost(how)

    def send(self, message: bytes, call: Call | None) -> None:
        stdin = self._stdin
        if stdin is not None:
            stdin.send(message, call, self._owner)

    def take_over(self, call: Call, message: bytes, connection: object, received: bytes, began_s: float) -> None:
        """Not over HTTP, or not relayed."""

    def abandon(self, call: Call) -> None:
        pass

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self._owner = None
        if self._last_words is not None:
            self._last_words.cancel()
        process = self._process
        if process is None:
            return
        if self._allowance is not None:
            self._allowance.stop()
        if self._stdin is not None:
            self._stdin.close()
        # Shielded: a child must not stay because whoever ends it is told to end, too.
        with anyio.CancelScope(shield=True):
            await process.end()
        if self._stdout is not None:
            self._stdout.close()
        self._stderr.close()

    def statistics(self) -> dict[str, object]:
        process, allowance = self._process, self._allowance
        running = process is not None and not process.exited.is_set()
        found: dict[str, object] = {
            "pid": self.pid,
            "running": running,
            "memory_bytes": memory_bytes(process.pid) if process is not None and running else None,
            "stderr": self._stderr.lines(_SHOWN_LINES),
            "slowed_down": self._stdout.pauses if self._stdout is not None else 0,
        }
        return found | allowance.statistics() if allowance is not None else found


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # Most of the real-time ones have no name.
        return str(number)
