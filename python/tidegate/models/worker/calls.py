"""The calls in flight: who waits for what, until when, and what becomes of them when they are over.

Whoever has the baton of `turns.py` is at work here, except where a lane tells what came of its work.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Protocol

from tidegate.errors import InvalidRequest, ModelDeadline, TidegateError
from tidegate.models.task import Json
from tidegate.models.worker.lane import Came, Lane
from tidegate.models.worker.turns import Timer, Turns
from tidegate.models.worker.work import Caller, Work

LOADING_S: Final = 600.0
"""Loading from a slow card may take longer than any call has. It is not given up: the next call would begin it anew."""


class Voice(Protocol):
    """Who puts into bytes what is answered."""

    def encoded(self, came: Came, model: str) -> bytes: ...

    def answer(self, request_id: int | str, member: bytes) -> None: ...

    def refuse(self, request_id: int | str, error: TidegateError) -> None: ...

    def tell_progress(self, token: int | str, done: float, total: float | None, message: str) -> None: ...


Find = Callable[[str], tuple[Lane, str]]
"""The lane that serves a tool, and the task's own name of the tool. Raises: UnknownTool, ModelRefused."""


class Calls:
    """Of one worker."""

    def __init__(self, turns: Turns, find: Find, *, stuck_s: float, stuck: Callable[[Lane], None]) -> None:
        self._turns = turns
        self._find = find
        self._stuck_s = stuck_s
        self._stuck = stuck
        self._callers: dict[Hashable, tuple[Caller, Lane]] = {}
        self.voice: Voice | None = None
        """Set once, before the first call."""
        self.when_none: Callable[[], None] | None = None
        """Called when the last one is over."""

    @property
    def in_flight(self) -> int:
        return len(self._callers)

    def begin(
        self,
        request_id: int | str,
        tool: str,
        arguments: Json,
        resources: Mapping[str, Any],
        token: int | str | None,
        size: int,
    ) -> None:
        """Raises: UnknownTool, ModelRefused, ModelBusy, InvalidRequest."""
        lane, own_name = self._find(tool)
        deadline_s = self._turns.now_s() + lane.manifest.limits.deadline_ms / 1000
        caller = Caller(request_id, token, deadline_s)
        if caller.key in self._callers:
            raise InvalidRequest("`id` is that of a request in flight")
        work = Work(own_name, arguments, resources, size, self._told)
        caller.work = work
        self._callers[caller.key] = caller, lane
        try:
            caller.work = lane.add(work, caller)
        except TidegateError:
            del self._callers[caller.key]
            raise
        if caller.work.computed and token is not None and self.voice is not None:
            # It joined a call whose others were told before that it has begun.
            self.voice.tell_progress(token, 0.0, None, "")
        caller.timer = self._turns.at(deadline_s, lambda: self._expire(caller, lane))

    def cancel(self, request_id: object) -> None:
        """Whoever asked is gone: nothing is answered."""
        if isinstance(request_id, str | int):
            found = self._callers.get((type(request_id), request_id))
            if found is not None:
                self._leave(*found)

    def finished(self, lane: Lane, work: Work, came: Came) -> None:
        """On the computing thread of the lane."""
        if work.gone or self.voice is None:
            return
        member = self.voice.encoded(came, lane.manifest.name)
        self._turns.soon(lambda: self._answer(work, member))

    def _answer(self, work: Work, member: bytes) -> None:
        assert self.voice is not None
        for caller in work.callers:
            if not caller.over:
                self._end(caller)
                self.voice.answer(caller.request_id, member)
        self._tell_if_none()

    def _told(self, work: Work) -> None:
        """On a computing thread."""
        self._turns.soon(lambda: self._progress(work))

    def _progress(self, work: Work) -> None:
        assert self.voice is not None
        heard = work.heard()
        if heard is None:
            return
        for caller in work.callers:
            if caller.token is not None and not caller.over:
                self.voice.tell_progress(caller.token, *heard)

    def _expire(self, caller: Caller, lane: Lane) -> None:
        assert self.voice is not None
        if caller.over:
            return
        self._leave(caller, lane)
        limit_ms = lane.manifest.limits.deadline_ms
        self.voice.refuse(
            caller.request_id,
            ModelDeadline(f"model `{lane.manifest.name}` did not answer within {limit_ms / 1000:g} s"),
        )
        self._tell_if_none()

    def _leave(self, caller: Caller, lane: Lane) -> None:
        """Nobody waits any more; what is computed for nobody ends, or the worker does."""
        work = caller.work
        self._end(caller)
        if work is None or not work.gone:
            return
        lane.discard(work)
        if lane.is_at(work):
            run = lane.run
            self._turns.at(caller.deadline_s + self._stuck_s, lambda: self._look(lane, run))
        self._tell_if_none()

    def _look(self, lane: Lane, run: int) -> None:
        if not lane.busy or lane.run != run:
            return
        since_s, now_s = lane.loading_since_s, self._turns.now_s()
        if since_s is not None and now_s < since_s + LOADING_S:
            self._turns.at(now_s + max(self._stuck_s, 1.0), lambda: self._look(lane, run))
        else:
            self._stuck(lane)

    def _end(self, caller: Caller) -> None:
        caller.over = True
        timer: Timer | None = caller.timer
        if timer is not None:
            timer.cancel()
        self._callers.pop(caller.key, None)

    def _tell_if_none(self) -> None:
        if not self._callers and self.when_none is not None:
            self.when_none()
