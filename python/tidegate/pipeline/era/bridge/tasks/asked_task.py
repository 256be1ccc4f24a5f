"""A task of a session server, as a stateless client sees it: a state to be polled, with its questions in it.

The server of 2025-11-25 says the state by `tasks/get`, but gives the result, and asks, only while `tasks/result` is
open. So the gateway opens that when it is needed and keeps it; what the server asks then, or on its own, waits here
until the client fetches it by `tasks/get` and answers by `tasks/update` (SEP-2663 "Task Polling").
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from tidegate.errors import INVALID_REQUEST, METHOD_NOT_FOUND, InvalidRequest, TidegateError
from tidegate.pipeline.codec import ERROR, Envelope
from tidegate.pipeline.era.bridge.abilities import Abilities, may_ask
from tidegate.pipeline.era.bridge.errors import error_for
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.open_questions import GATHER_S, OpenQuestions
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.era.bridge.tasks.requests import ask_about
from tidegate.pipeline.era.bridge.tasks.shapes import (
    Members,
    asking,
    completed,
    failed,
    stateless_task,
    status_of,
    unrelated,
)
from tidegate.pipeline.exchange import Exchange, Question

_MAX_SHOWN: Final = 64
"""Requests for the state that may wait for the server to ask or to hand over the result."""
_QUESTION_S: Final = 1.0
"""How long a server that wants input is given to say which, before the client is told to ask again."""
_WORKING: Final[Members] = [("status", b'"working"')]


class AskedTask:
    """One task, while it is known to the gateway. Implements `CallListener` for `tasks/result` and for questions.

    While questions are open it counts among the suspended calls of its client, `Suspended`, and is bounded with them.
    """

    def __init__(
        self,
        task_id: str,
        send: Send,
        room: SuspendedCalls,
        *,
        principal: str,
        abilities: Abilities,
        revision: str,
        call_timeout_s: float,
    ) -> None:
        """`room`: bounds the questions that are open and the results that are kept here. `principal`: its key."""
        self.task_id = task_id
        self.key = b""
        self.principal = principal
        self.request = b""
        self.deadline_s = inf
        self._send = send
        self._room = room
        self._abilities = abilities
        self._revision = revision
        self._call_timeout_s = call_timeout_s
        self._call: OpenCall | None = None
        """`tasks/result`."""
        self._open = OpenQuestions("task", room.most_bytes)
        self._shown: list[tuple[Exchange, bytes]] = []
        """Requests for the state that wait, with the `Task` that the server gave for them."""
        self._timer: asyncio.TimerHandle | None = None
        self._ending: Members | None = None
        self._kept_bytes = 0

    known_to_client = False
    progress = None
    """A task of the extension has none."""

    # -- what the client sends ------------------------------------------------------------------------------

    def show(self, exchange: Exchange, task: bytes) -> None:
        """Answers `tasks/get`, for which the server gave `task`, now or when the rest of it is there."""
        status = status_of(task)
        if status == "cancelled":
            self.forget()
            self._answer(exchange, task, None)
        elif status in ("completed", "failed"):
            if self._ending is None:
                self._hold(exchange, task)
            else:
                self._answer(exchange, task, self._ending)
        elif self._open or status != "input_required":
            self._answer(exchange, task, None)
        else:
            self._hold(exchange, task)
            if self._timer is None and self._shown:
                self._timer = asyncio.get_running_loop().call_later(_QUESTION_S, self._show_all)

    def answer(self, responses: dict[str, bytes]) -> None:
        """`tasks/update`: raw JSON values by key. What is unknown or answered is ignored. Raises: InvalidParams."""
        self._open.answer(self._open.answers_among(responses))
        self._settle()

    def forget(self) -> None:
        """It was cancelled, or is not to be known any more."""
        self._refuse_open("The task is not waited for any more")
        call, self._call = self._call, None
        if call is not None:
            call.abandon()
        self._show_all()
        self._release()

    # -- what the server says: CallListener -----------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        """Progress and log lines have no place in a task of the extension; its state is asked for."""

    def asked(self, question: Question) -> None:
        method = question.envelope.method or ""
        refusal = may_ask(self._abilities, method, question.params) or self._open.no_room_for(question)
        if refusal is not None:
            question.refuse(refusal)
            return
        key = self._open.add(question, self._settle)
        try:
            # What it gives out is for calls that are retried. A task is found by its id.
            self._room.suspend(self)
        except TidegateError as error:
            self._open.drop(key)
            question.refuse(str(error))
            return
        if self._call is not None:
            self._call.hold()
        if self._shown:
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._show_all)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._call = None
        self._refuse_open("The task is over")
        if envelope.kind == ERROR:
            span = envelope.error_span
            assert span is not None
            error, _ = error_for("tools/call", message[slice(*span)], self._revision, server_keeps_session=True)
            ending = failed(error)
        else:
            span = envelope.result_span
            assert span is not None
            ending = completed(message[slice(*span)])
        if self._room.keep(len(message)):
            self._kept_bytes = len(message)
            self._ending = ending
        self._show_all(ending)

    def failed(self, error: TidegateError) -> None:
        """Of `tasks/result`, not of the task: questions stay open, unless the connection took them along."""
        self._call = None
        self._stop_timer()
        shown, self._shown = self._shown, []
        for exchange, _ in shown:
            exchange.failed(error)

    def _refuse_open(self, why: str, code: int = METHOD_NOT_FOUND) -> None:
        self._open.refuse_all(why, code)
        self._leave_room()

    def _settle(self) -> None:
        """The time of `tasks/result` goes on when no question is open."""
        if not self._open:
            self._leave_room()
            if self._call is not None:
                self._call.go_on(None, self._call_timeout_s)

    # -- the bounds of what is open: Suspended --------------------------------------------------------------

    @property
    def held_bytes(self) -> int:
        return self._open.held_bytes

    def deadline_passed(self, now_s: float) -> None:
        """The client did not answer. The task goes on, and may be asked for again."""
        self._refuse_open("The client did not answer in time", INVALID_REQUEST)
        call, self._call = self._call, None
        if call is not None:
            call.abandon()
        self._show_all()

    def resume(self, exchange: Exchange, responses: dict[str, bytes]) -> None:
        """Raises: InvalidRequest, always: nobody was given a state that stands for it."""
        raise InvalidRequest("a task is answered by `tasks/update`")

    def _leave_room(self) -> None:
        self._room.ended(self)
        self.key = b""
        self.deadline_s = inf

    # -- answering ------------------------------------------------------------------------------------------

    def _hold(self, exchange: Exchange, task: bytes) -> None:
        """The request waits for what only `tasks/result` brings."""
        self._shown = [(other, state) for other, state in self._shown if not other.done]
        if len(self._shown) >= _MAX_SHOWN:
            self._answer(exchange, task, _WORKING)
            return
        self._shown.append((exchange, task))
        if self._call is None:
            call = ask_about(self._send, self, "tasks/result", self.task_id)
            if self._shown:
                self._call = call

    def _show_all(self, ending: Members | None = None) -> None:
        self._stop_timer()
        shown, self._shown = self._shown, []
        for exchange, task in shown:
            if ending is None and not self._open:
                # It wants something, but has not said what: to the client it still works.
                self._answer(exchange, task, _WORKING)
            else:
                self._answer(exchange, task, ending)

    def _answer(self, exchange: Exchange, task: bytes, inlined: Members | None) -> None:
        if inlined is None and self._open:
            inlined = asking(self._open.requests(self._revision, self._abilities, unrelated))
        exchange.answer_result(stateless_task(unrelated(task), "complete", inlined))

    def _release(self) -> None:
        self._ending = None
        self._room.release(self._kept_bytes)
        self._kept_bytes = 0

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
