"""A task of a stateless server, followed by polling for clients that wait for its end as sessions have it.

`tasks/result` of 2025-11-25 blocks until the task is over and is asked on the way; the extension has `tasks/get`, to
be repeated, and `tasks/update` for answers (SEP-2663 "Task Polling", "Task Update Requests"). However many wait, the
server is polled once, and each of its questions is put to one of them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tidegate.errors import INTERNAL_ERROR, InvalidParams, TidegateError, UpstreamProtocol, UpstreamTimeout
from tidegate.pipeline.codec import ERROR, Envelope
from tidegate.pipeline.era.bridge.abilities import Abilities
from tidegate.pipeline.era.bridge.errors import error_for
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.pieces import members, text_of
from tidegate.pipeline.era.bridge.results import result_for
from tidegate.pipeline.era.bridge.tasks.questions import TaskQuestions
from tidegate.pipeline.era.bridge.tasks.requests import (
    Unheard,
    ask_about,
    error_message,
    own_error,
    result_message,
)
from tidegate.pipeline.era.bridge.tasks.shapes import TERMINAL, milliseconds, related, status_of
from tidegate.pipeline.exchange import CallListener
from tidegate.pipeline.json_text import json_bytes

_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 60.0
"""Between these a server's `pollIntervalMs` is followed."""
_FIRST_S: Final = 0.2
_SLOWEST_S: Final = 5.0
"""Without one: the first pause, and the last of those that double from it."""
_MAX_FAILURES: Final = 5
"""Polls in a row that may go unanswered: the server may be started again meanwhile."""


