"""The worker: a set of models served over two descriptors.

The main thread reads, keeps time, and answers what a computing thread does not answer by itself (`turns.py`); it never
computes, so a model that hangs keeps nobody from being told so.
Whatever happens, the process does not outlive the end of its input by more than the time to finish what it is at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidegate.clock import Clock
from tidegate.models.catalogue import Make, make_task
from tidegate.models.worker.assignment import Assignment
from tidegate.models.worker.calls import Calls
from tidegate.models.worker.dialogue import Dialogue
from tidegate.models.worker.lane import Lane
from tidegate.models.worker.model_set import Model, ModelSet
from tidegate.models.worker.pipes import BytesOut, LinesIn
from tidegate.models.worker.residency import Residency
from tidegate.models.worker.turns import Timer, Turns

if TYPE_CHECKING:
    from tidegate.models.power import Power, PowerWatch

LINGER_S: Final = 0.5
"""How long calls in flight may still take when the input has ended."""
STUCK: Final = 75
"""Exit status of a worker that ended itself over a model that does not return."""
_WAITING_BYTES: Final = 64 << 20
"""Of messages that wait for one model."""


class Worker:
    """`run` returns when it is done. Threads may still be computing then: the process is to be left by `os._exit`."""

    def __init__(
        self,
        assignment: Assignment,
        requests: int,
        replies: int,
        *,
        linger_s: float = LINGER_S,
        make: Make = make_task,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._assignment = assignment
        self._linger_s = linger_s
        self._leave = leave
        self._turns = turns = Turns()
        self._models = ModelSet(assignment, make)
        self._calls = Calls(turns, self._find, stuck_s=assignment.stuck_s, stuck=self._stuck)
        self._input = LinesIn(turns, requests, assignment.line_bytes, self._receive, self._input_ended)
        self._output = BytesOut(turns, replies, self._output_full, turns.end)
        self._dialogue = Dialogue(
            self._models,
            self._calls,
            self._send,
            line_bytes=assignment.line_bytes,
            result_bytes=assignment.result_bytes,
            depth=assignment.depth,
        )
        self._calls.voice = self._dialogue
        self._residency = Residency(assignment.memory_bytes)
        self._lanes: dict[str, Lane] = {}
        self._idle: Timer | None = None
        self._power: PowerWatch | None = None

    def run(self) -> None:
        self._input.start()
        self._turns.run()

    # -- lanes ------------------------------------------------------------------------------------------------------

    def _find(self, tool: str) -> tuple[Lane, str]:
        offer = self._models.offer(tool)
        name = offer.model.manifest.name
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = self._opened(offer.model)
        if self._idle is None and self._assignment.unload_idle_s > 0:
            self._look_later(self._turns.now_s() + self._assignment.unload_idle_s)
        return lane, offer.own_name

    def _opened(self, model: Model) -> Lane:
        return Lane(
            model.manifest,
            model.task,
            model.files,
            self._residency,
            self._power_now,
            self._calls.finished,
            _WAITING_BYTES,
        )

    def _power_now(self) -> Power:
        """On a computing thread. Read when something is computed, not at the start."""
        if self._power is None:
            from tidegate.models.power import PowerWatch, power_settings

            self._power = PowerWatch(power_settings(self._assignment.power), Clock())
        return self._power.now()

    def _look_later(self, at_s: float) -> None:
        self._idle = self._turns.at(at_s, self._unload_idle)

    def _unload_idle(self) -> None:
        """Those that nobody called for a while; looks again when the next one's time is up."""
        self._idle = None
        now_s, patience_s = self._turns.now_s(), self._assignment.unload_idle_s
        next_s: list[float] = []
        for lane in self._lanes.values():
            if not lane.loaded and lane.idle:
                continue
            until_s = lane.used_s + patience_s
            if lane.idle and until_s <= now_s:
                lane.unload()
            else:
                next_s.append(max(until_s, now_s + patience_s / 10))
        if next_s:
            self._look_later(min(next_s))

    def _stuck(self, lane: Lane) -> None:
        print(
            f"model_stuck model={lane.manifest.name}: it still computes {self._assignment.stuck_s:g} s after its time "
            "was up; this worker ends so that another can be started",
            file=sys.stderr,
            flush=True,
        )
        self._leave(STUCK)

    # -- both ends --------------------------------------------------------------------------------------------------

    def _receive(self, line: bytes | None) -> None:
        self._dialogue.receive(line)

    def _send(self, message: bytes) -> None:
        self._output.write(message + b"\n")

    def _output_full(self, full: bool) -> None:
        if full:
            self._input.pause()
        else:
            self._input.start()
        for lane in self._lanes.values():
            lane.hold(full)

    def _input_ended(self) -> None:
        self._calls.when_none = self._output.when_empty = self._end_if_done
        self._turns.at(self._turns.now_s() + self._linger_s, self._turns.end)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._calls.in_flight == 0 and self._output.waiting_bytes == 0:
            self._turns.end()
