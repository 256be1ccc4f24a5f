"""A tool that a session server runs as a task only, for a client that has no tasks: it sees a plain call.

The gateway asks for the task and waits for it by `tasks/result`, during which the server may ask (2025-11-25,
basic/utilities/tasks, "Input Required Status"). Stands between the one who listens and the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import ERROR, Envelope, find_member
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.tasks.requests import Unheard, ask_about, result_message
from tidegate.pipeline.era.bridge.tasks.shapes import milliseconds, task_id_of, unrelated
from tidegate.pipeline.exchange import CallListener, Exchange, Question


class TaskFollow(Protocol):
    """A connection, which is told who hears of a task."""

    def follow_task(self, task_id: str, task: TaskRun, ttl_ms: int | None) -> None: ...

    def unfollow_task(self, task_id: str) -> None: ...


class TaskRun:
    """Implements `CallListener` for the server, `OpenCall` for the one who listens."""

    known_to_client = False

    def __init__(self, listener: CallListener, send: Send, about: Callable[[str], Send], follow: TaskFollow) -> None:
        self.exchange = listener if isinstance(listener, Exchange) else None
        """Whom the server's questions are for, where a connection serves one session."""
        self._listener = listener
        self._send = send
        self._about = about
        self._follow = follow
        self._call: OpenCall | None = None
        self._task_id: str | None = None
        self._token: bytes | None = None
        """The client's progress token, raw."""
        self.progress: tuple[bytes, bytes] | None = None
        self._over = False

    def start(self, message: bytes, envelope: Envelope) -> TaskRun | None:
        """Sends the call, to which `send` adds `task`. None when it could not, of which the listener was told."""
        self._token = envelope.progress_token
        call = self._send(self, message, envelope)
        if self._over:
            return None
        if self._call is None:
            self._call = call
        return self

    # -- CallListener -----------------------------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        if envelope.method != "notifications/tasks/status":
            self._listener.notified(message, envelope)

    def asked(self, question: Question) -> None:
        self._listener.asked(question)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._call = None
        span = envelope.result_span
        if self._task_id is None and envelope.kind != ERROR and span is not None:
            at = find_member(message, "task", *span)
            task = message[slice(*at)] if at is not None else b""
            task_id = task_id_of(task)
            if task_id is not None:
                self._task_id = task_id
                if self._token is not None and envelope.id is not None:
                    # The call's own id was its token at the server, and stays so.
                    self.progress = (envelope.id, self._token)
                self._follow.follow_task(task_id, self, milliseconds(task, "ttl"))
                self._call = ask_about(self._about(task_id), self, "tasks/result", task_id)
                return
        self._end()
        if envelope.kind != ERROR and span is not None:
            result = message[slice(*span)]
            plain = unrelated(result)
            if plain is not result:
                message, envelope = result_message(plain)
        self._listener.answered(message, envelope)

    def failed(self, error: TidegateError) -> None:
        self._call = None
        task_id = self._task_id
        self._end()
        if task_id is not None:
            ask_about(self._about(task_id), Unheard(), "tasks/cancel", task_id)
        self._listener.failed(error)

    # -- OpenCall ---------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        call, self._call = self._call, None
        task_id = self._task_id
        self._end()
        if call is not None:
            call.abandon()
        if task_id is not None:
            ask_about(self._about(task_id), Unheard(), "tasks/cancel", task_id)

    def hold(self) -> None:
        if self._call is not None:
            self._call.hold()

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None:
        if self.progress is not None and progress_token is not None:
            self.progress = (self.progress[0], progress_token)
        if self._call is not None:
            self._call.go_on(progress_token, timeout_s)

    def _end(self) -> None:
        self._over = True
        if self._task_id is not None:
            self._follow.unfollow_task(self._task_id)
            self._task_id = None
