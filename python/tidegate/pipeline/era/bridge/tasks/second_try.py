"""A tool that a stateless server runs as a task only, for a client that has no tasks: it sees a plain call.

The first request goes out as the client made it. Only when the server refuses it for want of the extension (SEP-2663
"Capability Negotiation", -32021) is it sent again with the extension declared; a task that comes of it is followed to
its end.
"""

from __future__ import annotations

from collections.abc import Callable

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import ERROR, Envelope
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.tasks.shapes import extension_required, task_id_of
from tidegate.pipeline.exchange import CallListener, Question


class SecondTry:
    """Implements `CallListener` for the server, `OpenCall` for the one who listens."""

    def __init__(
        self, listener: CallListener, send: Send, send_declaring: Send, follow: Callable[[str], OpenCall | None]
    ) -> None:
        """`follow`: takes over, when a task was made."""
        self._listener = listener
        self._send = send
        self._send_declaring = send_declaring
        self._follow = follow
        self._call: OpenCall | None = None
        self._first: tuple[bytes, Envelope] | None = None
        self._over = False

    def start(self, message: bytes, envelope: Envelope) -> SecondTry | None:
        """None when it could not be sent, of which the listener was told."""
        self._first = (message, envelope)
        call = self._send(self, message, envelope)
        if self._over:
            return None
        if self._call is None:
            self._call = call
        return self

    # -- CallListener -----------------------------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        self._listener.notified(message, envelope)

    def asked(self, question: Question) -> None:
        self._listener.asked(question)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._call = None
        first, self._first = self._first, None
        if first is not None and envelope.kind == ERROR and envelope.error_span is not None:
            if extension_required(message[slice(*envelope.error_span)]):
                self._call = self._send_declaring(self, *first)
                return
        elif envelope.result_type == "task" and envelope.result_span is not None:
            task_id = task_id_of(message[slice(*envelope.result_span)])
            if task_id is not None:
                self._call = self._follow(task_id)
                return
        self._over = True
        self._listener.answered(message, envelope)

    def failed(self, error: TidegateError) -> None:
        self._call = None
        self._over = True
        self._listener.failed(error)

    # -- OpenCall ---------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        self._over = True
        call, self._call = self._call, None
        if call is not None:
            call.abandon()

    def hold(self) -> None:
        if self._call is not None:
            self._call.hold()

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None:
        if self._call is not None:
            self._call.go_on(progress_token, timeout_s)


class Asking:
    """Hears how a task ends as if it were the call, and has its questions put by `ask`."""

    __slots__ = ("_ask", "_listener")

    def __init__(self, listener: CallListener, ask: Callable[[Question], None]) -> None:
        self._listener = listener
        self._ask = ask

    def notified(self, message: bytes, envelope: Envelope) -> None:
        self._listener.notified(message, envelope)

    def asked(self, question: Question) -> None:
        self._ask(question)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._listener.answered(message, envelope)

    def failed(self, error: TidegateError) -> None:
        self._listener.failed(error)
