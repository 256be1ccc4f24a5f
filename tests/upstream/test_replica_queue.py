"""The queue of a backend with two replicas: whichever has room takes the next one, and who stays with one stays."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_queue import FakeConnection, Request, turn

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Backend
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import ClientView, SessionPort
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.queue import CallQueue
from tidegate.pipeline.upstream.replicas import Replicas
from tidegate.pipeline.upstream.slot import Fail, Slot, Use

pytestmark = pytest.mark.anyio


class Pair:
    """A service with two replicas that keep sessions; sessions stay with the one that they are told."""

    def __init__(self, most: int = 1) -> None:
        self.name = "files"
        self.clock = ManualClock()
        self.config = Backend("files", "tcp", replicas=2, max_in_flight=most, max_queued=1000)
        self.slots: dict[str, Slot] = {}
        self.deadlines = Deadlines(self.clock, 0.001)
        self.queue = CallQueue(self, self.clock, self.deadlines)
        self.replicas = Replicas(self)
        self.siblings = self.replicas.slots("shared")
        self.slots |= {slot.key: slot for slot in self.siblings}
        self.waiting: list[tuple[ClientView, Use, Fail]] = []
        self.went: list[tuple[Request, int]] = []
        for number in (0, 1):
            self.open(number)

    def open_soon(self, slot: Slot) -> None: ...

    def open(self, number: int) -> None:
        """As `Service._opened` does."""
        slot = self.siblings[number]
        slot.connection = cast(Connection, FakeConnection())
        slot.error = None
        self.queue.relieve(slot)
        waiting, self.waiting = self.waiting, []
        for client, use, fail in waiting:
            self.acquire(client, use, fail)

    def die(self, number: int) -> None:
        connection = self.running_on(number)
        self.siblings[number].error = cast(Any, SimpleNamespace())
        connection.die()
        self.siblings[number].connection = None

    def is_up(self, number: int) -> bool:
        return self.siblings[number].connection is not None

    def running_on(self, number: int) -> FakeConnection:
        return cast(FakeConnection, self.siblings[number].connection)

    def use_slot(self, slot: Slot, client: ClientView, use: Use, fail: Fail) -> None:
        raise AssertionError("a request is asked anew where it may go")

    def acquire(self, client: ClientView, use: Use, fail: Fail) -> None:
        slot = self.replicas.choose(self.siblings, client)
        if slot.connection is None:
            self.waiting.append((client, use, fail))
        else:
            use(slot, slot.connection)

    def call(self, session: str = "") -> Request:
        port = cast(SessionPort, SimpleNamespace(key=session, transport="tcp")) if session else None
        client = ClientView(stateless=port is None, session=port)
        request = Request(Principal("ann", None, rate_per_s=0, burst=0), client)

        def go(slot: Slot, connection: Connection, waited_s: float) -> None:
            self.went.append((request, slot.replica))
            cast(FakeConnection, connection).running.append(request)

        def use(slot: Slot, connection: Connection) -> None:
            if connection.in_flight >= self.config.max_in_flight or connection.line is not None:
                self.queue.join(request, slot, connection, go)
            else:
                go(slot, connection, 0.0)

        self.acquire(client, use, request.failed)
        return request


async def test_who_waits_for_any_goes_to_the_first_that_has_room() -> None:
    pair = Pair()
    requests = [pair.call() for _ in range(6)]
    for _ in range(4):
        pair.running_on(1).finish()
        await turn()
    assert pair.running_on(0).running == requests[:1]
    assert [at for _, at in pair.went] == [0, 1, 1, 1, 1, 1]
    assert len(pair.queue) == 0


async def test_who_stays_waits_for_its_own_and_holds_up_nobody_else() -> None:
    pair = Pair()
    pair.call("ann")
    pair.call("bob")
    mine = pair.call("ann")
    anybody = pair.call()
    pair.running_on(1).finish()
    await turn()
    assert pair.running_on(1).running == [anybody]
    pair.running_on(1).finish()
    await turn()
    assert pair.running_on(1).running == []
    assert pair.call() in pair.running_on(1).running, "a line for another is none for this one"
    pair.running_on(0).finish()
    await turn()
    assert pair.running_on(0).running == [mine]


async def test_those_who_stay_and_those_who_do_not_take_turns() -> None:
    pair = Pair()
    pair.call("ann")
    pair.call("bob")
    mine = [pair.call("ann") for _ in range(3)]
    others = [pair.call() for _ in range(3)]
    for _ in range(6):
        pair.running_on(0).finish()
        await turn()
    order = [request for request, _ in pair.went[2:]]
    assert order == [mine[0], others[0], mine[1], others[1], mine[2], others[2]]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(["", "", "ann", "bob", "eve"])),
        st.tuples(st.sampled_from(["finish", "die", "open"]), st.integers(0, 1)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.just(("turn", 0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 2))
def test_nobody_waits_beside_a_replica_that_has_room_for_it(steps: list[tuple[str, Any]], most: int) -> None:
    async def play() -> None:
        pair = Pair(most)
        requests: list[Request] = []
        for step, value in steps:
            if step == "call":
                requests.append(pair.call(value))
            elif step == "cancel" and value < len(requests):
                requests[value].cancel()
            elif step == "finish" and pair.is_up(value) and pair.running_on(value).running:
                pair.running_on(value).finish()
            elif step == "die" and pair.is_up(value):
                pair.die(value)
            elif step == "open" and not pair.is_up(value):
                await turn()
                pair.open(value)
            elif step == "turn":
                await turn()
        await turn()
        for number in (0, 1):
            if not pair.is_up(number):
                pair.open(number)
        await turn()
        for _ in requests:
            for number in (0, 1):
                running = pair.running_on(number)
                assert len(running.running) <= most
                if len(running.running) < most and running.line is not None:
                    assert not running.line.turns
                    assert not running.line.common
                if running.running:
                    running.finish()
            await turn()
        assert len(pair.queue) == 0
        assert not pair.waiting
        assert all(slot.connection is not None and slot.connection.line is None for slot in pair.siblings)
        went = [id(request) for request, _ in pair.went]
        assert len(went) == len(set(went)), "none goes twice"
        assert all(request.done or id(request) in went for request in requests)

    asyncio.run(play())
