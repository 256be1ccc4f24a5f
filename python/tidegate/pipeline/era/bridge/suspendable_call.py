"""A request of a stateless client to a session server, which may ask things before it answers.

The server's questions become an `InputRequiredResult`; the client's request is over with it, the server's goes on.
Whoever comes back with answers (2026-07-28, patterns/mrtr) takes the first one's place.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from math import inf

from tidegate.errors import (
    INVALID_REQUEST,
    MISSING_CLIENT_CAPABILITY,
    InvalidParams,
    InvalidRequest,
    TidegateError,
    UpstreamProtocol,
    UpstreamTimeout,
)
from tidegate.pipeline.codec import ERROR, Envelope, find_member, member_spans, patch_object, scan, splice
from tidegate.pipeline.era.bridge.abilities import Abilities, may_ask, needed
from tidegate.pipeline.era.bridge.errors import URL_ELICITATION_REQUIRED, error_for
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.open_questions import GATHER_S, MAX_QUESTIONS, OpenQuestions, input_requests
from tidegate.pipeline.era.bridge.state_seal import request_digest
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.exchange import Exchange, Question
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.protocol.methods import ASKABLE


class SuspendableCall:
    """Implements `CallListener` for the server, for one request of a client after the other."""

    def __init__(
        self,
        exchange: Exchange,
        table: SuspendedCalls,
        timeout_s: float,
        ended: Callable[[bool], None],
        *,
        server_keeps_session: bool = True,
    ) -> None:
        """`server_keeps_session`: False for a task of a stateless server, which asks on the way as well."""
        self.key = b""
        self.principal = exchange.principal.key
        self.request = b""
        self.deadline_s = inf
        self._exchange: Exchange | None = exchange
        self._backend = exchange.backend
        self._abilities = json.loads(exchange.client.abilities)
        self._revision = exchange.client.version
        self._method = exchange.envelope.method or ""
        self._table = table
        self._timeout_s = timeout_s
        self._keeps_session = server_keeps_session
        self._told_end = ended
        """Told once, whether the server had finished with it."""
        self._over = False
        self._call: OpenCall | None = None
        self._undeclared: Abilities = {}
        """What the server wanted to use on the client and may not."""
        self._open = OpenQuestions("request", table.most_bytes)
        self._gathering: asyncio.TimerHandle | None = None
        self._ending: tuple[bytes, Envelope] | TidegateError | None = None
        """How the server's side ended while no client was there."""
        self._kept_bytes = 0

    def start(self, send: Send, message: bytes, envelope: Envelope) -> None:
        """`message`: the client's request as it is to be sent."""
        exchange = self._exchange
        assert exchange is not None
        if exchange.done:
            self._server_ended(True)
            return
        exchange.abandon = self._abandon
        call = send(self, message, envelope)
        if not self._over:
            self._call = call

    # -- what the server says: CallListener -------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        # Progress and log lines belong to a request; while none waits there is nowhere to send them.
        if self._exchange is not None:
            self._exchange.notified(message, envelope)

    def asked(self, question: Question) -> None:
        method = question.envelope.method or ""
        if self._over:
            # On an HTTP stream a server can go on after its answer.
            question.refuse("The request that this belongs to is over")
            return
        refusal = may_ask(self._abilities, method, question.params)
        if self._method not in ASKABLE:
            question.refuse(f"During `{self._method}` the client cannot be asked")
            return
        if refusal is not None:
            self._undeclared |= needed(method, question.params)
        else:
            refusal = self._open.no_room_for(question)
        if refusal is not None:
            question.refuse(refusal)
            return
        self._open.add(question, _nothing)
        self._put_soon()

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if envelope.result_type == "input_required":
            # It would ask past what the client declared, and nobody could come back to it.
            self.failed(UpstreamProtocol(f"backend `{self._backend}` answered `input_required` within a session"))
            return
        self._server_ended(True)
        if envelope.kind == ERROR:
            message, envelope = self._translated(message, envelope)
        if self._exchange is not None:
            self._deliver(self._exchange, (message, envelope))
        elif self._table.keep(len(message)):
            self._kept_bytes = len(message)
            self._ending = (message, envelope)
        else:
            self._ending = UpstreamProtocol("the result came while the client was away, and was too large to be kept")

    def failed(self, error: TidegateError) -> None:
        # A server that took too long was told, and may still ask something.
        self._server_ended(not isinstance(error, UpstreamTimeout))
        if self._exchange is not None:
            self._deliver(self._exchange, error)
        else:
            self._ending = error

    def _server_ended(self, finished: bool) -> None:
        if not self._over:
            self._over = True
            self._call = None
            self._open.refuse_all("The request that this belongs to is over", INVALID_REQUEST)
            self._stop_gathering()
            self._told_end(finished)

    # -- asking the client ------------------------------------------------------------------------------------

    def _put_soon(self) -> None:
        if self._exchange is not None and self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(GATHER_S, self._put)

    def _put(self) -> None:
        """Answers the request that waits with everything that is still to be answered."""
        self._gathering = None
        exchange = self._exchange
        if exchange is None or not self._open:
            return
        if not self.request:
            self.request = request_digest(*exchange.as_sent)
        try:
            state = self._table.suspend(self)
        except TidegateError as error:
            self._cancel()
            exchange.failed(error)
            return
        if self._call is not None:
            self._call.hold()
        self._exchange = None
        exchange.abandon = None
        exchange.answer_result(_input_required(self._open.requests(self._revision, self._abilities), state))

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    # -- the client comes back --------------------------------------------------------------------------------

    def resume(self, exchange: Exchange, responses: dict[str, bytes]) -> None:
        """`responses`: raw JSON values by key. What is unknown or answered is ignored, what is missing asked again.

        Raises: InvalidParams, InvalidRequest; the call then still waits.
        """
        if self._exchange is not None:
            raise InvalidRequest("another request with this `requestState` is being answered")
        known = self._open.answers_among(responses)
        self._exchange = exchange
        self._table.resumed(self)
        if self._ending is not None:
            self._deliver(exchange, self._ending)
            return
        exchange.abandon = self._abandon
        if self._call is not None:
            self._call.go_on(exchange.envelope.progress_token, self._timeout_s)
        self._open.answer(known)
        # Whoever came back may have declared less than whoever asked first.
        self._abilities = json_value(exchange.client.abilities)
        self._open.keep_to(self._abilities)
        if self._open:
            self._put_soon()

    @property
    def held_bytes(self) -> int:
        return self._open.held_bytes

    def _deliver(self, exchange: Exchange, ending: tuple[bytes, Envelope] | TidegateError) -> None:
        self._close()
        if isinstance(ending, TidegateError):
            exchange.failed(ending)
        elif not self._sent_elsewhere(exchange, *ending):
            exchange.answered(*ending)

    def _translated(self, message: bytes, envelope: Envelope) -> tuple[bytes, Envelope]:
        span = envelope.error_span
        assert span is not None
        error, _ = error_for(self._method, message[span[0] : span[1]], self._revision, self._keeps_session)
        if self._undeclared:
            # What 2026-07-28 has for a server that cannot go on without asking.
            data = json_bytes({"requiredCapabilities": self._undeclared})
            error = patch_object(error, [("code", b"%d" % MISSING_CLIENT_CAPABILITY), ("data", data)])
        translated = splice(message, [(span[0], span[1], error)])
        return translated, scan(translated, self._table.depth)

    def _sent_elsewhere(self, exchange: Exchange, message: bytes, envelope: Envelope) -> bool:
        """Turns `URLElicitationRequired` of 2025-11-25 into what came after it: questions, and the request again."""
        span = envelope.error_span
        if envelope.kind != ERROR or span is None or "url" not in self._abilities.get("elicitation", {}):
            return False
        error = json_value(message[span[0] : span[1]])
        if error.get("code") != URL_ELICITATION_REQUIRED:
            return False
        data = error.get("data")
        wanted = data.get("elicitations") if isinstance(data, dict) else None
        places = [place for place in wanted if isinstance(place, dict)] if isinstance(wanted, list) else []
        if not places or len(places) > MAX_QUESTIONS:
            return False
        questions = (
            (f"q{number}", "elicitation/create", json_bytes({**place, "mode": "url"}))
            for number, place in enumerate(places, 1)
        )
        state = self._table.issue_again(exchange.principal.key, request_digest(*exchange.as_sent))
        exchange.answer_result(_input_required(input_requests(questions, self._revision, self._abilities), state))
        return True

    # -- the end ----------------------------------------------------------------------------------------------

    def deadline_passed(self, now_s: float) -> None:
        """The client did not come back."""
        self._open.refuse_all("The client did not answer in time", INVALID_REQUEST)
        self._cancel()

    def _abandon(self) -> None:
        """The client cancelled the request that waits."""
        self._open.refuse_all("The client cancelled the request", INVALID_REQUEST)
        self._cancel()

    def _cancel(self) -> None:
        call, self._call = self._call, None
        self._server_ended(False)
        if call is not None:
            call.abandon()
        self._close()

    def _close(self) -> None:
        self._table.ended(self)
        self._table.release(self._kept_bytes)
        self._kept_bytes = 0


def _input_required(requests: bytes, state: str) -> bytes:
    """A raw `InputRequiredResult`."""
    return (
        b'{"resultType":"input_required","inputRequests":' + requests + b',"requestState":' + json_bytes(state) + b"}"
    )


def _nothing() -> None:
    """A call does not mind that a question is withdrawn: it asks what is open when it asks."""


def read_retry(message: bytes, envelope: Envelope) -> tuple[str | None, dict[str, bytes]]:
    """`requestState` and `inputResponses` (raw JSON values) of a request. Raises: InvalidParams."""
    span = envelope.params_span
    if span is None:
        return None, {}
    at = find_member(message, "requestState", *span)
    state = json_value(message[at[0] : at[1]]) if at is not None else None
    if state is not None and not isinstance(state, str):
        raise InvalidParams("`requestState` must be a string")
    at = find_member(message, "inputResponses", *span)
    if at is None or message[at[0] : at[1]] == b"null":
        return state, {}
    if message[at[0] : at[0] + 1] != b"{":
        raise InvalidParams("`inputResponses` must be an object")
    return state, {key: message[start:end] for key, start, end in member_spans(message, *at)}
