"""Who shares a server: the rule itself, and the lanes of clients that a server may ask something."""

from __future__ import annotations

import heapq
import itertools
import json
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Backend, Isolation, Limits
from tidegate.errors import Overloaded, TidegateError, UpstreamTimeout, UpstreamUnreachable
from tidegate.pipeline.codec import scan
from tidegate.pipeline.era.modern import ClientViews
from tidegate.pipeline.exchange import ClientView, SessionPort
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.upstream import lanes as lanes_module
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.lanes import Lanes, Lease, Release
from tidegate.pipeline.upstream.service import Service, ServiceOwner
from tidegate.pipeline.upstream.slot import Fail, Slot, Use

ASKED: dict[str, object] = {"elicitation": {}, "sampling": {}}


def stateless_client(capabilities: dict[str, object], name: str = "ann") -> ClientView:
    """As read from a request's `_meta`."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    message = json.dumps(request).encode()
    return ClientViews().read(message, scan(message), Principal(name, None, rate_per_s=0, burst=0))


def session_client(capabilities: dict[str, object], key: str = "id-of-a-session") -> ClientView:
    session = cast(SessionPort, SimpleNamespace(key=key, transport="http"))
    able = not set(capabilities).isdisjoint(("elicitation", "sampling", "roots"))
    return ClientView(
        stateless=False,
        capabilities=json.dumps(capabilities).encode(),
        abilities=b'{"sampling":{}}' if able else b"{}",
        features=frozenset(capabilities),
        session=session,
        own_key=key,
        principal="ann",
        info=b'{"name":"inspector","version":"2"}',
    )


def service(
    isolation: Isolation = "auto", *, stateless: bool | None = None, keeps_session: bool | None = None, most: int = 32
) -> Service:
    """One that opens no connection: whatever is spawned is dropped."""
    owner = SimpleNamespace(
        limits=Limits(),
        documents=None,
        rules=None,
        clock=ManualClock(),
        spawn=lambda *args, name: None,
        is_followed=lambda *args: False,
    )
    backend = Backend("files", "stdio", isolation=isolation, max_connections=most)
    made = Service(backend, cast(ServiceOwner, owner))
    made.stateless, made.keeps_session = stateless, keeps_session
    return made


# -- the rule --------------------------------------------------------------------------------------------------------

STATELESS, SHARED, OWN = "stateless", "shared", "own"
CLIENTS = {
    "stateless": stateless_client({}),
    "stateless, can be asked": stateless_client(ASKED),
    "session": session_client({}),
    "session, can be asked": session_client(ASKED),
    "session, has tasks": session_client({"tasks": {}}),
}
ONLY_STATELESS, ONLY_SESSION, BOTH, UNKNOWN = (True, False), (False, True), (True, True), (None, None)
"""What is known of the server: whether it answers statelessly, whether it keeps sessions."""
RULE: dict[str, dict[tuple[bool | None, bool | None], tuple[str, str, str]]] = {
    "stateless": {
        UNKNOWN: (STATELESS,) * 3,
        ONLY_STATELESS: (STATELESS,) * 3,
        BOTH: (STATELESS,) * 3,
        ONLY_SESSION: (SHARED, SHARED, OWN),
    },
    "stateless, can be asked": {
        UNKNOWN: (STATELESS,) * 3,
        ONLY_STATELESS: (STATELESS,) * 3,
        BOTH: (STATELESS,) * 3,
        ONLY_SESSION: (OWN, SHARED, OWN),
    },
    "session": {
        UNKNOWN: (SHARED, SHARED, OWN),
        ONLY_STATELESS: (STATELESS,) * 3,
        BOTH: (SHARED, SHARED, OWN),
        ONLY_SESSION: (SHARED, SHARED, OWN),
    },
}
for kind in ("session, can be asked", "session, has tasks"):
    RULE[kind] = {
        UNKNOWN: (OWN, SHARED, OWN),
        ONLY_STATELESS: (STATELESS,) * 3,
        BOTH: (OWN, SHARED, OWN),
        ONLY_SESSION: (OWN, SHARED, OWN),
    }
ISOLATIONS: tuple[Isolation, ...] = ("auto", "shared", "session")


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("known", [UNKNOWN, ONLY_STATELESS, BOTH, ONLY_SESSION])
@pytest.mark.parametrize("kind", CLIENTS)
def test_each_client_has_the_connection_that_the_rule_names(
    kind: str, known: tuple[bool | None, bool | None], isolation: Isolation, timers: Timers
) -> None:
    client = CLIENTS[kind]
    expected = RULE[kind][known][ISOLATIONS.index(isolation)]
    made = service(isolation, stateless=known[0], keeps_session=known[1])
    assert made.slot_key(client) == (client.own_key if expected == OWN else expected)
    slot = made.slot_for(client)
    assert made.serves(slot, client)
    assert slot.serves == (("lane" if client.stateless else "session") if expected == OWN else expected)
    assert made.slot_for(client) is slot


parts = st.sampled_from(["form", "url", "tools", "context", "listChanged"])
capabilities: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.sampled_from(["elicitation", "sampling", "roots", "experimental", "extensions"]),
    st.dictionaries(parts, st.just({}), max_size=3),
    max_size=4,
)
bit = st.sampled_from([None, False, True])


@given(capabilities, capabilities, st.sampled_from("ab"), st.sampled_from("ab"), bit, st.sampled_from(ISOLATIONS))
def test_stateless_clients_share_a_session_exactly_when_nothing_tells_them_apart(
    one: dict[str, object],
    two: dict[str, object],
    first: str,
    second: str,
    keeps_session: bool | None,
    isolation: Isolation,
) -> None:
    made = service(isolation, stateless=False, keeps_session=keeps_session)
    ann, bob = stateless_client(one, first), stateless_client(two, second)
    same = made.slot_key(ann) == made.slot_key(bob)
    alike = first == second and ann.abilities == bob.abilities
    if isolation == "shared":
        assert same
    elif isolation == "session":
        assert same == alike
    else:
        nothing = ann.abilities == bob.abilities == b"{}"
        assert same == (alike or nothing)
        assert (made.slot_key(ann) == SHARED) == (ann.abilities == b"{}")


@given(bit, bit, st.sampled_from(ISOLATIONS))
def test_a_client_without_a_name_of_its_own_never_gets_a_connection_of_its_own(
    stateless: bool | None, keeps_session: bool | None, isolation: Isolation
) -> None:
    made = service(isolation, stateless=stateless, keeps_session=keeps_session)
    for kind in (True, False):
        assert made.slot_key(ClientView(stateless=kind)) in (STATELESS, SHARED)


def test_a_lane_declares_what_its_clients_have_in_common_and_nothing_else(timers: Timers) -> None:
    client = stateless_client({"elicitation": {"url": {}}, "roots": {}, "extensions": {"x": {}}})
    slot = service(stateless=False).slot_for(client)
    assert slot.client is not None
    assert json.loads(slot.client.capabilities) == {"elicitation": {"url": {}}, "roots": {}}
    assert slot.client.info is None


def test_sessions_and_lanes_count_together_and_one_too_many_hears_the_key(timers: Timers) -> None:
    made = service(stateless=False, keeps_session=True, most=2)
    made.slot_for(session_client(ASKED, "one"))
    made.slot_for(session_client(ASKED, "two"))
    for client in (session_client(ASKED, "three"), stateless_client(ASKED)):
        errors: list[TidegateError] = []
        made.acquire(client, unused, errors.append)
        assert isinstance(errors[0], Overloaded)
        assert "`max_connections`" in str(errors[0])
        assert made.slot_for(client).closed
    assert sorted(made.slots) == ["one", "two"]
    # Those who can be asked nothing need none.
    assert made.slot_for(session_client({}, "four")).key == SHARED
    made.close_slot("one")
    assert not made.slot_for(stateless_client(ASKED)).closed


def test_sessions_that_were_left_make_room_after_a_while(timers: Timers) -> None:
    """A client over HTTP that goes away without a word leaves its session for an hour."""
    made = service(stateless=False, keeps_session=True, most=2)
    old, quiet, follower = (session_client(ASKED, key) for key in ("old", "quiet", "follower"))
    clock = cast(ManualClock, made._owner.clock)
    made.slot_for(follower).subscribed["file:///a"] = 1
    clock.advance(1.0)
    made.slot_for(old)
    clock.advance(299.0)
    assert made.slot_for(quiet).closed
    clock.advance(2.0)
    assert not made.slot_for(quiet).closed
    assert set(made.slots) == {"follower", "quiet"}
    # Whoever was not gone after all gets another one as soon as there is room.
    assert made.slot_for(old).closed
    clock.advance(301.0)
    assert not made.slot_for(old).closed


def unused(slot: Slot, connection: Connection) -> None:
    raise AssertionError("no connection is open")


# -- what operators see ----------------------------------------------------------------------------------------------


def slots_of(made: Service) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], made.statistics()["slots"])


def test_statistics_say_whom_each_connection_serves_and_why_but_no_session_id(timers: Timers) -> None:
    made = service(stateless=False, keeps_session=True)
    for client in CLIENTS.values():
        made.slot_for(client)
    made.slot_for(session_client({"tasks": {}}, "second-id"))
    statistics = made.statistics()
    assert (statistics["isolation"], statistics["max_connections"], statistics["own_connections"]) == ("auto", 32, 3)
    found = {slot["serves"] + " " + ",".join(slot["abilities"]): slot for slot in slots_of(made)}
    assert set(found) == {"shared ", "lane elicitation.form,sampling", "session sampling", "session "}
    assert found["shared "]["client"] is None
    assert "one session is enough" in found["shared "]["why"]
    assert found["lane elicitation.form,sampling"]["client"] == {"principal": "ann"}
    assert "one request at a time" in found["lane elicitation.form,sampling"]["why"]
    inspector = {"principal": "ann", "transport": "http", "name": "inspector", "version": "2"}
    assert found["session sampling"]["client"] == inspector
    assert found["session "]["why"] == "has tasks of its own"
    assert "second-id" not in json.dumps(statistics)
    assert "id-of-a-session" not in json.dumps(statistics)


@pytest.mark.parametrize("isolation", ["shared", "session"])
def test_statistics_name_the_setting_where_it_is_the_reason(isolation: Isolation, timers: Timers) -> None:
    made = service(isolation, stateless=False)
    made.slot_for(CLIENTS["session"])
    made.slot_for(CLIENTS["stateless"])
    assert all(f'isolation = "{isolation}"' in slot["why"] for slot in slots_of(made))


# -- lanes -----------------------------------------------------------------------------------------------------------


class Timers:
    """What `Lanes` uses of an event loop, and the gateway's clock, turned by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock(0.0)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.clock.now_s()

    def call_at(self, when_s: float, step: Callable[..., None], *args: object) -> SimpleNamespace:
        number = next(self._numbers)
        heapq.heappush(self._due, (when_s, number, lambda: step(*args)))
        return SimpleNamespace(cancel=lambda: self._cancelled.add(number))

    def call_later(self, delay_s: float, step: Callable[..., None], *args: object) -> SimpleNamespace:
        return self.call_at(self.time() + delay_s, step, *args)

    def advance(self, seconds: float) -> None:
        end_s = self.time() + seconds
        while self._due and self._due[0][0] <= end_s:
            when_s, number, step = heapq.heappop(self._due)
            self.clock.advance(max(0.0, when_s - self.time()))
            if number not in self._cancelled:
                step()
        self.clock.advance(end_s - self.time())


