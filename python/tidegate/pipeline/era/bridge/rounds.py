"""A request of a session's client to a stateless server, which answers with questions until it has what it needs.

Each `InputRequiredResult` becomes requests to the client, as its era has them; the client's results go back with
the request sent again (2026-07-28, patterns/mrtr, "Client Requirements"). The client sees one request, and one
answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from tidegate.errors import (
    INVALID_REQUEST,
    ParseError,
    TidegateError,
    UpstreamProtocol,
    UpstreamTimeout,
)
from tidegate.pipeline.codec import ERROR, RESULT, Envelope, find_member, member_spans, patch_object, scan, splice
from tidegate.pipeline.era.bridge.abilities import may_ask
from tidegate.pipeline.era.bridge.errors import error_for
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.open_questions import MAX_QUESTIONS
from tidegate.pipeline.era.bridge.questions import question_for
from tidegate.pipeline.exchange import Exchange, Question
from tidegate.pipeline.json_text import json_bytes, json_value

MAX_ROUNDS: Final = 64
_PAUSE_S: Final = 0.2
"""Before the request is sent again when nothing new was asked; doubled each time."""
_LONGEST_PAUSE_S: Final = 10.0
_DOUBLINGS: Final = 6
"""After which the longest pause is reached."""


Reach = Callable[[Callable[[Send], None]], None]
"""Calls what it is given with the way to the server as it is reached now, or fails the exchange. While its client was
asked, a child may have been stopped for having nothing to do.
"""


class Rounds:
    """Implements `CallListener` for one request after the other, all for one exchange."""

    def __init__(self, exchange: Exchange, send: Send, reach: Reach, answer_timeout_s: float, depth: int) -> None:
        """`send`: the way of the first request; `reach` finds that of each later one."""
        self._exchange = exchange
        self._send = send
        self._reach = reach
        self._answer_timeout_s = answer_timeout_s
        self._depth = depth
        self._abilities = json.loads(exchange.client.abilities)
        self._call: OpenCall | None = None
        self._round = 0
        self._asked_rounds = 0
        self._idle_rounds = 0
        """Since something new was asked. Bounded in time, not in number."""
        self._state: bytes | None = None
        """The server's `requestState`, a raw JSON value."""
        self._open: dict[str, Question] = {}
        self._answers: dict[str, bytes] = {}
        self._opened: dict[str, tuple[str, bytes]] = {}
        """URLs that the client agreed to open → the elicitation's id and the client's answer."""
        self._waits_until_s = 0.0
        """How long a server may go on asking for what the client has agreed to."""
        self._timer: asyncio.TimerHandle | None = None
        self._progress = Progress()

    def start(self) -> None:
        self._exchange.abandon = self._abandon
        self._call = self._send(self, self._exchange.message, self._exchange.envelope)

    # -- what the server says: CallListener -------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        if envelope.method == "notifications/progress" and not self._progress.rises(message, self._round > 0):
            return
        self._exchange.notified(message, envelope)

    def asked(self, question: Question) -> None:
        question.refuse("This revision has no requests of servers: answer with `input_required`")

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._call = None
        if envelope.kind == ERROR:
            self._tell_complete()
            self._exchange.answered(*self._translated(message, envelope))
            return
        if envelope.result_type != "input_required":
            self._tell_complete()
            self._exchange.answered(message, envelope)
            return
        try:
            self._ask(message, envelope)
        except TidegateError as error:
            self._end(error)

    def _translated(self, message: bytes, envelope: Envelope) -> tuple[bytes, Envelope]:
        span = envelope.error_span
        assert span is not None
        exchange = self._exchange
        method = exchange.envelope.method or ""
        error, _ = error_for(method, message[span[0] : span[1]], exchange.client.version, server_keeps_session=False)
        translated = splice(message, [(span[0], span[1], error)])
        return translated, scan(translated, self._depth)

    def failed(self, error: TidegateError) -> None:
        self._call = None
        self._exchange.failed(error)

    # -- asking the client ------------------------------------------------------------------------------------

    def _ask(self, message: bytes, envelope: Envelope) -> None:
        """Raises: UpstreamProtocol."""
        backend = self._exchange.backend
        span = envelope.result_span
        assert span is not None
        self._round += 1
        at = find_member(message, "requestState", *span)
        self._state = message[at[0] : at[1]] if at is not None else None
        at = find_member(message, "inputRequests", *span)
        wanted: dict[str, bytes] = {}
        if at is not None and message[at[0] : at[1]] != b"null":
            try:
                wanted = {key: message[start:end] for key, start, end in member_spans(message, *at)}
            except ParseError as error:
                raise UpstreamProtocol(f"backend `{backend}` sent `inputRequests` that are no object") from error
        if len(wanted) > MAX_QUESTIONS:
            raise UpstreamProtocol(f"backend `{backend}` asked {len(wanted)} things at once, more than {MAX_QUESTIONS}")
        self._answers = {}
        self._open = {}
        for key, raw in wanted.items():
            url = _url_of(raw)
            if url in self._opened:
                # What the client agreed to open takes its time; it is not asked again.
                self._answers[key] = self._opened[url][1]
            else:
                self._open[key] = self._question(key, raw, url)
        if self._open:
            self._idle_rounds = 0
            self._asked_rounds += 1
            if self._asked_rounds > MAX_ROUNDS:
                raise UpstreamProtocol(f"backend `{backend}` asked for input {MAX_ROUNDS} times for one request")
            self._timer = asyncio.get_running_loop().call_later(self._answer_timeout_s, self._expired)
            for question in list(self._open.values()):
                self._exchange.asked(question)
        else:
            self._retry_later()

    def _retry_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._idle_rounds == 0:
            self._waits_until_s = loop.time() + self._answer_timeout_s
        elif loop.time() > self._waits_until_s:
            raise UpstreamTimeout(
                f"backend `{self._exchange.backend}` went on waiting for {self._answer_timeout_s:g} s "
                f"after everything it asked was answered"
            )
        pause_s = min(_PAUSE_S * 2 ** min(self._idle_rounds, _DOUBLINGS), _LONGEST_PAUSE_S)
        self._idle_rounds += 1
        self._timer = loop.call_later(pause_s, self._retry)

    def _question(self, key: str, raw: bytes, url: str) -> Question:
        backend = self._exchange.backend
        request = json_value(raw)
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str):
            raise UpstreamProtocol(f"backend `{backend}` asked for `{key}` with what is no request")
        at = find_member(raw, "params")
        params = raw[at[0] : at[1]] if at is not None else b"{}"
        if not params.startswith(b"{"):
            raise UpstreamProtocol(f"backend `{backend}` asked for `{key}` with params that are no object")
        refusal = may_ask(self._abilities, method, params)
        if refusal is not None:
            raise UpstreamProtocol(f"backend `{backend}` asks for `{method}`, but {_lower_first(refusal)}")
        params = question_for(method, params, self._exchange.client.version, self._abilities)
        message = b'{"jsonrpc":"2.0","id":0,"method":' + json_bytes(method) + b',"params":' + params + b"}"
        return Question(
            message, scan(message, self._depth), lambda reply: self._replied(key, method, params, url, reply)
        )

    def _replied(self, key: str, method: str, params: bytes, url: str, reply: bytes) -> None:
        if self._open.pop(key, None) is None:
            return
        envelope = scan(reply, self._depth)
        if envelope.kind == RESULT and envelope.result_span is not None:
            answer = self._answers[key] = reply[slice(*envelope.result_span)]
            if not answer.startswith(b"{"):
                self._end(UpstreamProtocol(f"the client answered `{method}` with a result that is no object"))
                return
            if url and json_value(answer).get("action") == "accept":
                self._opened[url] = (str(json_value(params).get("elicitationId", "")), answer)
        elif method == "elicitation/create":
            # The one question whose answer can say that there is none.
            self._answers[key] = b'{"action":"cancel"}'
        else:
            self._end(_Refused(self._exchange.backend, method, reply, envelope))
            return
        if not self._open:
            self._retry()

    def _expired(self) -> None:
        self._end(UpstreamTimeout(f"the client did not answer within {self._answer_timeout_s:g} s what was asked"))

    # -- the next round ---------------------------------------------------------------------------------------

    def _retry(self) -> None:
        self._stop_timer()
        exchange = self._exchange
        if exchange.done:
            return
        try:
            message = with_answers(exchange.message, exchange.envelope, self._answers, self._state)
            envelope = scan(message, self._depth)
        except TidegateError as error:
            # What the client answered was within the bounds; within the request it is nested deeper.
            self._end(error)
            return

        def go(send: Send) -> None:
            if not exchange.done:
                self._call = send(self, message, envelope)

        self._reach(go)

    def _tell_complete(self) -> None:
        """What the client opened has done its work (2025-11-25, client/elicitation, "Completion Notifications")."""
        for elicitation, _ in self._opened.values():
            params = json_bytes({"elicitationId": elicitation})
            message = b'{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":' + params + b"}"
            self._exchange.notified(message, scan(message))

    # -- the end ----------------------------------------------------------------------------------------------

    def _end(self, error: TidegateError) -> None:
        self._withdraw()
        self._exchange.failed(error)

    def _abandon(self) -> None:
        self._withdraw()
        if self._call is not None:
            self._call.abandon()
            self._call = None

    def _withdraw(self) -> None:
        self._stop_timer()
        questions, self._open = self._open, {}
        for question in questions.values():
            question.withdraw()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Progress:
    """Of one request to the client, whatever is sent for it."""

    def __init__(self) -> None:
        self._reached = float("-inf")

    def rises(self, message: bytes, later: bool) -> bool:
        """Whether this notification is to be passed on: a `later` round counts from the start again, but what a client
        sees must rise.
        """
        progress = json_value(message)["params"].get("progress")
        if not isinstance(progress, int | float) or (progress <= self._reached and later):
            return False
        self._reached = progress
        return True


