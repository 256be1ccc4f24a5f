"""Batches: several messages in one array, answered by one array (2025-03-26, basic "Batching").

Whoever serves a transport reads a batch here and says how each member is served; where the array of answers
goes is the outlet's business. Outside that revision a batch is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.errors import InvalidRequest, TidegateError
from tidegate.pipeline.codec import REQUEST, Envelope, array_spans, scan
from tidegate.pipeline.era.wire import error_message
from tidegate.pipeline.peer import Outlet
from tidegate.pipeline.relay.origin import Origin, ReplyForm
from tidegate.protocol.revisions import BATCHING

_MAX_MEMBERS: Final = 100


class WholeOutlet(Outlet, Protocol):
    """Where the one answer to a batch goes."""

    def abandon(self) -> None:
        """There will be no answer: every request of the batch was cancelled."""


class BatchOutlet:
    """Gathers the answers to a batch; shared by its requests."""

    __slots__ = ("_answers", "_expected", "_outlet")
    origin: Origin | None = None
    """Nothing in a batch is relayed."""
    reply_form: ReplyForm | None = None

    def __init__(self, outlet: WholeOutlet, expected: int) -> None:
        self._outlet = outlet
        self._expected = expected
        self._answers: list[bytes] = []

    def reply(self, message: bytes, code: int | None) -> None:
        self._answers.append(message)
        self._answer_when_whole()

    def abandon(self) -> None:
        """One of the requests was cancelled and will not be answered; the others must not wait for it."""
        self._expected -= 1
        if self._expected == 0:
            self._outlet.abandon()
        else:
            self._answer_when_whole()

    def _answer_when_whole(self) -> None:
        if len(self._answers) == self._expected:
            self._outlet.reply(b"[" + b",".join(self._answers) + b"]", None)

    def notify(self, message: bytes) -> None:
        self._outlet.notify(message)

    @property
    def alive(self) -> bool:
        return self._outlet.alive


class Batch:
    """What one array holds, read and not yet served."""

    def __init__(self, message: bytes, revision: str, max_depth: int) -> None:
        """`revision` is the session's, or empty where there is none. Raises: InvalidRequest."""
        if revision != BATCHING:
            raise InvalidRequest(f"batches belong to revision {BATCHING} alone")
        spans = array_spans(message)
        if not 0 < len(spans) <= _MAX_MEMBERS:
            raise InvalidRequest(f"a batch holds 1 to {_MAX_MEMBERS} messages")
        self._members = [_read(message[start:end], max_depth) for start, end in spans]
        self.expected = sum(
            1 for _, found in self._members if isinstance(found, TidegateError) or found.kind == REQUEST
        )
        """Answers; none for a batch without requests."""

    def serve(self, outlet: WholeOutlet, serve_one: Callable[[bytes, Envelope, BatchOutlet], None]) -> None:
        """Answers what is no message, and hands each of the others to `serve_one`, in order."""
        gathering = BatchOutlet(outlet, self.expected)
        for part, found in self._members:
            if isinstance(found, TidegateError):
                gathering.reply(error_message(getattr(found, "id_raw", None), found, stateless=False)[0], found.code)
            else:
                serve_one(part, found, gathering)


def _read(part: bytes, max_depth: int) -> tuple[bytes, Envelope | TidegateError]:
    try:
        return part, scan(part, max_depth)
    except TidegateError as error:
        return part, error
