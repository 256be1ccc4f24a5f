"""What a child may use, if its backend has `memory_bytes` or `cpu_percent`. Looked at while it runs, unprivileged.

Memory: once a second the resident memory of the child and of all that it started is summed up; over the limit, it is
ended. CPU: time that is used beyond the share is waited for: the child and all that it started are stopped (SIGSTOP)
until on average the share holds again, then go on (SIGCONT). Imported with the first such backend.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from typing import Final

from tidegate.config.snapshot import Backend
from tidegate.pipeline.upstream.child.proc import TICKS_PER_S, Row, read_row, send_signal
from tidegate.pipeline.upstream.child.process import Process
from tidegate.pipeline.upstream.child.usage import estimate, measure

_LOOK_S: Final = 1.0
"""Between two looks at who belongs to it, and at its memory."""
_CALM_S: Final = 0.25
_HOT_S: Final = 0.02
"""Between two looks at its CPU time: when it is far below its share, and when it is near."""
_SAVED_S: Final = 1.0
"""What it does not use in a second it may use later."""
_MOST_STOPPED_S: Final = 5.0
_MIB: Final = 1 << 20


class Allowance:
    """Of one child. `start`ed and `stop`ped once."""

    def __init__(self, backend: Backend, process: Process, overdrawn: Callable[[str], None]) -> None:
        """`overdrawn` is called once, with words that go on from the backend's name."""
        self._memory_bytes = backend.memory_bytes
        self._share = backend.cpu_percent / 100
        self._process = process
        self._overdrawn = overdrawn
        self._loop = asyncio.get_running_loop()
        self._survey: Generator[None, None, list[Row]] | None = None
        self._known: list[Row] = []
        self._timers: dict[str, asyncio.Handle] = {}
        self._stopped_since_s: float | None = None
        self._looked_at_s = 0.0
        self._used_ticks = 0
        self._balance_s = self._share * _SAVED_S
        """CPU time that it may use at once; negative: what it has to wait for."""
        self._over = False
        self._stopped_s = 0.0

    def start(self) -> None:
        self._looked_at_s = self._loop.time()
        self._look()
        if self._share:
            self._timers["cpu"] = self._loop.call_later(_CALM_S, self._account)

    def stop(self) -> None:
        self._over = True
        for timer in self._timers.values():
            timer.cancel()
        self._go_on()

    # -- who belongs to it, and its memory --------------------------------------------------------------------

    def _look(self) -> None:
        if self._survey is None:
            self._survey = self._process.family.survey()
        try:
            next(self._survey)
        except StopIteration as done:
            self._survey = None
            self._known = [row for row in done.value if not row.dead]
            self._timers["look"] = self._loop.call_later(_LOOK_S, self._look)
            if self._memory_bytes:
                self._judge([row.pid for row in self._known])
        else:
            self._timers["look"] = self._loop.call_soon(self._look)

    def _judge(self, pids: list[int]) -> None:
        if estimate(pids) <= self._memory_bytes:
            return
        used = measure(pids)
        if used > self._memory_bytes and not self._over:
            self.stop()
            for row in self._known:
                send_signal(row, signal.SIGKILL)
            self._overdrawn(
                f"used {used / _MIB:.0f} MiB of the {self._memory_bytes / _MIB:.0f} MiB it may (`memory_bytes`) and "
                "was ended"
            )

    # -- its CPU time -----------------------------------------------------------------------------------------

    def _account(self) -> None:
        """Runs while the child does; not while it is stopped."""
        now_s = self._loop.time()
        rows = [row for row in (read_row(known.pid) for known in self._known) if row is not None]
        ticks = sum(row.cpu_ticks for row in rows)
        used_s = max(0, ticks - self._used_ticks) / TICKS_PER_S
        self._used_ticks = ticks
        earned_s = self._share * (now_s - self._looked_at_s)
        self._looked_at_s = now_s
        self._balance_s = min(self._share * _SAVED_S, self._balance_s + earned_s - used_s)
        if self._balance_s < 0:
            self._halt(now_s)
            pause_s = min(-self._balance_s / self._share, _MOST_STOPPED_S)
            self._timers["cpu"] = self._loop.call_later(pause_s, self._resume)
        else:
            near = self._balance_s < self._share * _SAVED_S / 2
            self._timers["cpu"] = self._loop.call_later(_HOT_S if near else _CALM_S, self._account)

    def _halt(self, now_s: float) -> None:
        self._stopped_since_s = now_s
        self._send(signal.SIGSTOP)

    def _resume(self) -> None:
        self._go_on()
        self._timers["cpu"] = self._loop.call_later(_HOT_S, self._account)

    def _go_on(self) -> None:
        if self._stopped_since_s is not None:
            self._stopped_s += self._loop.time() - self._stopped_since_s
            self._stopped_since_s = None
            self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        self._process.signal_group(number)
        for row in self._known:
            if row.group != self._process.pid:
                send_signal(row, number)

    def statistics(self) -> dict[str, object]:
        stopped_s = self._stopped_s
        if self._stopped_since_s is not None:
            stopped_s += self._loop.time() - self._stopped_since_s
        return {"stopped_s": round(stopped_s, 3)} if self._share else {}