class Host:
    """A service whose connections open when the test says so."""

    name = "files"

    def __init__(self, timers: Timers, most: int) -> None:
        self.slots: dict[str, Slot] = {}
        self.followed: set[str] = set()
        self.opens = True
        """At once; else they wait in `opening`."""
        self.fails: TidegateError | None = None
        self.opening: deque[tuple[Slot, Use, Fail]] = deque()
        self.lanes = Lanes(self, timers.clock, most=most, idle_s=3600.0, wait_s=300.0)

    def use_slot(self, slot: Slot, client: ClientView, use: Use, fail: Fail) -> None:
        if slot.connection is None and self.fails is not None:
            fail(self.fails)
            return
        if slot.connection is None and not self.opens:
            slot.opening = True
            self.opening.append((slot, use, fail))
            return
        if slot.connection is None:
            slot.connection = cast(Connection, SimpleNamespace(working=0, has_tasks=False, line=None))
        use(slot, slot.connection)

    def acquire_askable(
        self, client: ClientView, use: Lease, fail: Fail, wanted: Callable[[], bool] | None = None
    ) -> None:
        use(
            Slot("stateless", None),
            cast(Connection, SimpleNamespace(working=0, has_tasks=False, line=None)),
            lambda finished: None,
        )

    def close_slot(self, key: str) -> None:
        slot = self.slots.pop(key)
        assert not slot.leased
        slot.closed = True

    def is_followed(self, slot: Slot) -> bool:
        return slot.key in self.followed

    def request(self, client: ClientView) -> Request:
        return Request(self, client)


