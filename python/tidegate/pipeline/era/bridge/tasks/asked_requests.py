"""What a stateless client asks about a task of a session server: `tasks/get` and `tasks/cancel`, as the server answers.

`tasks/update` needs nothing of the server: the answers go to what it asked before.
"""

from __future__ import annotations

from collections.abc import Callable

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.era.bridge.errors import error_for
from tidegate.pipeline.era.bridge.pieces import members
from tidegate.pipeline.era.bridge.tasks.asked_task import AskedTask
from tidegate.pipeline.era.bridge.tasks.requests import error_message
from tidegate.pipeline.era.bridge.tasks.shapes import TERMINAL, status_of
from tidegate.pipeline.exchange import Exchange, Question


class Shown:
    """The server's answer to `tasks/get`."""

    __slots__ = ("_ended", "_exchange", "_task")

    def __init__(self, exchange: Exchange, task: AskedTask, ended: Callable[[], None]) -> None:
        self._exchange = exchange
        self._task = task
        self._ended = ended
        """Told when the server says that it is over: it will ask nothing more."""

    def notified(self, message: bytes, envelope: Envelope) -> None: ...

    def asked(self, question: Question) -> None:
        self._task.asked(question)

    def failed(self, error: TidegateError) -> None:
        self._exchange.failed(error)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        span = envelope.result_span
        if span is None:
            if _unknown(message, envelope):
                self._ended()
                self._task.forget()
            self._exchange.answered(*_translated(message, envelope, self._exchange))
            return
        task = message[slice(*span)]
        if status_of(task) in TERMINAL:
            self._ended()
        self._exchange.abandon = None
        self._task.show(self._exchange, task)


class AskedCancel:
    """The server's answer to `tasks/cancel`: to a stateless client, that it was heard."""

    __slots__ = ("_ended", "_exchange", "_task")

    def __init__(self, exchange: Exchange, task: AskedTask, ended: Callable[[], None]) -> None:
        self._exchange = exchange
        self._task = task
        self._ended = ended

    def notified(self, message: bytes, envelope: Envelope) -> None: ...

    def asked(self, question: Question) -> None:
        question.refuse("The task was cancelled")

    def failed(self, error: TidegateError) -> None:
        self._exchange.failed(error)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if envelope.error_span is not None and not _unknown(message, envelope):
            self._exchange.answered(*_translated(message, envelope, self._exchange))
            return
        # That it has ended already, which the extension does not call an error.
        self._ended()
        self._task.forget()
        self._exchange.answer_result(b'{"resultType":"complete"}')


def _unknown(message: bytes, envelope: Envelope) -> bool:
    """Whether the server says that there is no such task, or none that still runs. Other errors may pass."""
    span = envelope.error_span
    return span is not None and members(message[slice(*span)]).get("code") == b"-32602"


def _translated(message: bytes, envelope: Envelope, exchange: Exchange) -> tuple[bytes, Envelope]:
    error, _ = error_for("tasks/get", message[slice(*(envelope.error_span or (0, 0)))], exchange.client.version, True)
    return error_message(error)
