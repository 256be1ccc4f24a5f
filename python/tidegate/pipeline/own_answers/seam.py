"""What the upstream side knows of the gateway's own answers. `answers.py` has the real thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.exchange import ClientView, Question, SessionPort


class Cause(Protocol):
    """A request of a client that may have made a server ask."""

    @property
    def client(self) -> ClientView | None:
        """None: the gateway's own."""

    @property
    def sent(self) -> tuple[ClientView, bytes, Envelope, list[tuple[int, int, bytes]]] | None: ...


@dataclass(frozen=True, slots=True)
class Asker:
    """In whose name a question is answered."""

    client: ClientView
    classes: tuple[str, ...] = ()
    """What the request behind it says of its data."""


class Answers(Protocol):
    """The gateway, where it answers what servers ask."""

    @property
    def on(self) -> bool:
        """Whether it answers anything at all."""

    def declared(self, client: ClientView, extended: bool) -> bytes | None:
        """The capabilities (raw) of a client for a stateless server, with what the gateway answers in its place; None
        where that is nothing. `extended`: the server has extensions.
        """

    def greeting(self, capabilities: dict[str, object], client: ClientView | None) -> dict[str, object]:
        """The same for a handshake, made for this client, or for everybody."""

    def asker(self, question: Question, causes: Sequence[Cause], session: SessionPort | None) -> Asker | None:
        """In whose name the gateway answers; None: it does not. `session`: whose connection it is, if it is one's."""

    def answer(self, question: Question, asker: Asker) -> None:
        """Now or later."""


class _NoAnswers:
    """Implements `Answers`: all is the clients' affair."""

    on = False

    def declared(self, client: ClientView, extended: bool) -> bytes | None:
        return None

    def greeting(self, capabilities: dict[str, object], client: ClientView | None) -> dict[str, object]:
        return capabilities

    def asker(self, question: Question, causes: Sequence[Cause], session: SessionPort | None) -> Asker | None:
        return None

    def answer(self, question: Question, asker: Asker) -> None: ...


NO_ANSWERS: Final = _NoAnswers()