class Request:
    """One that holds a lane until it is done."""

    def __init__(self, host: Host, client: ClientView) -> None:
        self.slot: Slot | None = None
        self.error: TidegateError | None = None
        self.release: Release | None = None
        self.given_up = False
        self.goes_wrong = False
        self.over = False
        """Cancelled, of which the lanes are told when they ask."""
        host.lanes.lease(client, self._use, self._fail, lambda: not self.over)

    def served(self) -> bool:
        return self.slot is not None

    def _use(self, slot: Slot, connection: Connection, release: Release) -> None:
        assert not self.served()
        assert not self.over
        assert self.error is None
        if self.given_up:
            release(True)
            return
        if self.goes_wrong:
            raise RuntimeError("this request")
        self.slot, self.release = slot, release

    def _fail(self, error: TidegateError) -> None:
        assert self.error is None
        self.error = error

    def done(self, finished: bool = True) -> None:
        assert self.release is not None
        self.release(finished)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr(lanes_module, "asyncio", SimpleNamespace(get_running_loop=lambda: timers))
    return timers


ANN, BOB = stateless_client(ASKED, "ann"), stateless_client(ASKED, "bob")


def test_a_lane_serves_one_request_at_a_time_and_is_used_again(timers: Timers) -> None:
    host = Host(timers, 4)
    first = host.request(ANN)
    assert first.served()
    second = host.request(ANN)
    assert not second.served()
    first.done()
    assert second.slot is first.slot
    assert len(host.slots) == 1


