"""The fast lane of one gateway: what the slow lane decided is repeated without Python.

`calls.py` shows it each decision (`learn`); listeners and links put its protocol objects before their own; the gateway
voids what it has learnt whenever something may have changed, and has it give its calls up where the slow lane must know
of every one. What it does by itself is native (`rust/relay`); here is what it may do at all, its clock and its books.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, cast

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.events import DURATION_BOUNDS_S, CallsEnded, Events
from tidegate.pipeline.codec import (
    HttpChannel,
    HttpDownstream,
    HttpPool,
    LineUpstream,
    Relay,
    Scope,
    StreamDownstream,
    Upstream,
)
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.policy.admission import Admission
from tidegate.pipeline.relay.decision import Begin, Decision
from tidegate.pipeline.relay.origin import Done
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot

TICK_S: Final = 1.0
"""A call that takes longer is the slow lane's, which has deadlines, streams and patience. Checked this often, and only
while there are calls: so it may take twice as long."""
_MOST_AT_ONCE: Final = 256
"""Calls that are taken over at once, which takes about 10 ms."""
UNUSED_S: Final = 1.5
"""An HTTP connection that is not used for so long goes back to the pool that it came from."""
_METHODS: Final = ("tools/call", "prompts/get", "resources/read")


class FastLane:
    """Owns the native relay."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        events: Events,
        admission: Admission,
        done: Done,
        used: Callable[[Decision], None],
        *,
        on: bool,
    ) -> None:
        """`done`: what ends an exchange of the slow lane. `used`: told now and then of decisions that were repeated."""
        self.clock = clock
        self.done = done
        self.depth = limits.depth
        self._events = events
        self._admission = admission
        self._used = used
        self._timer: asyncio.TimerHandle | None = None
        self._relayed = 0
        self._voided = 0
        self._journal = False
        self._last_void: dict[str, object] = {}
        self.native = Relay(admission, self._woken, DURATION_BOUNDS_S, clock.now_s(), on)
        admission.relay = self.native
        self.take_up(limits, on=on)

    def take_up(self, limits: Limits, *, on: bool) -> None:
        """Other bounds, and other rules: nothing that was learnt is true any more.

        Calls in flight were let in, and stay where they are, unless the slow lane could not read one again later.
        """
        if not on or limits.depth < self.depth:
            self.settle()
        self.publish()
        self.native.on = on
        self.depth = limits.depth
        self.native.take_up(limits.in_flight, limits.header_bytes, limits.body_bytes, limits.result_bytes, limits.depth)
        self._note_void("configuration")

    # -- what stands before the protocols of the slow lane --------------------------------------------------------

    def http(self, protocol: asyncio.Protocol) -> asyncio.Protocol:
        """For a client's HTTP connection."""
        return HttpDownstream(self.native, protocol) if self.native.on else protocol

    def stream(self, protocol: asyncio.Protocol, max_bytes: int) -> asyncio.Protocol:
        """For a client's stream."""
        return StreamDownstream(self.native, protocol, max_bytes) if self.native.on else protocol

    def lines(self, protocol: asyncio.Protocol, max_bytes: int) -> LineUpstream | None:
        """For what a server says in lines; None: it is not relayed."""
        return LineUpstream(self.native, protocol, max_bytes) if self.native.on else None

    def http_pool(self, queue: object) -> HttpPool | None:
        """For connections to one origin. `queue`: the slow lane's calls that wait for one."""
        return HttpPool(self.native, queue) if self.native.on else None

    def http_upstream(self, pool: HttpPool) -> Upstream:
        """For a conversation whose calls go on connections of `pool`."""
        return Upstream(self.native, pool)

    def http_channel(self, pool: HttpPool, protocol: asyncio.Protocol) -> HttpChannel:
        """For a connection of `pool`."""
        return HttpChannel(pool, protocol)

    def scope(self, ids: Mapping[bytes, object]) -> Scope:
        """Of a session or stream, whose requests in the slow lane `ids` has."""
        return self.native.scope(ids)

    # -- what it learns -------------------------------------------------------------------------------------------

    def learn(
        self,
        exchange: Exchange,
        target: Target,
        slot: Slot,
        connection: Connection,
        call: Call,
        begin: Begin,
        odd_words: tuple[bytes, ...],
    ) -> None:
        """This is how the present message was decided: is that how the next one like it will be?

        `begin`: what the slow lane does with the next one, if it must go on with it. `odd_words`: it has none of them.
        """
        client = exchange.client
        if (
            not self.native.has_candidate
            or connection.relayed is None
            or exchange.done
            or exchange.on_result is not None
            or exchange.envelope.method not in _METHODS
            or target.by_arguments
            or target.headers
            or target.needs_task
            or slot.leased
            or target.service.config.call_timeout_s < 3 * TICK_S
        ):
            return
        origin = exchange.origin
        form = exchange.reply_form
        edits = exchange.result_edits
        if origin is None or form is None or edits is None:
            return
        bucket = self._admission.bucket_of(exchange.principal).state if exchange.principal.rate_per_s > 0 else None
        decisions = [
            Decision(
                self, exchange, target, slot, replica, origin, form, edits, upstream, bucket, call, begin, odd_words
            )
            for replica in _replicas(target.service, client, connection)
            if (upstream := replica.relayed) is not None and upstream.attached
        ]
        if decisions and self.native.install(exchange.message, decisions[0]):
            for decision in decisions[1:]:
                self.native.share(decision)
        self._note_void("full")

    def void(self, why: str, backend: str = "") -> None:
        """Something that decisions depend on may have changed. `why`: a word for operators."""
        self.native.void()
        self._note_void(why, backend)

    def _note_void(self, why: str, backend: str = "") -> None:
        """Keeps why flows were forgotten, if they were."""
        if self.native.voided != self._voided:
            self._voided = self.native.voided
            self._last_void = {"why": why, "backend": backend, "at_s": self.clock.now_s()}

    # -- its calls ------------------------------------------------------------------------------------------------

    def resumed(self) -> None:
        self._admission.resume()

    def settle(self) -> None:
        """The slow lane takes every call over, and knows all that was done."""
        self.native.settle()
        self.publish()

    def publish(self) -> None:
        """What was done since the last time."""
        for decision, *counts in self.native.counted():
            self._used(decision)
            self._events.publish(decision.done(*counts))
        if self._journal:
            calls, lost = self.native.ended()
            if calls or lost:
                now_s = self.clock.now_s()
                each = [
                    (now_s - ended_s, decision.ended(tool_failed, ended_s - began_s))
                    for decision, tool_failed, began_s, ended_s in calls
                ]
                self._events.publish(CallsEnded(each, lost))

    @property
    def journal(self) -> bool:
        """Whether each call is told by itself, too, as `CallsEnded`."""
        return self._journal

    @journal.setter
    def journal(self, wanted: bool) -> None:
        self.publish()
        self._journal = wanted
        self.native.journal = self.publish if wanted else None

    def close(self) -> None:
        """Nothing is relayed any more."""
        self.native.on = False
        self.settle()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _woken(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if not self.native.promote_before(self.clock.now_s() - TICK_S, _MOST_AT_ONCE):
            # Others have their turn in between.
            self._timer = asyncio.get_running_loop().call_later(0, self._tick)
            return
        self.publish()
        now_s = self.clock.now_s()
        for connection in self.native.unused(now_s - UNUSED_S):
            connection.keep(now_s - UNUSED_S)
        for connection in self.native.unended(now_s - TICK_S):
            connection.abort()
        relayed = self.native.relayed
        if relayed == self._relayed and not self.native.in_flight and not self.native.channels:
            self.native.rest()
        else:
            self._relayed = relayed
            self._woken()

    def statistics(self) -> dict[str, object]:
        """`voided`: when all flows were last forgotten, and why; None: they never were."""
        self._note_void("connection")
        last = dict(self._last_void)
        if last:
            last["ago_s"] = round(self.clock.now_s() - cast(float, last.pop("at_s")), 3)
        return {**self.native.statistics(), "voided": last or None}

    def flows(self, most: int) -> list[dict[str, object]]:
        """What could be repeated now, those that were used last first."""
        found = sorted(self.native.flows(), key=lambda flow: flow[4] or flow[0].since_s, reverse=True)
        return [decision.row(*counts) for decision, *counts in found[:most]]


def _replicas(service: Service, client: ClientView, connection: Connection) -> list[Connection]:
    """The connections that a request like the present one, which went on `connection`, may go on: that one first, the
    others as their turn comes.
    """
    if service.config.replicas == 1:
        return [connection]
    found = service.connections_for(client)
    if connection not in found:
        return []
    at = found.index(connection)
    return [one for one in found[at:] + found[:at] if one.keeps_session is connection.keeps_session]
