"""A call of a filtered tool, from its arrival until it is sent on, and who knows of it afterwards.

Called by `forwarding.py` once the caller may use the tool and the tool is there. When the filters let the call pass,
that is given it again as a `ScreenedExchange`, and finds its way anew: with what is in force by then, for the message
as it is then. Callbacks only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import InvalidParams, Overloaded, TidegateError
from tidegate.events import Events
from tidegate.pipeline.codec import Envelope, patch_object, scan, splice
from tidegate.pipeline.era.bridge.state_seal import request_digest
from tidegate.pipeline.era.bridge.suspendable_call import read_retry
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.exchange import Exchange
from tidegate.pipeline.filtering.approval import KeptApprovals, PendingApproval, SessionApproval, cannot_be_asked
from tidegate.pipeline.filtering.ends import NOT_SENT, Owed
from tidegate.pipeline.filtering.filters import Filter, Filters
from tidegate.pipeline.filtering.judging import Approvals, Judging, Outcome
from tidegate.pipeline.filtering.plain import arguments_of, member_of, refusal, with_arguments
from tidegate.pipeline.filtering.screened import ScreenedExchange
from tidegate.pipeline.tasks.owners import KEPT_ARGUMENTS_BYTES
from tidegate.sandbox.guest import Caller

_MAX_ASKED: Final = 8
"""Approvals that one request of a session's client may come to need."""
_MOST_TRIES: Final = 5
"""How often a call may wait for a busy server, and be looked at again. Old commands to a machine pile up no further."""
_STATE: Final = b'"requestState"'


class Onward(Protocol):
    """`Forwarding`, as it is asked to go on."""

    def screened(self, exchange: ScreenedExchange) -> None:
        """The filters let it pass: it is led anew, and sent."""


class Screens:
    """Everything that screenings of one gateway share."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        events: Events,
        filters: Filters,
        suspended: SuspendedCalls,
        caller_of: Callable[[Filter, Exchange], Caller],
        onward: Onward,
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.events = events
        self.filters = filters
        self.suspended = suspended
        self.kept = KeptApprovals(clock)
        self.caller_of = caller_of
        self.onward = onward

    @property
    def depth(self) -> int:
        return self.limits.depth

    def take_up(self, limits: Limits) -> None:
        self.limits = limits

    def screen(self, exchange: Exchange) -> None:
        """A client's call of a tool that has filters. Raises: TidegateError, for one that cannot be served."""
        message, envelope = exchange.message, exchange.envelope
        approvals: Approvals = {}
        if exchange.client.stateless and _STATE in message:
            state, responses = read_retry(message, envelope)
            if state is not None and self.suspended.issued(state):
                digest = request_digest(message, envelope)
                call = self.suspended.find(state, exchange.principal.key, digest)
                if isinstance(call, PendingApproval):
                    call.resume(exchange, responses)
                    return
            if state is not None:
                approvals = self.kept.take(exchange, state)
        Screening(self, exchange, message, envelope, approvals).start()

    def again(self, exchange: ScreenedExchange) -> None:
        """Other filters came into force while it waited, or what they said has aged, and it was not sent yet."""
        outer = exchange.outer
        exchange.give_up()
        if outer.done:
            return
        if exchange.tries >= _MOST_TRIES:
            outer.failed(
                Overloaded(
                    f"backend `{outer.backend}` is too busy: each time it passed its filters, this call had to wait"
                )
            )
            return
        Screening(self, outer, *exchange.unscreened, exchange.approvals, exchange.tries + 1).start()

    def resumed(self, exchange: Exchange, pending: PendingApproval, approvals: Approvals) -> None:
        """As of `GoOn`. What the request carried for its server when the question came up, it carries again."""
        carried = [("inputResponses", pending.input_responses), ("requestState", pending.request_state)]
        span = exchange.envelope.params_span
        assert span is not None
        params = patch_object(exchange.message[span[0] : span[1]], carried)
        message = splice(exchange.message, [(span[0], span[1], params)])
        Screening(self, exchange, message, scan(message, self.depth), approvals).start()

    def refused(self, exchange: Exchange, by: Filter, why: str) -> None:
        """As of `Refuse`: a person did not approve."""
        _refuse(exchange, by, f"filter `{by.name}` needs a person's approval of this call: {why}")