def test_further_lanes_open_while_requests_wait_and_no_sooner(timers: Timers) -> None:
    host = Host(timers, 4)
    requests = [host.request(ANN) for _ in range(3)]
    timers.advance(0.09)
    assert len(host.slots) == 1
    timers.advance(0.02)
    assert len({id(request.slot) for request in requests}) == 3
    assert None not in [request.slot for request in requests]
    assert len({slot.group for slot in host.slots.values()}) == 1


def test_a_request_that_came_a_moment_ago_opens_no_lane_for_itself(timers: Timers) -> None:
    host = Host(timers, 4)
    host.request(ANN)
    timers.advance(0.05)
    late = [host.request(ANN)]
    timers.advance(0.06)
    late.append(host.request(ANN))
    timers.advance(0.05)
    assert len(host.slots) == 2
    assert [request.slot is not None for request in late] == [True, False]


def test_waiting_requests_are_served_in_their_order(timers: Timers) -> None:
    host = Host(timers, 1)
    requests = [host.request(ANN) for _ in range(5)]
    for at in range(5):
        assert [request.slot is not None for request in requests] == [True] * (at + 1) + [False] * (4 - at)
        timers.advance(1.0)
        requests[at].done()


def test_lanes_are_bounded_and_the_rest_waits(timers: Timers) -> None:
    host = Host(timers, 3)
    requests = [host.request(ANN) for _ in range(10)]
    timers.advance(10.0)
    assert len(host.slots) == 3
    assert sum(request.slot is not None for request in requests) == 3
    assert host.lanes.waiting_for(host.slots[ANN.own_key]) == 7


def test_an_idle_lane_of_another_client_makes_room(timers: Timers) -> None:
    host = Host(timers, 1)
    host.request(ANN).done()
    bob = host.request(BOB)
    assert bob.served()
    assert list(host.slots) == [BOB.own_key]


def test_without_an_idle_lane_a_new_client_is_refused_and_told_the_key(timers: Timers) -> None:
    host = Host(timers, 1)
    ann = host.request(ANN)
    bob = host.request(BOB)
    assert isinstance(bob.error, Overloaded)
    assert "`max_connections`" in str(bob.error)
    assert "`files`" in str(bob.error)
    ann.done()
    assert host.request(BOB).slot is not None


@pytest.mark.parametrize("why", ["followed", "in flight", "has tasks", "settling", "opening"])
def test_a_lane_that_somebody_would_miss_makes_no_room(timers: Timers, why: str) -> None:
    host = Host(timers, 1)
    ann = host.request(ANN)
    slot = ann.slot
    assert slot is not None
    ann.done(finished=why != "settling")
    if why == "followed":
        host.followed.add(slot.key)
    elif why == "in flight":
        cast(Any, slot.connection).working = 1
    elif why == "has tasks":
        cast(Any, slot.connection).has_tasks = True
    elif why == "opening":
        slot.opening = True
    assert isinstance(host.request(BOB).error, Overloaded)
    assert list(host.slots) == [ANN.own_key]


