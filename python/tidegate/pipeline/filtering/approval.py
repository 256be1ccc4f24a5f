"""A person's approval of a call, asked for by a filter, in either era.

A session's client is asked at once, and its call waits. A stateless client gets the question as the answer, with a
`requestState` that is good for one retry of the same request by the same caller. Either way the call then goes through
all of its filters again, and an approval counts for the one filter that asked, about the very arguments that it saw.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final

from tidegate.clock import Clock
from tidegate.errors import InvalidParams, MissingClientCapability, TidegateError
from tidegate.pipeline.codec import RESULT, Envelope, scan
from tidegate.pipeline.era.bridge.abilities import may_ask, needed
from tidegate.pipeline.era.bridge.answers import fault_of
from tidegate.pipeline.era.bridge.open_questions import input_requests
from tidegate.pipeline.era.bridge.pieces import members, text_of
from tidegate.pipeline.era.bridge.questions import question_for
from tidegate.pipeline.era.bridge.state_seal import request_digest
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.exchange import Exchange, Question
from tidegate.pipeline.filtering.filters import Filter
from tidegate.pipeline.filtering.judging import Approvals, Outcome
from tidegate.pipeline.json_text import json_bytes, json_value

_METHOD: Final = "elicitation/create"
_KEY: Final = "approval"
_NO_FIELDS: Final = b'{"type":"object","properties":{}}'
_REMEMBERED: Final = 1024
"""Approvals of calls whose servers ask something on their own."""

Agreed = Callable[[Approvals], None]
Denied = Callable[[str], None]
"""Told why, in words for the caller."""


def _question(outcome: Outcome, tool: str) -> bytes:
    """The params of the elicitation, raw."""
    assert outcome.filter is not None
    words = f"{outcome.words}\n\n(filter `{outcome.filter.name}` asks before `{tool}` is called)"
    return b'{"mode":"form","message":' + json_bytes(words) + b',"requestedSchema":' + _NO_FIELDS + b"}"


def _with(approvals: Approvals, outcome: Outcome) -> Approvals:
    assert outcome.filter is not None
    return {**approvals, outcome.filter: outcome.shown}


def _verdict(answer: bytes) -> str | None:
    """None for yes, else why not."""
    action = text_of(members(answer).get("action"))
    if action == "accept":
        return None
    return "a person declined it" if action == "decline" else "a person was asked, and did not agree"


def cannot_be_asked(exchange: Exchange, outcome: Outcome, tool: str) -> str | None:
    """Why the client of `exchange` cannot be asked; None when it can. Raises: MissingClientCapability."""
    params = _question(outcome, tool)
    client = exchange.client
    why = may_ask(json_value(client.abilities), _METHOD, params)
    if why is None:
        return None
    words = f"a person must approve it, and this client did not declare `elicitation`, by which to ask: {outcome.words}"
    if client.stateless:
        raise MissingClientCapability(words, data={"requiredCapabilities": needed(_METHOD, params)})
    return words


# -- within a session ---------------------------------------------------------------------------------------------


class SessionApproval:
    """One question to the client of a session; `withdraw` when it is not to be answered any more."""

    def __init__(
        self,
        exchange: Exchange,
        outcome: Outcome,
        tool: str,
        approvals: Approvals,
        timeout_s: float,
        agreed: Agreed,
        denied: Denied,
    ) -> None:
        self._agreed = agreed
        self._denied = denied
        self._approvals = _with(approvals, outcome)
        self._timeout_s = timeout_s
        client = exchange.client
        params = question_for(_METHOD, _question(outcome, tool), client.version, json_value(client.abilities))
        message = b'{"jsonrpc":"2.0","id":0,"method":"elicitation/create","params":' + params + b"}"
        self._question = Question(message, scan(message), self._replied)
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(timeout_s, self._expired)
        self._exchange = exchange

    def ask(self) -> None:
        """May be answered before this returns: when the client cannot be reached."""
        self._exchange.asked(self._question)

    def withdraw(self) -> None:
        self._stop_timer()
        self._question.withdraw()

    def _replied(self, reply: bytes) -> None:
        self._stop_timer()
        try:
            envelope = scan(reply, 1 << 16)
        except TidegateError:
            self._denied("the answer of the client could not be read")
            return
        span = envelope.result_span if envelope.kind == RESULT else None
        if span is None:
            self._denied(f"the client did not ask the person: {_error_of(reply, envelope)}")
            return
        answer = reply[span[0] : span[1]]
        why = fault_of(_METHOD, answer) or _verdict(answer)
        if why is None:
            self._agreed(self._approvals)
        else:
            self._denied(why)

    def _expired(self) -> None:
        self._timer = None
        self._question.withdraw()
        self._denied(f"a person was asked, and did not answer within {self._timeout_s:g} s")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _error_of(reply: bytes, envelope: Envelope) -> str:
    span = envelope.error_span
    said = json_value(reply[span[0] : span[1]]) if span is not None else None
    return str(said.get("message", ""))[:200] if isinstance(said, dict) else ""


# -- stateless ----------------------------------------------------------------------------------------------------

GoOn = Callable[[Exchange, "PendingApproval", Approvals], None]
Refuse = Callable[[Exchange, Filter, str], None]


class PendingApproval:
    """Implements `Suspended`: a question that went out as an answer. Nothing runs, and no server is held up."""

    __slots__ = (
        "_approvals",
        "_before",
        "_filter",
        "_go_on",
        "_refuse",
        "_table",
        "deadline_s",
        "input_responses",
        "key",
        "principal",
        "request",
        "request_state",
    )

    def __init__(
        self,
        exchange: Exchange,
        outcome: Outcome,
        approvals: Approvals,
        carried: tuple[bytes | None, bytes | None],
        table: SuspendedCalls,
        go_on: GoOn,
        refuse: Refuse,
    ) -> None:
        """`carried`: the raw `inputResponses` and `requestState` of the request, which are its server's."""
        assert outcome.filter is not None
        self.key = b""
        self.principal = exchange.principal.key
        self.request = request_digest(*exchange.as_sent)
        self.deadline_s = inf
        self.input_responses, self.request_state = carried
        self._filter = outcome.filter
        self._before = approvals
        self._approvals = _with(approvals, outcome)
        self._table = table
        self._go_on = go_on
        self._refuse = refuse

    def put(self, exchange: Exchange, outcome: Outcome, tool: str) -> None:
        """Ends the exchange with the question. Raises: Overloaded."""
        client = exchange.client
        state = self._table.suspend(self)
        asked = [(_KEY, _METHOD, _question(outcome, tool))]
        requests = input_requests(asked, client.version, json_value(client.abilities))
        exchange.answer_result(
            b'{"resultType":"input_required","inputRequests":' + requests
            + b',"requestState":' + json_bytes(state) + b"}"
        )  # fmt: skip

    @property
    def held_bytes(self) -> int:
        return len(self.input_responses or b"") + len(self.request_state or b"")

    def deadline_passed(self, now_s: float) -> None:
        self._table.ended(self)

    def resume(self, exchange: Exchange, responses: dict[str, bytes]) -> None:
        """Raises: InvalidParams, for an answer that is none; the question then stays open."""
        answer = responses.get(_KEY)
        if answer is None:
            # Whoever comes back without an answer is asked again.
            self._table.ended(self)
            self._go_on(exchange, self, self._before)
            return
        fault = fault_of(_METHOD, answer)
        if fault is not None:
            raise InvalidParams(f"`inputResponses.{_KEY}` {fault}")
        self._table.ended(self)
        why = _verdict(answer)
        if why is None:
            self._go_on(exchange, self, self._approvals)
        else:
            self._refuse(exchange, self._filter, why)


class KeptApprovals:
    """What was approved for calls whose servers then asked something: the retry need not ask the person again.

    By the state that the server, or the gateway for it, gave out with its question. Each is good for one retry.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Approvals]] = OrderedDict()

    def keep(self, exchange: Exchange, state: str, approvals: Approvals, for_s: float) -> None:
        key = _kept_key(exchange, state)
        self._kept.pop(key, None)
        self._kept[key] = (self._clock.now_s() + for_s, approvals)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    def take(self, exchange: Exchange, state: str) -> Approvals:
        found = self._kept.pop(_kept_key(exchange, state), None)
        return found[1] if found is not None and found[0] > self._clock.now_s() else {}


def _kept_key(exchange: Exchange, state: str) -> bytes:
    digest = hashlib.sha256(request_digest(*exchange.as_sent))
    for part in (exchange.principal.key, state):
        raw = part.encode(errors="surrogatepass")
        digest.update(b"%d:" % len(raw) + raw)
    return digest.digest()