class Screening:
    """One request before its filters. `approvals`: what was agreed to before."""

    def __init__(
        self,
        screens: Screens,
        exchange: Exchange,
        message: bytes,
        envelope: Envelope,
        approvals: Approvals,
        tries: int = 0,
    ) -> None:
        """`message`: as it would be sent on, which after an approval is not what the client sent. `tries`: as of
        `ScreenedExchange`.
        """
        self._tries = tries
        self._screens = screens
        self._exchange = exchange
        self._message = message
        self._envelope = envelope
        self._approvals = approvals
        self._tool = exchange.exposed_name or ""
        self._filters: tuple[Filter, ...] = ()
        self._arguments = b""
        self._running: Judging | None = None
        self._owed = Owed()
        self._asking: SessionApproval | None = None
        self._asked = 0

    def start(self) -> None:
        exchange = self._exchange
        exchange.abandon = self._abandon
        try:
            self._arguments = arguments_of(self._message, self._envelope)
            wants_task = member_of(self._message, self._envelope, "task") is not None
            if wants_task and len(self._arguments) > KEPT_ARGUMENTS_BYTES:
                raise InvalidParams(
                    f"a filtered tool that is to run as a task takes at most {KEPT_ARGUMENTS_BYTES} bytes of arguments"
                )
        except TidegateError as error:
            exchange.failed(error)
            return
        self._judge()

    def _judge(self) -> None:
        screens = self._screens
        self._filters = screens.filters.of(self._tool)
        self._owed = Owed()
        self._running = Judging(
            screens,
            "request",
            self._filters,
            self._tool,
            self._arguments,
            None,
            lambda one: screens.caller_of(one, self._exchange),
            self._approvals,
            self._judged,
            self._owed,
        )
        self._running.start()

    def _judged(self, outcome: Outcome) -> None:
        self._running = None
        exchange = self._exchange
        if exchange.done:
            self._owed.tell(NOT_SENT)
            return
        if self._screens.filters.of(self._tool) != self._filters:
            # Others are in force by now: what these said is worth nothing.
            self._owed.tell(NOT_SENT)
            self._judge()
            return
        try:
            if outcome.kind == "pass":
                self._go_on(outcome.value)
            elif outcome.kind == "ask":
                self._ask(outcome)
            elif outcome.kind == "refuse":
                assert outcome.filter is not None
                _refuse(exchange, outcome.filter, f"filter `{outcome.filter.name}` refused this call: {outcome.words}")
            else:
                exchange.refused_by = outcome.filter.name if outcome.filter is not None else ""
                assert outcome.error is not None
                exchange.failed(outcome.error)
        except TidegateError as error:
            self._owed.tell(NOT_SENT)
            exchange.failed(error)

    def _go_on(self, arguments: bytes) -> None:
        message, envelope = self._message, self._envelope
        if arguments is not self._arguments:
            message = with_arguments(message, envelope, arguments)
            envelope = scan(message, self._screens.depth)
        self._screens.onward.screened(
            ScreenedExchange(
                self._screens,
                self._exchange,
                message,
                envelope,
                filters=self._filters,
                arguments=arguments,
                approvals=self._approvals,
                unscreened=(self._message, self._envelope),
                tries=self._tries,
                owed=self._owed,
            )
        )

    # -- a person's approval ----------------------------------------------------------------------------------

    def _ask(self, outcome: Outcome) -> None:
        """Raises: TidegateError."""
        screens, exchange = self._screens, self._exchange
        assert outcome.filter is not None
        by = outcome.filter
        why = cannot_be_asked(exchange, outcome, self._tool)
        if why is not None:
            _refuse(exchange, by, f"filter `{by.name}` refused this call: {why}")
            return
        if exchange.client.stateless:
            carried = (
                member_of(self._message, self._envelope, "inputResponses"),
                member_of(self._message, self._envelope, "requestState"),
            )
            pending = PendingApproval(
                exchange, outcome, self._approvals, carried, screens.suspended, screens.resumed, screens.refused
            )
            pending.put(exchange, outcome, self._tool)
            return
        self._asked += 1
        if self._asked > _MAX_ASKED:
            raise InvalidParams(f"a person was asked {_MAX_ASKED} times about one call, which changes each time")

        def agreed(approvals: Approvals) -> None:
            self._asking = None
            self._approvals = approvals
            if not exchange.done:
                self._judge()

        def denied(why: str) -> None:
            self._asking = None
            if not exchange.done:
                screens.refused(exchange, by, why)

        self._asking = SessionApproval(
            exchange, outcome, self._tool, self._approvals, screens.limits.suspended_s, agreed, denied
        )
        self._asking.ask()

    def _abandon(self) -> None:
        """The client cancelled it, or is gone."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.withdraw()


def _refuse(exchange: Exchange, by: Filter, text: str) -> None:
    exchange.refused_by = by.name
    exchange.tool_failed = True
    exchange.answer_result(refusal(text, stateless=exchange.client.stateless))