def test_the_main_lane_is_the_last_to_make_room(timers: Timers) -> None:
    """It alone knows what the server offers."""
    host = Host(timers, 2)
    first, second = host.request(ANN), host.request(ANN)
    timers.advance(0.2)
    assert second.served()
    first.done()  # Main, and the one that idles longest.
    assert isinstance(host.request(BOB).error, Overloaded)
    timers.advance(1.0)
    second.done()
    assert host.request(BOB).slot is not None
    assert set(host.slots) == {ANN.own_key, BOB.own_key}


def test_a_lane_that_was_given_up_unanswered_serves_nobody_for_a_while(timers: Timers) -> None:
    host = Host(timers, 1)
    host.request(ANN).done(finished=False)
    second = host.request(ANN)
    timers.advance(4.9)
    assert not second.served()
    assert list(host.slots) == [ANN.own_key]
    timers.advance(0.3)
    assert second.served()


def test_one_that_waits_longer_than_a_call_may_take_hears_why(timers: Timers) -> None:
    host = Host(timers, 1)
    host.request(ANN)
    second = host.request(ANN)
    timers.advance(299.0)
    assert host.lanes.waiting_for(host.slots[ANN.own_key]) == 1
    timers.advance(1.1)
    assert isinstance(second.error, UpstreamTimeout)
    assert "`files`" in str(second.error)
    assert "300 s" in str(second.error)
    assert not second.served()


def test_room_that_comes_later_is_used(timers: Timers) -> None:
    host = Host(timers, 2)
    ann, bob = host.request(ANN), host.request(BOB)
    more = host.request(ANN)
    timers.advance(5.0)
    assert not more.served()
    bob.done()
    timers.advance(0.2)
    assert more.served()
    assert more.slot is not ann.slot


def test_a_lane_is_given_back_once(timers: Timers) -> None:
    host = Host(timers, 1)
    first, second, third = (host.request(ANN) for _ in range(3))
    first.done()
    first.done()
    first.done(finished=False)
    assert not third.served()
    assert second.slot is not None
    assert second.slot.leased


def test_many_requests_that_were_given_up_while_they_waited_are_passed_over(timers: Timers) -> None:
    host = Host(timers, 1)
    first = host.request(ANN)
    gone = [host.request(ANN) for _ in range(1000)]
    for request in gone:
        request.given_up = True
    last = host.request(ANN)
    first.done()
    assert last.served()


def test_a_waiting_request_that_goes_wrong_harms_neither_the_one_before_nor_the_one_behind(timers: Timers) -> None:
    host = Host(timers, 1)
    first, second, third = (host.request(ANN) for _ in range(3))
    second.goes_wrong = True
    first.done()
    assert second.error is not None
    assert "this request" in str(second.error)
    assert third.error is None
    # The server may have got it, and ask.
    timers.advance(6.0)
    assert third.served()


def test_requests_that_are_over_open_no_lanes(timers: Timers) -> None:
    """Each further lane of a stdio server is a process."""
    host = Host(timers, 8)
    host.request(ANN)
    gone = [host.request(ANN) for _ in range(5)]
    for request in gone:
        request.over = True
    timers.advance(1.0)
    assert len(host.slots) == 1
    assert host.lanes.waiting_for(host.slots[ANN.own_key]) == 0
    last = host.request(ANN)
    timers.advance(0.2)
    assert last.served()
    assert len(host.slots) == 2
    timers.advance(1000.0)
    assert [request.error for request in gone] == [None] * 5


def test_requests_that_are_over_keep_no_place(timers: Timers) -> None:
    host = Host(timers, 1)
    first = host.request(ANN)
    gone = [host.request(ANN) for _ in range(1024)]
    for request in gone:
        request.over = True
    last = host.request(ANN)
    assert last.error is None
    first.done()
    assert last.served()


def test_a_lane_goes_to_the_first_request_that_is_not_over(timers: Timers) -> None:
    host = Host(timers, 1)
    first, second, third = (host.request(ANN) for _ in range(3))
    second.over = True
    first.done()
    assert third.served()
    assert not second.served()


def test_more_than_may_wait_are_refused_in_words(timers: Timers) -> None:
    host = Host(timers, 1)
    requests = [host.request(ANN) for _ in range(1026)]
    assert [request.error is None for request in requests] == [True] * 1025 + [False]
    assert isinstance(requests[-1].error, Overloaded)


