"""The queue of one backend, with a server that is only counted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Backend, Client
from tidegate.errors import Overloaded, TidegateError, UpstreamClosed
from tidegate.pipeline.codec import scan
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import ClientView, Exchange, SessionPort
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.queue import CallQueue
from tidegate.pipeline.upstream.slot import Fail, Slot, Use

pytestmark = pytest.mark.anyio

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}'


class Request(Exchange):
    """Remembers how it ended."""

    def __init__(self, principal: Principal, client: ClientView) -> None:
        super().__init__(CALL, scan(CALL), client, principal, "tcp")
        self.error: TidegateError | None = None

    def send_error(self, error: TidegateError) -> None:
        self.error = error

    def send_own_result(self, message: bytes) -> None:
        pass


class FakeConnection:
    """As many requests in flight as the test says."""

    def __init__(self) -> None:
        self.closed = False
        self.line: Any = None
        self.running: list[Request] = []
        self.streams = 0

    @property
    def in_flight(self) -> int:
        return len(self.running) + self.streams

    @property
    def working(self) -> int:
        return len(self.running)

    def finish(self) -> None:
        self.running.pop(0)
        if self.line is not None:
            self.line.moved()

    def die(self) -> None:
        self.closed = True
        self.running.clear()
        if self.line is not None:
            self.line.moved()


class Desk:
    """A service with one slot, and the way of `calls.py` to its queue."""

    def __init__(self, **fields: Any) -> None:
        self.name = "files"
        self.slot = Slot("shared", None)
        self.slots = {"shared": self.slot}
        self.down: TidegateError | None = None
        self.waiting: list[tuple[Use, Fail]] = []
        self.clock = ManualClock()
        self.deadlines = Deadlines(self.clock, 0.001)
        self.config = Backend("files", "stdio", **{"max_in_flight": 2, "max_queued": 4, **fields})
        self.queue = CallQueue(self, self.clock, self.deadlines)
        self.connection = FakeConnection()
        self.waited: list[float] = []

    def use_slot(self, slot: Slot, client: ClientView, use: Use, fail: Fail) -> None:
        assert slot is self.slot
        if self.down is not None:
            fail(self.down)
        elif self.connection.closed:
            self.waiting.append((use, fail))
        else:
            use(slot, cast(Connection, self.connection))

    def acquire(self, client: ClientView, use: Use, fail: Fail) -> None:
        self.use_slot(self.slot, client, use, fail)

    def reopen(self) -> None:
        self.connection = FakeConnection()
        waiting, self.waiting = self.waiting, []
        for use, _ in waiting:
            use(self.slot, cast(Connection, self.connection))

    def call(self, who: str = "ann", session: str = "") -> Request:
        holder = Client(who, "0" * 64) if who else None
        port = cast(SessionPort, SimpleNamespace(key=session, transport="tcp")) if session else None
        principal = Principal(who or "anonymous", holder, rate_per_s=0, burst=0)
        request = Request(principal, ClientView(stateless=port is None, session=port))

        def go(slot: Slot, connection: Connection, waited_s: float) -> None:
            self.waited.append(waited_s)
            cast(FakeConnection, connection).running.append(request)

        connection = cast(Connection, self.connection)
        if connection.in_flight >= self.config.max_in_flight or connection.line is not None:
            self.queue.join(request, self.slot, connection, go)
        else:
            go(self.slot, connection, 0.0)
        return request

    @property
    def counts(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.queue.statistics())


async def turn() -> None:
    """Of the loop: whatever was to be done at its end is done."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_finds_no_place_waits_and_goes_in_order() -> None:
    desk = Desk()
    requests = [desk.call() for _ in range(5)]
    assert desk.connection.running == requests[:2]
    assert len(desk.queue) == 3
    desk.clock.advance(7)
    desk.connection.finish()
    late = desk.call()
    assert len(desk.queue) == 4, "whoever comes in the same turn is behind those who wait"
    await turn()
    assert desk.connection.running == requests[1:3]
    assert desk.waited[-1] == 7
    for _ in range(3):
        desk.connection.finish()
        await turn()
    assert desk.connection.running == [requests[4], late]
    assert len(desk.queue) == 0
    assert desk.connection.line is None
    assert not [request for request in requests if request.error]


async def test_a_full_queue_refuses_at_once_and_says_which_limits_and_how_long() -> None:
    desk = Desk()
    for _ in range(6):
        desk.call()
    desk.clock.advance(12.34)
    refused = desk.call()
    assert isinstance(refused.error, Overloaded)
    assert str(refused.error) == (
        "backend `files` has 2 requests in flight (`max_in_flight`) and 4 more wait for it (`max_queued`), the first "
        "for 12.3 s: it takes no more"
    )
    assert desk.counts["refused"] == 1
    assert len(desk.queue) == 4


async def test_without_a_queue_everything_over_the_limit_is_refused() -> None:
    desk = Desk(max_queued=0)
    assert [desk.call().error is None for _ in range(3)] == [True, True, False]


async def test_nobody_waits_longer_than_the_limit() -> None:
    desk = Desk(queue_timeout_s=9.0)
    early = [desk.call() for _ in range(4)][2:]
    desk.clock.advance(5)
    later = desk.call()
    desk.clock.advance(4.5)
    desk.deadlines.expire()
    for request in early:
        assert isinstance(request.error, Overloaded)
        assert "within 9 s (`queue_timeout_s`)" in str(request.error)
    assert later.error is None
    assert (len(desk.queue), desk.counts["expired"]) == (1, 2)


