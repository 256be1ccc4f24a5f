"""A task of a session server that its session's client follows itself: what is said of it goes to that session."""

from __future__ import annotations

from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.exchange import Question, SessionPort


class SessionTask:
    """Implements `FollowedTask` of `upstream/followed_tasks.py`."""

    known_to_client = True

    __slots__ = ("_session", "progress")

    def __init__(self, session: SessionPort, progress: tuple[bytes, bytes] | None) -> None:
        self._session = session
        self.progress = progress

    def notified(self, message: bytes, envelope: Envelope) -> None:
        self._session.tell(message, envelope, None)

    def asked(self, question: Question) -> None:
        self._session.ask(question, None)