def test_a_further_lane_that_cannot_be_opened_gives_its_request_back(timers: Timers) -> None:
    """There are servers that serve one client only."""
    host = Host(timers, 4)
    first = host.request(ANN)
    host.fails = UpstreamUnreachable("one at a time, please")
    second, third = host.request(ANN), host.request(ANN)
    timers.advance(30.0)
    assert (second.error, third.error) == (None, None)
    assert list(host.slots) == [ANN.own_key]
    first.done()
    assert second.served()
    second.done()
    assert third.served()
    third.done()


def test_a_main_lane_that_cannot_be_opened_fails_its_request(timers: Timers) -> None:
    host = Host(timers, 4)
    host.fails = UpstreamUnreachable("not today")
    assert host.request(ANN).error is host.fails
    assert host.request(ANN).error is host.fails


def test_waiting_requests_hear_when_the_server_is_gone_for_good(timers: Timers) -> None:
    host = Host(timers, 1)
    host.opens = False
    first, second = host.request(ANN), host.request(ANN)
    timers.advance(1.0)
    ((_, _, fail),) = host.opening
    host.fails = UpstreamUnreachable("it died")
    fail(host.fails)
    assert first.error is host.fails
    assert second.error is host.fails


def test_idle_lanes_are_closed_the_main_one_after_a_session_would_be(timers: Timers) -> None:
    host = Host(timers, 4)
    for request in [host.request(ANN) for _ in range(3)]:
        timers.advance(0.2)
        assert request.served()
    for slot in host.slots.values():
        assert slot.leased
    held = list(host.slots.values())[1]
    for slot in list(host.slots.values()):
        if slot is not held:
            slot.leased = False
    timers.advance(100.0)
    assert list(host.slots) == [ANN.own_key, held.key]
    held.leased = False
    timers.advance(100.0)
    assert list(host.slots) == [ANN.own_key]
    timers.advance(3400.0)
    assert list(host.slots) == [ANN.own_key]
    timers.advance(200.0)
    assert list(host.slots) == []
    assert host.request(ANN).slot is not None


def test_a_lane_that_is_followed_stays(timers: Timers) -> None:
    host = Host(timers, 4)
    host.request(ANN).done()
    host.followed.add(ANN.own_key)
    timers.advance(10_000.0)
    assert list(host.slots) == [ANN.own_key]
    host.followed.clear()
    timers.advance(31.0)
    assert not host.slots


def test_when_the_server_turns_out_to_keep_no_sessions_those_who_wait_are_served_there(timers: Timers) -> None:
    host = Host(timers, 1)
    host.request(ANN)
    second = host.request(ANN)
    host.lanes.forget(host.slots.pop(ANN.own_key))
    assert second.slot is not None
    assert second.slot.key == "stateless"
    timers.advance(1000.0)
    assert second.error is None


def test_at_the_end_those_who_wait_hear_it(timers: Timers) -> None:
    host = Host(timers, 1)
    host.request(ANN)
    second = host.request(ANN)
    host.lanes.close()
    assert isinstance(second.error, Overloaded)
    timers.advance(10_000.0)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("request"), st.sampled_from([ANN, BOB])),
        st.tuples(st.just("done"), st.integers(0, 20)),
        st.tuples(st.just("give up"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from([0.05, 0.2, 6.0, 70.0, 4000.0])),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(actions, st.integers(1, 3))
def test_whatever_happens_lanes_stay_bounded_and_nobody_shares_one(steps: list[tuple[str, Any]], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        timers = Timers()
        patch.setattr(lanes_module, "asyncio", SimpleNamespace(get_running_loop=lambda: timers))
        host = Host(timers, most)
        running: list[tuple[ClientView, Request]] = []
        for kind, value in steps:
            if kind == "request":
                running.append((value, host.request(value)))
            elif kind == "wait":
                timers.advance(value)
            else:
                held = [pair for pair in running if pair[1].slot is not None]
                if value < len(held):
                    running.remove(held[value])
                    held[value][1].done(finished=kind == "done")
            running = [pair for pair in running if pair[1].error is None]
            held = [pair for pair in running if pair[1].slot is not None]
            assert len({id(request.slot) for _, request in held}) == len(held) <= most
            assert len(host.slots) <= most
            for client, request in held:
                assert request.slot is not None
                assert request.slot.group == client.own_key
                assert host.slots[request.slot.key] is request.slot
        # Once all lanes come back, everybody is served or told.
        for _ in range(len(running) + 1):
            for pair in [pair for pair in running if pair[1].slot is not None]:
                running.remove(pair)
                pair[1].done()
            timers.advance(6.0)
        assert [pair for pair in running if pair[1].slot is None and pair[1].error is None] == []
