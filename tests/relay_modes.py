"""The ways in which a test's gateway may use its relay: as it is shipped, not at all, or for first calls too.

What the relay repeats was decided once before, so a test that makes each call once never gets there. `eager` undoes
that: as soon as a decision is installed, the very call that it was taken for is taken from the slow lane and given to
the relay, as if that had sent it. This is the inverse of `Decision.promote`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import pytest

from tidegate.config.snapshot import Limits
from tidegate.pipeline.era.session import SessionExchange
from tidegate.pipeline.era.streams import SessionOutlet, StatelessOutlet
from tidegate.pipeline.exchange import Exchange
from tidegate.pipeline.relay.lane import FastLane
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.http_post import Post
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.slot import Slot

MODES: Final = ("eager", "on", "off")
VARIABLE: Final = "TIDEGATE_TEST_RELAY"
"""One of `MODES`, for all tests of a run."""


class Seen:
    """What the relays of one test did."""

    def __init__(self) -> None:
        self.decided = 0
        """Calls whose decision was installed."""
        self.promoted = 0
        """Calls that a relay began and did not end."""
        self.lanes: list[FastLane] = []

    @property
    def relayed(self) -> bool:
        """Some call went through a relay, to its end or until it was given up."""
        return self.promoted > 0 or any(lane.native.relayed for lane in self.lanes)


def put_in_force(mode: str, patch: pytest.MonkeyPatch) -> Seen:
    """For every gateway of this process that is made from now on."""
    seen = Seen()
    learn, begin, take_up, resumed = FastLane.learn, FastLane.__init__, FastLane.take_up, FastLane.resumed

    def noting(self: FastLane, *args: Any, on: bool) -> None:
        begin(self, *args, on=on and mode != "off")
        seen.lanes.append(self)

    def taking_up(self: FastLane, limits: Limits, *, on: bool) -> None:
        take_up(self, limits, on=on and mode != "off")

    def learning(
        self: FastLane, exchange: Exchange, target: Target, slot: Slot, connection: Connection, call: Call, *more: Any
    ) -> None:
        before = self.native.statistics()["installed_total"]
        learn(self, exchange, target, slot, connection, call, *more)
        if self.native.statistics()["installed_total"] != before:
            seen.decided += 1
            if mode == "eager":
                _give_to_relay(self, exchange, call)

    def resuming(self: FastLane) -> None:
        seen.promoted += 1
        resumed(self)

    patch.setattr(FastLane, "__init__", noting)
    patch.setattr(FastLane, "take_up", taking_up)
    patch.setattr(FastLane, "learn", learning)
    patch.setattr(FastLane, "resumed", resuming)
    return seen


def for_the_whole_run() -> None:
    """As the environment says."""
    mode = os.environ.get(VARIABLE, "on")
    assert mode in MODES, mode
    if mode != "on":
        put_in_force(mode, pytest.MonkeyPatch())


def _give_to_relay(lane: FastLane, exchange: Exchange, call: Call) -> None:
    connection: Any = call.desk
    let_go = _let_go_of_client(exchange)
    posted = call.link_state
    sent_on = posted.http.connection if isinstance(posted, Post) and posted.http is not None else None
    if let_go is None or (posted is not None and sent_on is None):
        # The relay would not have had it: more has come after it, or no connection is free.
        return
    assert lane.native.adopt(int(call.id), exchange.started_s, sent_on.relayed.number if sent_on is not None else None)
    if sent_on is not None:
        assert isinstance(posted, Post)
        posted.http.finish()
        posted.http.connection = None
        sent_on._call = None
        sent_on._used -= 1
        posted._link.forget(posted)
    exchange.done = True
    exchange.abandon = None
    exchange.on_done = None
    connection._pending.pop(call.id)
    connection._deadlines.forget(call)
    call.open = False
    lane._admission.in_flight -= 1
    if isinstance(exchange, SessionExchange):
        del exchange.session.exchanges[exchange.envelope.id or b""]
    let_go()


def _let_go_of_client(exchange: Exchange) -> Callable[[], None] | None:
    """What makes the exchange's outlet forget it; None where the relay could not have had the call."""
    outlet = getattr(exchange, "outlet", None)
    if not isinstance(outlet, SessionOutlet | StatelessOutlet):
        return lambda: None
    request: Any = outlet._request
    protocol = request._port
    if protocol is None or protocol._pending:
        return None

    def let_go() -> None:
        if isinstance(outlet, SessionOutlet):
            outlet._end()
            outlet.replay._streams -= 1
            outlet._request = None
        request.answered = True
        request.on_disconnect = None
        request._port = None
        protocol._request = None
        protocol._await_request()

    return let_go
