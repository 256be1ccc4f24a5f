"""A request to a stateless server whose questions, in `InputRequiredResult`s, are the gateway's to answer, or in part.

Stands between the server and whoever listens: the client's exchange, or `Rounds` when that is a session's. Of what the
server asks, the gateway answers its part first. If that was all, the request is sent again, and the one who listens
sees nothing of it; else it is shown the rest, and the answers that are there already go with its own. A stateless
client comes back with another request: `KeptAnswers` waits for that one, under a `requestState` of the gateway's.

2026-07-28, patterns/mrtr, "Client Requirements".
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from tidegate.errors import InvalidParams, ParseError, QuestionUnanswered, TidegateError, TooLarge, UpstreamProtocol
from tidegate.pipeline.capabilities.data_class import read_classes
from tidegate.pipeline.codec import RESULT, Envelope, find_member, member_spans, patch_object, scan, splice
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.open_questions import MAX_QUESTIONS
from tidegate.pipeline.era.bridge.rounds import MAX_ROUNDS, Progress, Reach, with_answers
from tidegate.pipeline.era.bridge.state_seal import request_digest
from tidegate.pipeline.era.bridge.suspendable_call import read_retry
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.exchange import CallListener, Exchange, Question
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.own_answers.answers import OwnAnswers
from tidegate.pipeline.own_answers.seam import Asker
from tidegate.pipeline.target import Target

_AROUND_BYTES: Final = 4096
"""Of a request, beside what was read for it."""
_URI_CHARS: Final = 300
"""Of an address in a message."""
_DEPTH: Final = 1 << 16
"""Of what is written here around something that was scanned under the limit."""


class InputRounds:
    """Implements `CallListener` for the server, and `OpenCall` for the one who listens."""

    def __init__(
        self, own: OwnAnswers, table: SuspendedCalls, exchange: Exchange, target: Target, reach: Reach
    ) -> None:
        """`table`: where answers wait for a stateless client. `reach`: the way of each further round."""
        self.exchange = exchange
        self._own = own
        self._table = table
        self._target = target
        self._reach = reach
        self._listener: CallListener = exchange
        self._call: OpenCall | None = None
        self._over = False
        self._rounds = 0
        self._progress = Progress()
        self._answers: dict[str, bytes] = {}
        """The gateway's, by key, raw: those of this round, or those that go with what the client answers."""
        self._state: bytes | None = None
        """The server's `requestState`, raw."""
        self._jobs: dict[str, Callable[[], None]] = {}
        """What stops the answers that are not there yet."""
        self._open: set[str] = set()
        self._asked: tuple[bytes, Envelope, list[tuple[str, bytes]]] | None = None
        """The result with the questions, and those of them that are the client's."""

    def by(self, way: Send) -> Send:
        """The same way, on which the one who listens meets none of the gateway's questions."""

        def send(listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
            self._listener = listener
            answers, self._answers = self._answers, {}
            if answers:
                try:
                    _, given = read_retry(message, envelope)
                    message = with_answers(message, envelope, {**answers, **given}, self._state)
                    envelope = scan(message, self._own.limits.depth)
                except TidegateError as error:
                    listener.failed(error)
                    return None
            self._call = way(self, message, envelope)
            return self if self._call is not None and not self._over else None

        return send

    def both(self, way: Send) -> tuple[Send, Reach]:
        """This way, and each later one, as `by` has them."""
        return self.by(way), lambda go: self._reach(lambda later: go(self.by(later)))

    # -- OpenCall ---------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        self._over = True
        self._stop_jobs()
        call, self._call = self._call, None
        if call is not None:
            call.abandon()

    def hold(self) -> None:
        if self._call is not None:
            self._call.hold()

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None:
        if self._call is not None:
            self._call.go_on(progress_token, timeout_s)

    # -- what the server says: CallListener -------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        if envelope.method != "notifications/progress" or self._progress.rises(message, self._rounds > 0):
            self._listener.notified(message, envelope)

    def asked(self, question: Question) -> None:
        self._listener.asked(question)

    def failed(self, error: TidegateError) -> None:
        self._call = None
        self._end(error)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        self._call = None
        if envelope.kind != RESULT or envelope.result_type != "input_required":
            self._listener.answered(message, envelope)
            return
        try:
            self._take(message, envelope)
        except TidegateError as error:
            self._end(error)

    def _end(self, error: TidegateError) -> None:
        self._over = True
        self._stop_jobs()
        self._listener.failed(error)

    def _stop_jobs(self) -> None:
        self._open.clear()
        jobs, self._jobs = self._jobs, {}
        for stop in jobs.values():
            stop()

    # -- answering --------------------------------------------------------------------------------------------

    def _take(self, message: bytes, envelope: Envelope) -> None:
        """Raises: UpstreamProtocol, InvalidParams."""
        wanted = self._input_requests(message, envelope)
        service = self._target.service
        mine: list[tuple[str, str, bytes]] = []
        rest: list[tuple[str, bytes]] = []
        for key, raw in wanted:
            method, params = _request(raw)
            if method is not None and self._own.answers(method, self.exchange, service):
                mine.append((key, method, params))
            else:
                rest.append((key, raw))
        if not mine:
            self._listener.answered(message, envelope)
            return
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise UpstreamProtocol(f"backend `{service.name}` asked for input {MAX_ROUNDS} times for one request")
        self._state = _member(message, envelope, "requestState")
        self._answers = {}
        self._asked = (message, envelope, rest)
        self._open = {key for key, _, _ in mine}
        asker = Asker(self.exchange.client, read_classes(self.exchange.message, self.exchange.envelope, ""))
        for key, method, params in mine:
            if self._over:
                return
            stop = self._own.begin(method, params, asker, self._told(key, method, params))
            if key in self._open:
                self._jobs[key] = stop

    def _input_requests(self, message: bytes, envelope: Envelope) -> list[tuple[str, bytes]]:
        name = self._target.service.name
        span = envelope.result_span
        at = find_member(message, "inputRequests", *span) if span is not None else None
        if at is None or message[at[0] : at[1]] == b"null":
            return []
        try:
            wanted = [(key, message[start:end]) for key, start, end in member_spans(message, *at)]
        except ParseError as error:
            raise UpstreamProtocol(f"backend `{name}` sent `inputRequests` that are no object") from error
        if len(wanted) > MAX_QUESTIONS:
            raise UpstreamProtocol(f"backend `{name}` asked {len(wanted)} things at once, more than {MAX_QUESTIONS}")
        return wanted

    def _told(self, key: str, method: str, params: bytes) -> Callable[[bytes | None, TidegateError | None], None]:
        def told(answer: bytes | None, error: TidegateError | None) -> None:
            self._jobs.pop(key, None)
            if key not in self._open:
                return
            self._open.discard(key)
            if answer is None:
                self._end(self._unanswered(method, params, error))
                return
            self._answers[key] = answer
            if not self._open:
                self._all_answered()

        return told

    def _unanswered(self, method: str, params: bytes, error: TidegateError | None) -> TidegateError:
        name = self._target.service.name
        slug = error.slug if error is not None else QuestionUnanswered.slug
        words = f"backend `{name}` needs the answer to `{method}`, which the gateway could not give: {error}"
        if method == "resources/read":
            # Of which the caller gave the address, and knows nothing of who reads it.
            at = find_member(params, "uri")
            uri = json_value(params[at[0] : at[1]]) if at is not None else None
            words = f"the resource `{str(uri)[:_URI_CHARS]}` could not be read: {error}"
        return QuestionUnanswered(
            words,
            data={"backend": name, "method": method, "cause": slug},
        )

    def _all_answered(self) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        message, envelope, rest = asked
        try:
            held = sum(map(len, self._answers.values()))
            most = self._own.limits.line_bytes
            if held + _AROUND_BYTES + len(self.exchange.message) > most:
                raise TooLarge(f"what the server asked for makes a request of more than {most} bytes, the limit")
            if rest:
                self._show_rest(message, envelope, rest)
            else:
                self._retry()
        except TidegateError as error:
            self._end(error)

    def _retry(self) -> None:
        exchange = self.exchange
        answers, self._answers = self._answers, {}
        message = with_answers(exchange.message, exchange.envelope, answers, self._state)
        envelope = scan(message, self._own.limits.depth)

        def go(way: Send) -> None:
            if not exchange.done and not self._over:
                self._call = way(self, message, envelope)

        self._reach(go)

    # -- what is the client's ---------------------------------------------------------------------------------

    def _show_rest(self, message: bytes, envelope: Envelope, rest: list[tuple[str, bytes]]) -> None:
        span = envelope.result_span
        assert span is not None
        requests = b"{" + b",".join(json_bytes(key) + b":" + raw for key, raw in rest) + b"}"
        changes: list[tuple[str, bytes | None]] = [("inputRequests", requests)]
        if self.exchange.client.stateless:
            kept = KeptAnswers(self._table, self.exchange, self._answers, self._state)
            changes.append(("requestState", json_bytes(kept.keep())))
        result = patch_object(message[span[0] : span[1]], changes)
        shown = splice(message, [(span[0], span[1], result)])
        self._listener.answered(shown, scan(shown, _DEPTH))


class KeptAnswers:
    """Implements `Suspended`: answers of the gateway, until a stateless client comes back with those that it was asked
    for. They are good for one retry.
    """

    def __init__(
        self, table: SuspendedCalls, exchange: Exchange, answers: dict[str, bytes], state: bytes | None
    ) -> None:
        self.key = b""
        self.principal = exchange.principal.key
        self.request = request_digest(*exchange.as_sent)
        self.deadline_s = inf
        self._table = table
        self._answers = answers
        self._state = state

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._answers.values())) + len(self._state or b"")

    def keep(self) -> str:
        """The `requestState` to give out. Raises: Overloaded."""
        return self._table.suspend(self)

    def joined(self, exchange: Exchange, responses: dict[str, bytes], depth: int) -> tuple[bytes, Envelope]:
        """The client's retry as its server expects it. Raises: TidegateError; the answers are kept then."""
        message = with_answers(exchange.message, exchange.envelope, {**responses, **self._answers}, self._state)
        envelope = scan(message, depth)
        self._table.ended(self)
        return message, envelope

    def deadline_passed(self, now_s: float) -> None:
        self._table.ended(self)

    def resume(self, exchange: Exchange, responses: dict[str, bytes]) -> None:
        """As of `Suspended`, for whoever does not know what it is."""
        raise InvalidParams("`requestState` belongs to a request that is served otherwise by now; send it anew")


def _member(message: bytes, envelope: Envelope, name: str) -> bytes | None:
    """Of the result, raw."""
    span = envelope.result_span
    at = find_member(message, name, *span) if span is not None else None
    return message[at[0] : at[1]] if at is not None else None


def _request(raw: bytes) -> tuple[str | None, bytes]:
    """Method and raw params of an input request; no method for what is none."""
    if not raw.startswith(b"{"):
        return None, b"{}"
    at = find_member(raw, "method")
    method = json_value(raw[at[0] : at[1]]) if at is not None else None
    at = find_member(raw, "params")
    params = raw[at[0] : at[1]] if at is not None else b"{}"
    return (method if isinstance(method, str) and params.startswith(b"{") else None), params