async def test_the_wait_is_part_of_the_time_that_a_call_may_take() -> None:
    desk = Desk(call_timeout_s=3.0)
    for _ in range(2):
        desk.call()
    waits = desk.call()
    desk.clock.advance(3)
    desk.connection.finish()
    await turn()
    assert waits not in desk.connection.running, "nothing would be left of its time"
    assert isinstance(waits.error, Overloaded)
    assert "within 3 s" in str(waits.error)


async def test_whoever_gives_up_leaves_the_queue() -> None:
    desk = Desk()
    requests = [desk.call() for _ in range(5)]
    requests[3].cancel()
    assert (len(desk.queue), desk.counts["cancelled"]) == (2, 1)
    for _ in range(4):
        desk.connection.finish()
        await turn()
    assert requests[3] not in desk.connection.running
    for request in [desk.call(), desk.call(), desk.call()]:
        request.cancel()
    assert len(desk.queue) == 0
    assert desk.connection.line is None, "the next one need not look at a line"
    assert len(desk.deadlines) == 0


async def test_who_waits_goes_on_to_a_server_that_was_started_again() -> None:
    desk = Desk()
    requests = [desk.call() for _ in range(6)]
    desk.connection.die()
    await turn()
    assert len(desk.queue) == 4, "they wait for it"
    requests[2].cancel()
    desk.reopen()
    assert desk.connection.running == requests[3:5]
    assert len(desk.queue) == 1
    desk.connection.finish()
    await turn()
    assert desk.connection.running == requests[4:]


async def test_the_deadline_goes_on_while_the_server_is_started_again() -> None:
    desk = Desk(queue_timeout_s=5.0)
    waits = [desk.call() for _ in range(3)][2]
    desk.connection.die()
    await turn()
    desk.clock.advance(6)
    desk.deadlines.expire()
    assert isinstance(waits.error, Overloaded)
    desk.reopen()
    assert desk.connection.running == []


async def test_who_waits_hears_why_the_server_does_not_come_back() -> None:
    desk = Desk()
    waits = [desk.call() for _ in range(3)][2]
    desk.down = UpstreamClosed("backend `files` ended with status 1")
    desk.connection.die()
    await turn()
    assert waits.error is desk.down
    assert len(desk.queue) == 0


async def test_one_client_that_floods_neither_delays_nor_displaces_another() -> None:
    desk = Desk(max_in_flight=1, max_queued=100)
    flood = [desk.call("eve") for _ in range(101)]
    mine = [desk.call("ann") for _ in range(2)]
    assert [request.error for request in mine] == [None, None]
    assert [bool(request.error) for request in flood[-3:]] == [False, True, True], "the last of the flood gave way"
    served = []
    for _ in range(4):
        desk.connection.finish()
        await turn()
        served.append(desk.connection.running[0].principal.name)
    assert served == ["eve", "ann", "eve", "ann"]


async def test_where_nobody_needs_a_token_sessions_take_turns() -> None:
    desk = Desk(max_in_flight=1, max_queued=100)
    for _ in range(50):
        desk.call("", "loud")
    mine = desk.call("", "quiet")
    for _ in range(2):
        desk.connection.finish()
        await turn()
    assert desk.connection.running == [mine]


async def test_a_stream_of_changes_takes_no_place() -> None:
    desk = Desk(max_in_flight=1)
    desk.connection.streams = 1
    assert desk.call() in desk.connection.running
    assert len(desk.queue) == 0


async def test_a_closing_service_tells_everybody() -> None:
    desk = Desk()
    waits = [desk.call() for _ in range(4)][2:]
    over = UpstreamClosed("shutting down")
    desk.queue.close(over)
    assert [request.error for request in waits] == [over, over]
    assert len(desk.deadlines) == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from("abc")),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.sampled_from([("finish", 0), ("die", 0), ("open", 0), ("wait", 0), ("turn", 0)]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whatever_happens_each_request_ends_once_and_nothing_is_left(steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        desk = Desk(queue_timeout_s=20.0)
        requests: list[Request] = []
        answered: list[Request] = []
        for step, value in steps:
            if step == "call" and not desk.connection.closed:
                requests.append(desk.call(value))
            elif step == "cancel" and value < len(requests):
                requests[value].cancel()
            elif step == "finish" and desk.connection.running:
                answered.append(desk.connection.running[0])
                desk.connection.finish()
            elif step == "die" and not desk.connection.closed:
                answered += desk.connection.running
                desk.connection.die()
            elif step == "open" and desk.connection.closed:
                await turn()
                desk.reopen()
            elif step == "wait":
                desk.clock.advance(4)
                desk.deadlines.expire()
            elif step == "turn":
                await turn()
            assert len(desk.connection.running) <= 2
            assert len(desk.queue) <= 4
        if desk.connection.closed:
            await turn()
            desk.reopen()
        for _ in range(10):
            await turn()
            answered += desk.connection.running
            while desk.connection.running:
                desk.connection.finish()
        for request in requests:
            served = answered.count(request)
            assert served <= 1, "sent twice"
            assert served or request.done, "forgotten"
            assert not (served and isinstance(request.error, Overloaded)), "served, and refused"
        assert len(desk.queue) == len(desk.deadlines) == 0
        assert desk.connection.line is None

    asyncio.run(play())
