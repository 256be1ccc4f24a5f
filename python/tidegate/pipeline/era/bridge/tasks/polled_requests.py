"""What a session's client asks about a task of a stateless server: `tasks/get`, `tasks/result`, `tasks/cancel`."""

from __future__ import annotations

from datetime import UTC, datetime

from tidegate.errors import INTERNAL_ERROR, InvalidParams, TidegateError
from tidegate.pipeline.codec import Envelope, patch_object
from tidegate.pipeline.era.bridge.open_call import Send
from tidegate.pipeline.era.bridge.tasks.polled_task import PolledTask
from tidegate.pipeline.era.bridge.tasks.requests import Turned, ask_about, error_message, own_error
from tidegate.pipeline.era.bridge.tasks.shapes import TERMINAL, session_task, status_of
from tidegate.pipeline.exchange import Exchange, Question
from tidegate.pipeline.json_text import json_bytes


def serve_polled(exchange: Exchange, method: str, task: PolledTask, send: Send) -> None:
    """Answers `method`, now or later. `send` declares the extension."""
    if method == "tasks/result":
        if task.cancelled:
            exchange.answered(*error_message(own_error(INTERNAL_ERROR, "The task was cancelled")))
        else:
            exchange.abandon = task.wait(exchange).leave
        return
    if method == "tasks/cancel":
        _Cancelling(exchange, task, send).start()
        return

    def turn(state: bytes) -> bytes:
        state = session_task(state)
        return _cancelled(state) if task.cancelled else state

    revision = exchange.client.version
    call = ask_about(send, Turned(exchange, turn, method=method, revision=revision), method, task.task_id)
    if call is not None and not exchange.done:
        exchange.abandon = call.abandon


def _cancelled(state: bytes) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return patch_object(state, [("status", b'"cancelled"'), ("lastUpdatedAt", json_bytes(now))])


class _Cancelling:
    """The extension only acknowledges; 2025-11-25 wants the task, cancelled, or an error when it was over already."""

    def __init__(self, exchange: Exchange, task: PolledTask, send: Send) -> None:
        self._exchange = exchange
        self._task = task
        self._send = send
        self._state: bytes | None = None

    def start(self) -> None:
        self._ask("tasks/get")

    def _ask(self, method: str) -> None:
        revision = self._exchange.client.version
        listener = Turned(self, lambda result: result, method=method, revision=revision)
        call = ask_about(self._send, listener, method, self._task.task_id)
        if call is not None and not self._exchange.done:
            self._exchange.abandon = call.abandon

    def notified(self, message: bytes, envelope: Envelope) -> None: ...

    def asked(self, question: Question) -> None:
        question.refuse("The task is being cancelled")

    def failed(self, error: TidegateError) -> None:
        self._exchange.failed(error)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        exchange, span = self._exchange, envelope.result_span
        if span is None:
            exchange.answered(message, envelope)
        elif self._state is None:
            self._state = session_task(message[slice(*span)])
            status = status_of(self._state)
            if status in TERMINAL or self._task.cancelled:
                over = "cancelled" if self._task.cancelled else status
                exchange.failed(InvalidParams(f"Cannot cancel task: already in terminal status '{over}'"))
            else:
                self._ask("tasks/cancel")
        else:
            self._task.cancel()
            exchange.answer_result(_cancelled(self._state))