def with_answers(message: bytes, envelope: Envelope, answers: dict[str, bytes], state: bytes | None) -> bytes:
    """A request again, with raw answers by key and the server's `requestState`, raw."""
    given = b",".join(json_bytes(key) + b":" + raw for key, raw in answers.items())
    span = envelope.params_span
    params = patch_object(
        message[span[0] : span[1]] if span is not None else b"{}",
        [("inputResponses", b"{" + given + b"}" if answers else None), ("requestState", state)],
    )
    if span is None:
        return patch_object(message, [("params", params)])
    return splice(message, [(span[0], span[1], params)])


class _Refused(UpstreamProtocol):
    """The client answered a question with an error, which a stateless server cannot be told."""

    slug = "question_refused"
    code = INVALID_REQUEST

    def __init__(self, backend: str, method: str, reply: bytes, envelope: Envelope) -> None:
        span = envelope.error_span
        error = json_value(reply[span[0] : span[1]]) if span is not None else None
        said = error.get("message") if isinstance(error, dict) else None
        super().__init__(
            f"backend `{backend}` needs the answer to `{method}`, which the client refused: {said}",
            data=error,
        )


def _url_of(raw: bytes) -> str:
    """The URL that an input request wants opened, or nothing."""
    request = json_value(raw)
    params = request.get("params") if isinstance(request, dict) else None
    if not isinstance(params, dict) or params.get("mode") != "url":
        return ""
    return str(params.get("url", ""))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