class PolledTask:
    """One task, while it is known to the gateway."""

    def __init__(
        self,
        task_id: str,
        backend: str,
        send: Send,
        *,
        abilities: Abilities,
        revision: str,
        shown: bool,
        answer_timeout_s: float,
        call_timeout_s: float,
    ) -> None:
        """`send` declares the extension. `revision`: of the clients that wait; `shown`: they know that it is a task."""
        self.task_id = task_id
        self.cancelled = False
        """By the client, which is told so from then on, whatever the server makes of it."""
        self._backend = backend
        self._send = send
        self._revision = revision
        self._shown = shown
        self._call_timeout_s = call_timeout_s
        self._waiting: list[Waiting] = []
        self._questions = TaskQuestions(
            task_id,
            backend,
            abilities=abilities,
            revision=revision,
            shown=shown,
            timeout_s=answer_timeout_s,
            answered=self._update,
            refused=self._refused,
        )
        self._call: OpenCall | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pause_s = _FIRST_S
        self._failures = 0

    def wait(self, listener: CallListener) -> Waiting:
        """`listener` hears how the task ends, and what the server asks until then."""
        waiting = Waiting(self, listener, asyncio.get_running_loop().time() + self._call_timeout_s)
        self._waiting.append(waiting)
        if self._call is None:
            self._poll()
        return waiting

    def left(self, waiting: Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            if not self._waiting:
                self._rest()

    def cancel(self) -> None:
        """The client cancelled it, of which the server was told."""
        self.cancelled = True
        self._end(own_error(INTERNAL_ERROR, "The task was cancelled"))

    def tell_cancelled(self) -> None:
        """Nobody wants it any more."""
        ask_about(self._send, Unheard(), "tasks/cancel", self.task_id)

    def _give_up(self) -> None:
        """The wait ends before the task. Only who knows that it is one can come back to it."""
        if not self._shown:
            self.tell_cancelled()

    def forget(self) -> None:
        """Its time is over, or nobody can come back to it."""
        self._fail(InvalidParams(f"Task has expired: `{self.task_id}`"))

    # -- polling ----------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        self._stop_timer()
        if self._waiting and self._call is None:
            self._call = ask_about(self._send, _Poll(self), "tasks/get", self.task_id)

    def _poll_later(self, wanted_s: float | None = None) -> None:
        if wanted_s is None:
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _SLOWEST_S)
        else:
            pause_s = min(max(wanted_s, _SHORTEST_S), _LONGEST_S)
        self._stop_timer()
        loop = asyncio.get_running_loop()
        if not self._questions.open:
            now_s = loop.time()
            for waiting in [each for each in self._waiting if each.until_s <= now_s]:
                self._out_of_time(waiting)
            nearest_s = min((each.until_s for each in self._waiting), default=now_s)
            pause_s = min(pause_s, max(nearest_s - now_s, _SHORTEST_S))
        if self._waiting:
            self._timer = loop.call_later(pause_s, self._poll)

    def _out_of_time(self, waiting: Waiting) -> None:
        said = f"backend `{self._backend}` did not end the task within {self._call_timeout_s:g} s"
        if self._shown:
            waiting.leave()
            said += "; it goes on"
        else:
            waiting.abandon()
        waiting.listener.failed(UpstreamTimeout(said))

    def unanswered(self, error: TidegateError) -> None:
        self._call = None
        self._failures += 1
        if self._failures < _MAX_FAILURES:
            self._poll_later()
            return
        self._failures = 0
        self._give_up()
        for each in self._all_leave():
            each.listener.failed(error)

    def heard(self, message: bytes, envelope: Envelope) -> None:
        self._call = None
        self._failures = 0
        if envelope.kind == ERROR:
            span = envelope.error_span
            assert span is not None
            self._give_up()
            self._end(message[span[0] : span[1]])
            return
        span = envelope.result_span
        assert span is not None
        task = message[span[0] : span[1]]
        status = status_of(task)
        known = members(task)
        try:
            if status == "completed":
                self._complete(known.get("result", b""))
            elif status == "failed":
                self._end(self._error(known))
            elif status == "cancelled":
                said = text_of(known.get("statusMessage"))
                self._end(own_error(INTERNAL_ERROR, f"The task was cancelled{f': {said}' if said else ''}"))
            else:
                self._ask(members(known.get("inputRequests", b"")) if status == "input_required" else {})
                interval_ms = milliseconds(task, "pollIntervalMs")
                self._poll_later(interval_ms / 1000 if interval_ms is not None else None)
        except TidegateError as error:
            if status not in TERMINAL:
                self._give_up()
            self._fail(error)

    def _complete(self, result: bytes) -> None:
        """Raises: UpstreamProtocol."""
        if not result.startswith(b"{"):
            raise UpstreamProtocol(f"backend `{self._backend}` completed a task without a result")
        result = result_for("tools/call", result, self._revision)
        if self._shown:
            result = related(result, self.task_id)
        self._questions.withdraw()
        for each in self._all_leave():
            each.listener.answered(*result_message(result))

    @staticmethod
    def _error(known: dict[str, bytes]) -> bytes:
        error = known.get("error", b"")
        if error.startswith(b"{"):
            return error
        return own_error(INTERNAL_ERROR, text_of(known.get("statusMessage")) or "The task failed")

    # -- answers ----------------------------------------------------------------------------------------------

    def _ask(self, wanted: dict[str, bytes]) -> None:
        """Raises: UpstreamProtocol, UpstreamTimeout."""
        if self._waiting:
            self._questions.want(wanted, self._waiting[0].listener.asked)
            if self._questions.unsent and not self._questions.open:
                self._update()

    def _refused(self, error: TidegateError) -> None:
        self.tell_cancelled()
        self._fail(error)

    def _update(self) -> None:
        answers = self._questions.take()
        raw = b",".join(json_bytes(key) + b":" + value for key, value in answers.items())
        until_s = asyncio.get_running_loop().time() + self._call_timeout_s
        for waiting in self._waiting:
            waiting.until_s = until_s
        self._pause_s = _FIRST_S
        ask_about(self._send, _Update(self, answers), "tasks/update", self.task_id, b',"inputResponses":{' + raw + b"}")

    def updated(self, message: bytes, envelope: Envelope) -> None:
        if envelope.kind == ERROR and envelope.error_span is not None:
            self._give_up()
            self._end(message[slice(*envelope.error_span)])
        elif self._call is None:
            self._poll()

    def not_updated(self, answers: dict[str, bytes]) -> None:
        """Told again with the next poll that finds the server waiting for them."""
        self._questions.give_back(answers)

    # -- the end ----------------------------------------------------------------------------------------------

    def _end(self, error: bytes) -> None:
        error, _ = error_for("tools/call", error, self._revision, server_keeps_session=False)
        self._questions.withdraw()
        for each in self._all_leave():
            each.listener.answered(*error_message(error))

    def _fail(self, error: TidegateError) -> None:
        self._questions.withdraw()
        for each in self._all_leave():
            each.listener.failed(error)

    def _all_leave(self) -> list[Waiting]:
        waiting, self._waiting = self._waiting, []
        self._rest()
        return waiting

    def _rest(self) -> None:
        """Nobody waits: no polls, and nobody is asked. Open questions are asked again when somebody comes back."""
        self._questions.withdraw()
        self._stop_timer()
        call, self._call = self._call, None
        if call is not None:
            call.abandon()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Waiting:
    """One who waits. Implements `OpenCall`: its request may be a plain call that the server made a task of."""

    __slots__ = ("_task", "listener", "until_s")

    def __init__(self, task: PolledTask, listener: CallListener, until_s: float) -> None:
        self._task = task
        self.listener = listener
        self.until_s = until_s
        """On the event loop's clock; stands still while a question is open."""

    def leave(self) -> None:
        self._task.left(self)

    def abandon(self) -> None:
        """The call is given up, and with it the task."""
        self.leave()
        self._task.tell_cancelled()

    def hold(self) -> None: ...

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None: ...


class _Poll(Unheard):
    def __init__(self, task: PolledTask) -> None:
        self._task = task

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._task.heard(message, envelope)

    def failed(self, error: TidegateError) -> None:
        self._task.unanswered(error)


class _Update(Unheard):
    def __init__(self, task: PolledTask, answers: dict[str, bytes]) -> None:
        self._task = task
        self._answers = answers

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._task.updated(message, envelope)

    def failed(self, error: TidegateError) -> None:
        self._task.not_updated(self._answers)
