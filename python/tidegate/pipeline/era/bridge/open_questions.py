"""Questions of a session server that wait for a stateless client: put to it in `inputRequests`, answered by key.

Kept for one call by `suspendable_call.py`, for one task by `tasks/asked_task.py`; both say when they are put.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tidegate.errors import InvalidParams
from tidegate.pipeline.era.bridge.abilities import Abilities, may_ask
from tidegate.pipeline.era.bridge.answers import fault_of
from tidegate.pipeline.era.bridge.questions import question_for
from tidegate.pipeline.exchange import Question
from tidegate.pipeline.json_text import json_bytes

MAX_QUESTIONS: Final = 32
"""Questions of one call or task that may be open."""
GATHER_S: Final = 0.01
"""How long a first question waits for others: a server that asks several things at once sends them one by one."""


class OpenQuestions:
    """By their keys, which no other question of the same call or task has had."""

    def __init__(self, of: str, most_bytes: int) -> None:
        """`of`: "request" or "task", for words."""
        self._of = of
        self._most_bytes = most_bytes
        self._asked = 0
        self._open: dict[str, Question] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def held_bytes(self) -> int:
        return sum(len(question.message) for question in self._open.values())

    def no_room_for(self, question: Question) -> str | None:
        """Why one more cannot be kept, in words for the server."""
        if self.held_bytes + len(question.message) > self._most_bytes:
            return f"The open questions of this {self._of} have more than {self._most_bytes} bytes"
        if len(self._open) >= MAX_QUESTIONS:
            return f"{MAX_QUESTIONS} questions of this {self._of} are open already"
        return None

    def add(self, question: Question, withdrawn: Callable[[], None]) -> str:
        """Its key. `withdrawn`: told when the server took it back, and it is open no more."""
        self._asked += 1
        key = f"q{self._asked}"
        self._open[key] = question

        def take_back() -> None:
            self.drop(key)
            withdrawn()

        question.on_withdrawn = take_back
        return key

    def drop(self, key: str) -> None:
        self._open.pop(key, None)

    def answers_among(self, responses: dict[str, bytes]) -> dict[str, bytes]:
        """Those (raw JSON by key) to what is open; the others are ignored. Raises: InvalidParams, for a bad one."""
        known = {key: value for key, value in responses.items() if key in self._open}
        for key, value in known.items():
            fault = fault_of(self._open[key].envelope.method or "", value)
            if fault is not None:
                raise InvalidParams(f"`inputResponses.{key}` {fault}")
        return known

    def answer(self, known: dict[str, bytes]) -> None:
        """`known`: of `answers_among`. An answer may end it all, and what is left of them is for nobody."""
        for key, value in known.items():
            question = self._open.pop(key, None)
            if question is not None:
                question.answer(value)

    def keep_to(self, abilities: Abilities) -> None:
        """Refuses what a client of these abilities may not be asked."""
        for key, question in list(self._open.items()):
            refusal = may_ask(abilities, question.envelope.method or "", question.params)
            if refusal is not None:
                self.drop(key)
                question.refuse(refusal)

    def refuse_all(self, why: str, code: int) -> None:
        """Whatever is not answered would count as open on the connection for ever."""
        questions, self._open = self._open, {}
        for question in questions.values():
            question.refuse(why, code)

    def requests(self, revision: str, abilities: Abilities, turn: Callable[[bytes], bytes] | None = None) -> bytes:
        """All that are open, as `input_requests` writes them. `turn`: changes the params of each, raw."""
        asked = ((key, question.envelope.method or "", question.params) for key, question in self._open.items())
        return input_requests(asked, revision, abilities, turn)


def input_requests(
    asked: Iterable[tuple[str, str, bytes]],
    revision: str,
    abilities: Abilities,
    turn: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """The raw object `inputRequests`, of keys, methods and raw params."""
    parts = []
    for key, method, params in asked:
        fit = question_for(method, params, revision, abilities)
        parts.append(
            json_bytes(key) + b':{"method":' + json_bytes(method) + b',"params":' + (turn(fit) if turn else fit) + b"}"
        )
    return b"{" + b",".join(parts) + b"}"
