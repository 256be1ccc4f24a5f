"""Sending a routed request to its server: straight on when both ends are of one era, over a bridge when not.

The only place where the two eras meet: `era/bridge` has what happens between them, `upstream/` the connections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import TidegateError, Unauthorized, UpstreamClosed
from tidegate.pipeline.codec import Envelope, patch_object, scan, splice
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.rounds import Reach, Rounds
from tidegate.pipeline.era.bridge.state_seal import request_digest
from tidegate.pipeline.era.bridge.suspendable_call import SuspendableCall, read_retry
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.era.log_level import rank
from tidegate.pipeline.exchange import CallListener, ClientView, Exchange
from tidegate.pipeline.own_answers.answers import OwnAnswers
from tidegate.pipeline.own_answers.input_rounds import InputRounds, KeptAnswers
from tidegate.pipeline.relay.decision import Begin
from tidegate.pipeline.relay.lane import FastLane
from tidegate.pipeline.target import Target
from tidegate.pipeline.tasks.requests import Tasks
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.lanes import Release
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot
from tidegate.protocol.methods import ASKABLE

_NO_RETRY: Final[list[tuple[str, bytes | None]]] = [("inputResponses", None), ("requestState", None)]
_LEVEL_TIMEOUT_S: Final = 5.0
_RETRY_BYTES: Final = (b'"inputResponses"', b'"requestState"')


class Calls:
    """Requests on their way to servers, and those of them that wait for their clients."""

    def __init__(self, limits: Limits, clock: Clock, own_answers: OwnAnswers) -> None:
        self.own_answers = own_answers
        self.suspended = SuspendedCalls(limits, clock)
        self.tasks = Tasks(limits, clock, self.suspended)
        self._limits = limits
        self.relay: FastLane | None = None
        """Shown each decision that depends on nothing but what is the same in the next call like it."""
        self.lead_anew: Callable[[Exchange, Target], bool] | None = None
        """Asked when another configuration came while a request waited for its server: whether it is now led elsewhere,
        or refused, and so seen to."""
        self._generation = 0

    def take_up(self, limits: Limits) -> None:
        """Other bounds from now on. What waits already goes on."""
        self._limits = limits
        self._generation += 1
        self.suspended.take_up(limits)
        self.tasks.making.take_up(limits)

    def send(self, exchange: Exchange, target: Target) -> None:
        target.generation = self._generation
        client = exchange.client
        service = target.service
        if client.stateless and service.stateless is False:
            self._send_over_session(exchange, target)
            return

        service.acquire(client, partial(self._use, exchange, target), exchange.failed)

    def _use(
        self, exchange: Exchange, target: Target, slot: Slot, connection: Connection, waited_s: float | None = None
    ) -> None:
        """`waited_s`: the request has had its turn in the queue after so long."""
        if exchange.done or _is_revoked(exchange) or self._is_led_elsewhere(exchange, target):
            return
        client = exchange.client
        service = target.service
        bridged = connection.keeps_session is client.stateless
        if bridged and client.stateless:
            # What the server speaks was found out only now.
            self._send_over_session(exchange, target)
            return
        if waited_s is None:
            full = connection.in_flight >= service.config.max_in_flight or connection.line is not None
            if full and not exchange.urgent:
                service.queue.join(exchange, slot, connection, partial(self._use, exchange, target))
                return
            waited_s = 0.0
        if bridged:
            self._send_in_rounds(exchange, target, slot, connection, waited_s)
            return
        if not connection.keeps_session and self._answers_within(exchange, service):
            self._send_answering(exchange, target, slot, connection, waited_s)
            return
        if self.tasks.making.concerns(exchange, target, connection):
            if client.stateless and _RETRY_BYTES[1] in exchange.message and self._resumed(exchange, ours_only=True):
                return
            send = self._way(exchange, target, slot, connection, waited_s)
            opened = send(exchange, exchange.message, exchange.envelope)
            if opened is not None and not exchange.done:
                exchange.abandon = opened.abandon
            return
        exchange.sent = exchange.at_client.sent = True
        call = connection.call(
            exchange,
            client,
            exchange.message,
            exchange.envelope,
            name=target.name,
            edits=target.edits,
            timeout_s=service.config.call_timeout_s - waited_s,
            headers=target.headers,
            once=exchange.ages,
        )
        if call is not None:
            exchange.abandon = call.abandon
            if waited_s == 0.0:
                self._show(exchange, target, slot, connection, call, _begin_straight)

    def _is_led_elsewhere(self, exchange: Exchange, target: Target) -> bool:
        if self.lead_anew is None or (target.generation == self._generation and not exchange.stale):
            return False
        target.generation = self._generation
        return self.lead_anew(exchange, target)

    def _way(self, exchange: Exchange, target: Target, slot: Slot, connection: Connection, waited_s: float) -> Send:
        """How the request, or what is made of it, is sent on."""

        def as_client(client: ClientView) -> Send:
            return partial(_carry, exchange, target, connection, client, waited_s)

        if self.tasks.making.concerns(exchange, target, connection):
            return self.tasks.making.sending(exchange, target, slot, connection, as_client)
        return as_client(exchange.client)

    # -- what the relay is shown ------------------------------------------------------------------------------

    def _show(
        self, exchange: Exchange, target: Target, slot: Slot, connection: Connection, call: Call, begin: Begin
    ) -> None:
        if self.relay is not None:
            words = self.tasks.making.odd_words(exchange, connection)
            if exchange.client.stateless and (
                connection.keeps_session or self.own_answers.concerns(exchange, target.service)
            ):
                words += _RETRY_BYTES
            self.relay.learn(exchange, target, slot, connection, call, begin, words)

    def _shown(
        self, way: Send, exchange: Exchange, target: Target, slot: Slot, connection: Connection, begin: Begin
    ) -> Send:
        """The same way, seen by the relay when the request itself goes it."""
        if self.tasks.making.concerns(exchange, target, connection):
            return way

        def send(listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
            call = way(listener, message, envelope)
            if isinstance(call, Call) and message is exchange.message:
                self._show(exchange, target, slot, connection, call, begin)
            return call

        return send

    def close(self) -> None:
        self.tasks.close()
        self.suspended.close()

    # -- a session's client, a stateless server ---------------------------------------------------------------

    def _send_in_rounds(
        self, exchange: Exchange, target: Target, slot: Slot, connection: Connection, waited_s: float
    ) -> None:
        way = self._way(exchange, target, slot, connection, waited_s)
        if waited_s == 0.0:
            way = self._shown(way, exchange, target, slot, connection, partial(self._begin_rounds, target))
        self._begin_rounds(target, exchange, way)

    def _begin_rounds(self, target: Target, exchange: Exchange, way: Send) -> None:
        reach = self._reach(target, exchange)
        if self.own_answers.concerns(exchange, target.service):
            way, reach = self._answering(target, exchange, reach).both(way)
        Rounds(exchange, way, reach, self._limits.suspended_s, self._limits.depth).start()

    def _reach(self, target: Target, exchange: Exchange) -> Reach:
        """The way of each later round."""

        def reach(go: Callable[[Send], None]) -> None:
            def use(slot: Slot, connection: Connection) -> None:
                if exchange.done or _is_revoked(exchange):
                    return
                if exchange.stale and target.generation == self._generation:
                    # Not led anew: that would lose the answers.
                    exchange.recheck(lambda: use(slot, connection))
                elif self._is_led_elsewhere(exchange, target):
                    pass
                elif connection.keeps_session:
                    exchange.failed(UpstreamClosed(f"backend `{target.service.name}` forgot what it had asked"))
                else:
                    go(self._way(exchange, target, slot, connection, 0.0))

            target.service.acquire(exchange.client, use, exchange.failed)

        return reach

    # -- what the gateway answers in its client's place ---------------------------------------------------------

    def _answers_within(self, exchange: Exchange, service: Service) -> bool:
        """Whether the result may ask something that the gateway answers, or the request has what it answered before."""
        if self.own_answers.concerns(exchange, service):
            return True
        return len(self.suspended) > 0 and exchange.client.stateless and _RETRY_BYTES[1] in exchange.message

    def _answering(self, target: Target, exchange: Exchange, reach: Reach) -> InputRounds:
        return InputRounds(self.own_answers, self.suspended, exchange, target, reach)

    def _send_answering(
        self, exchange: Exchange, target: Target, slot: Slot, connection: Connection, waited_s: float
    ) -> None:
        """Client and server keep no sessions."""
        way = self._way(exchange, target, slot, connection, waited_s)
        if _RETRY_BYTES[1] not in exchange.message:
            if waited_s == 0.0:
                way = self._shown(way, exchange, target, slot, connection, partial(self._begin_answering, target))
            self._begin_answering(target, exchange, way)
            return
        message, envelope = exchange.message, exchange.envelope
        try:
            state, responses = read_retry(message, envelope)
            if state is not None and self.suspended.issued(state):
                kept = self.suspended.find(state, exchange.principal.key, request_digest(*exchange.as_sent))
                if isinstance(kept, KeptAnswers):
                    message, envelope = kept.joined(exchange, responses, self._limits.depth)
                elif kept is not None:
                    kept.resume(exchange, responses)
                    return
        except TidegateError as error:
            exchange.failed(error)
            return
        self._begin_answering(target, exchange, way, message, envelope)

    def _begin_answering(
        self,
        target: Target,
        exchange: Exchange,
        way: Send,
        message: bytes | None = None,
        envelope: Envelope | None = None,
    ) -> None:
        """`message`: as it is to be sent, if not as it came."""
        send = self._answering(target, exchange, self._reach(target, exchange)).by(way)
        call = send(exchange, message or exchange.message, envelope or exchange.envelope)
        if call is not None and not exchange.done:
            exchange.abandon = call.abandon

    # -- a stateless client, a server with sessions -----------------------------------------------------------

    def _send_over_session(self, exchange: Exchange, target: Target) -> None:
        service = target.service
        message, envelope = exchange.message, exchange.envelope
        askable = envelope.method in ASKABLE
        if askable and any(word in message for word in _RETRY_BYTES):
            if self._resumed(exchange):
                return
            message, envelope = _without_retry(message, envelope, self._limits.depth)

        use = partial(self._use_session, exchange, target, message, envelope)
        if askable:
            service.acquire_askable(exchange.client, use, exchange.failed, lambda: not exchange.done)
        else:
            service.acquire(
                exchange.client,
                lambda slot, connection: use(slot, connection, _nothing_leased),
                exchange.failed,
            )

    def _use_session(
        self,
        exchange: Exchange,
        target: Target,
        message: bytes,
        envelope: Envelope,
        slot: Slot,
        connection: Connection,
        release: Release,
        waited_s: float | None = None,
    ) -> None:
        """`waited_s` as in `_use`."""
        if exchange.done or _is_revoked(exchange) or self._is_led_elsewhere(exchange, target):
            release(True)
            return
        service = target.service
        if waited_s is None:
            full = connection.in_flight >= service.config.max_in_flight or connection.line is not None
            if full and not exchange.urgent:

                def go(slot: Slot, connection: Connection, waited_s: float) -> None:
                    self._use_session(exchange, target, message, envelope, slot, connection, release, waited_s)

                service.queue.join(exchange, slot, connection, go, lambda: release(True))
                return
            waited_s = 0.0
        if not connection.keeps_session and service.stateless is True:
            # It came back in the other era while this request waited.
            release(True)
            self.send(exchange, target)
            return
        call = SuspendableCall(exchange, self.suspended, service.config.call_timeout_s, release)

        way = self._way(exchange, target, slot, connection, waited_s)
        alone = envelope.method in ASKABLE and slot.leased
        # A call like this one may be given to any replica.
        replicas = slot.siblings or (slot,)
        if waited_s == 0.0 and all(_is_at_level(one, connection, exchange.client, alone) for one in replicas):
            way = self._shown(way, exchange, target, slot, connection, partial(self._begin_suspendable, target))
        _at_level(slot, connection, exchange.client, alone, lambda: call.start(way, message, envelope))

    def _begin_suspendable(self, target: Target, exchange: Exchange, way: Send) -> None:
        """On a connection that is not leased."""
        call = SuspendableCall(exchange, self.suspended, target.service.config.call_timeout_s, _nothing_leased)
        call.start(way, exchange.message, exchange.envelope)

    def _resumed(self, exchange: Exchange, *, ours_only: bool = False) -> bool:
        """Whether the request is seen to: it goes on with a call that waits for it, or was refused.

        `ours_only`: the server has states of its own, and is given what is none of the gateway's.
        """
        try:
            state, responses = read_retry(exchange.message, exchange.envelope)
            if state is None or (ours_only and not self.suspended.issued(state)):
                return False
            digest = request_digest(*exchange.as_sent)
            call = self.suspended.find(state, exchange.principal.key, digest)
            if call is None:
                return False
            call.resume(exchange, responses)
        except TidegateError as error:
            exchange.failed(error)
        return True


def _is_revoked(exchange: Exchange) -> bool:
    """Whether the caller is no more, since it waited for the server. It is told."""
    if exchange.principal.revoked:
        exchange.failed(Unauthorized("the token of this request is not valid any more"))
        return True
    return False


def _carry(
    exchange: Exchange,
    target: Target,
    connection: Connection,
    client: ClientView,
    waited_s: float,
    listener: CallListener,
    message: bytes,
    envelope: Envelope,
) -> Call | None:
    """`waited_s`: what the request itself, not what is made of it later, has used of its time already."""
    edits = target.edits
    if edits and message is not exchange.message and envelope.name_span is not None:
        # The message was written anew around the name, which is what an askable request has edited.
        edits = [(*envelope.name_span, edits[0][2])]
    exchange.sent = exchange.at_client.sent = True
    return connection.call(
        listener,
        client,
        message,
        envelope,
        name=target.name,
        edits=edits,
        timeout_s=target.service.config.call_timeout_s - (waited_s if message is exchange.message else 0.0),
        headers=target.headers,
        once=exchange.ages,
    )


def _without_retry(message: bytes, envelope: Envelope, depth: int) -> tuple[bytes, Envelope]:
    """The request less what a server of the session era does not know."""
    span = envelope.params_span
    if span is None:
        return message, envelope
    stripped = splice(message, [(*span, patch_object(message[span[0] : span[1]], _NO_RETRY))])
    return stripped, scan(stripped, depth)


def _begin_straight(exchange: Exchange, way: Send) -> None:
    call = way(exchange, exchange.message, exchange.envelope)
    if call is not None:
        exchange.abandon = call.abandon


def _nothing_leased(finished: bool) -> None: ...


def _is_at_level(slot: Slot, connection: Connection, client: ClientView, alone: bool) -> bool:
    wanted = rank(client.log_level)
    if wanted is None or "logging" not in connection.capabilities:
        return True
    return slot.level is not None and (slot.level == wanted or (slot.level < wanted and not alone))


def _at_level(slot: Slot, connection: Connection, client: ClientView, alone: bool, go_on: Callable[[], None]) -> None:
    """Goes on once the server logs at the level that this request wants, or at a more talkative one.

    A lane follows the request that has it `alone`; what others share only grows more talkative, and the client is
    spared the rest on its way back.
    """
    if _is_at_level(slot, connection, client, alone):
        go_on()
        return
    slot.level = rank(client.log_level)
    connection.request_then(go_on, "logging/setLevel", {"level": client.log_level}, _LEVEL_TIMEOUT_S)
