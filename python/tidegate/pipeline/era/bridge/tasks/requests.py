"""Requests about one task that the gateway makes for itself, and answers that it writes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import ERROR, Envelope, scan, splice
from tidegate.pipeline.era.bridge.errors import error_for
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.exchange import CallListener, Question
from tidegate.pipeline.json_text import json_bytes

_DEPTH: Final = 1 << 16
"""What others say in a message written here was scanned under the limit of the gateway, and may lie deeper in it."""


def ask_about(send: Send, listener: CallListener, method: str, task_id: str, more: bytes = b"") -> OpenCall | None:
    """Sends `tasks/…`. `more`: further members of the params, raw, each led by a comma."""
    message = (
        b'{"jsonrpc":"2.0","id":0,"method":' + json_bytes(method)
        + b',"params":{"taskId":' + json_bytes(task_id) + more + b"}}"
    )  # fmt: skip
    return send(listener, message, scan(message, _DEPTH))


def result_message(result: bytes) -> tuple[bytes, Envelope]:
    """A RESULT, under an id that whoever passes it on replaces."""
    message = b'{"jsonrpc":"2.0","id":0,"result":' + result + b"}"
    return message, scan(message, _DEPTH)


def error_message(error: bytes) -> tuple[bytes, Envelope]:
    """An ERROR, likewise."""
    message = b'{"jsonrpc":"2.0","id":0,"error":' + error + b"}"
    return message, scan(message, _DEPTH)


def own_error(code: int, message: str) -> bytes:
    """A raw JSON-RPC error."""
    return json_bytes({"code": code, "message": message})


class Turned:
    """A listener whose server's answer is changed before `listener` hears it.

    `turn` is given the raw result and gives the one to be heard. Errors become what `revision` has for them, when one
    is given. Raises of `turn`: TidegateError, which is what is heard then.
    """

    __slots__ = ("_keeps_session", "_listener", "_method", "_revision", "_turn")

    def __init__(
        self,
        listener: CallListener,
        turn: Callable[[bytes], bytes],
        *,
        method: str = "tasks/get",
        revision: str | None = None,
        server_keeps_session: bool = False,
    ) -> None:
        self._listener = listener
        self._turn = turn
        self._method = method
        self._revision = revision
        self._keeps_session = server_keeps_session

    def notified(self, message: bytes, envelope: Envelope) -> None:
        self._listener.notified(message, envelope)

    def asked(self, question: Question) -> None:
        self._listener.asked(question)

    def failed(self, error: TidegateError) -> None:
        self._listener.failed(error)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if envelope.kind == ERROR:
            if self._revision is not None:
                span = envelope.error_span
                assert span is not None
                raw = message[span[0] : span[1]]
                error, _ = error_for(self._method, raw, self._revision, self._keeps_session)
                message = splice(message, [(span[0], span[1], error)])
                envelope = scan(message, _DEPTH)
            self._listener.answered(message, envelope)
            return
        span = envelope.result_span
        assert span is not None
        result = message[span[0] : span[1]]
        try:
            turned = self._turn(result)
        except TidegateError as error:
            self._listener.failed(error)
            return
        if turned is result:
            self._listener.answered(message, envelope)
        else:
            self._listener.answered(*result_message(turned))


class Unheard:
    """Listens to an answer that changes nothing."""

    def notified(self, message: bytes, envelope: Envelope) -> None: ...

    def asked(self, question: Question) -> None:
        question.refuse("Nobody is there to be asked")

    def answered(self, message: bytes, envelope: Envelope) -> None: ...

    def failed(self, error: TidegateError) -> None: ...
