"""What a task of a stateless server wants to know of a session's client: each thing is asked once.

`inputRequests` is a state, not an event: it lists the same key until the server has taken its answer in (SEP-2663
"Task Polling"). Kept for one task by `polled_task.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tidegate.errors import TidegateError, UpstreamProtocol, UpstreamTimeout
from tidegate.pipeline.codec import RESULT, scan
from tidegate.pipeline.era.bridge.abilities import Abilities, may_ask
from tidegate.pipeline.era.bridge.open_questions import MAX_QUESTIONS
from tidegate.pipeline.era.bridge.pieces import members, text_of
from tidegate.pipeline.era.bridge.questions import question_for
from tidegate.pipeline.era.bridge.tasks.shapes import related
from tidegate.pipeline.exchange import Question
from tidegate.pipeline.json_text import json_bytes

_MAX_KEYS: Final = 1000
"""Questions of one task over its life."""
_DEPTH: Final = 1 << 16
"""What is scanned here was part of a message that was scanned under the limit of the gateway, and may lie deeper."""


class TaskQuestions:
    """The questions of one task, and their answers until the server has them."""

    def __init__(
        self,
        task_id: str,
        backend: str,
        *,
        abilities: Abilities,
        revision: str,
        shown: bool,
        timeout_s: float,
        answered: Callable[[], None],
        refused: Callable[[TidegateError], None],
    ) -> None:
        """`shown`: the client knows of the task. `answered`: told when nothing is open any more. `refused`: told
        when the client refused what has no answer for that.
        """
        self._task_id = task_id
        self._backend = backend
        self._abilities = abilities
        self._revision = revision
        self._shown = shown
        self._timeout_s = timeout_s
        self._told_answered = answered
        self._told_refused = refused
        self._open: dict[str, Question] = {}
        self._until_s = 0.0
        self._answers: dict[str, bytes] = {}
        self._done: set[str] = set()

    @property
    def open(self) -> bool:
        return bool(self._open)

    @property
    def unsent(self) -> bool:
        """Whether there are answers that the server has not been given."""
        return bool(self._answers)

    def want(self, wanted: dict[str, bytes], ask: Callable[[Question], None]) -> None:
        """`wanted`: `inputRequests` as they stand now. Raises: UpstreamProtocol, UpstreamTimeout."""
        for key in [key for key in self._open if key not in wanted]:
            self._open.pop(key).withdraw()
        new = [key for key in wanted if key not in self._open and key not in self._done]
        if len(self._open) + len(new) > MAX_QUESTIONS or len(self._done) > _MAX_KEYS:
            raise UpstreamProtocol(f"backend `{self._backend}` asks too much for one task")
        now_s = asyncio.get_running_loop().time()
        if new:
            self._until_s = now_s + self._timeout_s
        elif self._open and now_s > self._until_s:
            raise UpstreamTimeout(f"the client did not answer within {self._timeout_s:g} s what was asked")
        for key in new:
            self._open[key] = self._question(key, wanted[key])
        for key in new:
            question = self._open.get(key)
            if question is not None:
                ask(question)

    def take(self) -> dict[str, bytes]:
        """The answers (raw JSON by key), for the server."""
        answers, self._answers = self._answers, {}
        return answers

    def give_back(self, answers: dict[str, bytes]) -> None:
        """The server did not get them."""
        self._answers = answers | self._answers

    def withdraw(self) -> None:
        """Nobody is to answer now. What is not answered may be asked again."""
        questions, self._open = self._open, {}
        for question in questions.values():
            question.withdraw()

    def _question(self, key: str, raw: bytes) -> Question:
        known = members(raw)
        method = text_of(known.get("method"))
        params = known.get("params", b"{}")
        if method is None or not params.startswith(b"{"):
            raise UpstreamProtocol(f"backend `{self._backend}` asked for `{key}` with what is no request")
        refusal = may_ask(self._abilities, method, params)
        if refusal is not None:
            raise UpstreamProtocol(f"backend `{self._backend}` asks for `{method}`: {refusal}")
        params = question_for(method, params, self._revision, self._abilities)
        if self._shown:
            params = related(params, self._task_id)
        message = b'{"jsonrpc":"2.0","id":0,"method":' + json_bytes(method) + b',"params":' + params + b"}"
        return Question(message, scan(message, _DEPTH), lambda reply: self._replied(key, method, reply))

    def _replied(self, key: str, method: str, reply: bytes) -> None:
        if self._open.pop(key, None) is None:
            return
        self._done.add(key)
        envelope = scan(reply, _DEPTH)
        if envelope.kind == RESULT and envelope.result_span is not None:
            answer = reply[slice(*envelope.result_span)]
            if not answer.startswith(b"{"):
                why = f"the client answered `{method}` with a result that is no object"
                self._told_refused(UpstreamProtocol(why))
                return
            self._answers[key] = answer
        elif method == "elicitation/create":
            # The one question whose answer can say that there is none.
            self._answers[key] = b'{"action":"cancel"}'
        else:
            span = envelope.error_span
            said = text_of(members(reply[slice(*span)]).get("message")) if span is not None else None
            why = f"backend `{self._backend}` needs the answer to `{method}`, which was refused: {said}"
            self._told_refused(UpstreamProtocol(why))
            return
        if not self._open:
            # All at once: a server need not take a part of them.
            self._told_answered()
