"""Calls that wait for answers, in whatever order things come: model-based, without a socket and in turned time.

The real `Calls`, `Service`, `Lanes`, `Connection`, `SuspendableCall` and `Rounds`; servers, clients and time are the
machine's. Whatever happens, each request ends once, each question is answered once and by its own client, and nothing
is left when all is over.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Backend, Limits, Sampling
from tidegate.errors import TidegateError, UpstreamClosed, UpstreamUnreachable
from tidegate.pipeline.calls import Calls
from tidegate.pipeline.codec import Envelope, scan
from tidegate.pipeline.era.bridge.rounds import Rounds
from tidegate.pipeline.era.modern import ClientViews, StatelessExchange
from tidegate.pipeline.exchange import CallListener, ClientView, Exchange, Question, SessionPort
from tidegate.pipeline.own_answers.answers import OwnAnswers
from tidegate.pipeline.own_answers.seam import NO_ANSWERS
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.dialect import SessionDialect
from tidegate.pipeline.upstream.link import Call, Link
from tidegate.pipeline.upstream.service import Service, ServiceOwner
from tidegate.pipeline.upstream.slot import Slot

PRINCIPALS = {name: Principal(name, None, rate_per_s=0, burst=0) for name in ("ann", "bob")}
ABILITIES: list[dict[str, object]] = [{"elicitation": {}}, {"elicitation": {}, "roots": {}}]
LIMITS = Limits(suspended=4, suspended_per_client=3, suspended_s=30.0)
CALL_TIMEOUT_S = 60.0
STEPS_S = [0.0, 0.005, 0.02, 0.15, 6.0, 31.0, 70.0]


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


class TurnedLoop:
    """What the pipeline uses of an event loop."""

    def __init__(self) -> None:
        self.clock = ManualClock(0.0)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.armed: set[int] = set()

    def time(self) -> float:
        return self.clock.now_s()

    def call_at(self, when_s: float, step: Callable[..., None], *args: object) -> SimpleNamespace:
        number = next(self._numbers)
        self.armed.add(number)
        heapq.heappush(self._due, (when_s, number, lambda: step(*args)))
        return SimpleNamespace(cancel=lambda: self.armed.discard(number))

    def call_later(self, delay_s: float, step: Callable[..., None], *args: object) -> SimpleNamespace:
        return self.call_at(self.time() + delay_s, step, *args)

    def call_soon(self, step: Callable[..., None], *args: object) -> SimpleNamespace:
        return self.call_later(0.0, step, *args)

    def advance(self, seconds: float) -> None:
        end_s = self.time() + seconds
        for _ in range(100_000):
            if not self._due or self._due[0][0] > end_s:
                break
            when_s, number, step = heapq.heappop(self._due)
            self.clock.advance(max(0.0, when_s - self.time()))
            if number in self.armed:
                self.armed.discard(number)
                step()
        else:
            raise AssertionError("a timer runs hot")
        self.clock.advance(max(0.0, end_s - self.time()))


# -- a stateless client, a session server ----------------------------------------------------------------------------


class Work:
    """A request as the server has it."""

    def __init__(self, connection: Connection, call: Call, request: Any) -> None:
        self.connection = connection
        self.call = call
        self.id = request["id"]
        self.number: int = request["params"]["arguments"]["n"]
        self.over = False


class FakeLink:
    """The server's side of one connection."""

    cancels_by_closing = False

    def __init__(self, tells_cause: bool) -> None:
        self.tells_cause = tells_cause
        self.work: list[Work] = []
        self.replies: dict[str, list[Any]] = {}
        """To each question that was asked here."""
        self.connection: Connection | None = None

    def send(self, message: bytes, call: Call | None) -> None:
        parsed = json.loads(message)
        assert self.connection is not None
        if call is not None:
            self.work.append(Work(self.connection, call, parsed))
        elif "method" not in parsed:
            self.replies[parsed["id"]].append(parsed)
        elif parsed["method"] == "notifications/cancelled":
            for one in self.work:
                if one.id == parsed["params"]["requestId"]:
                    one.over = True

    def abandon(self, call: Call) -> None: ...

    async def aclose(self) -> None: ...


class Outlet:
    alive = True

    def __init__(self) -> None:
        self.replies: list[Any] = []

    def reply(self, message: bytes, code: int | None) -> None:
        self.replies.append(json.loads(message))

    def notify(self, message: bytes) -> None: ...


class Ask:
    """A request of a client, and the first one of its chain of retries."""

    def __init__(self, exchange: StatelessExchange, outlet: Outlet, number: int) -> None:
        self.exchange = exchange
        self.outlet = outlet
        self.number = number
        self.ends = 0
        self.cancelled = False
        exchange.on_done = self._done

    def _done(self, exchange: Exchange, code: int | None, error: TidegateError | None) -> None:
        self.ends += 1


class Suspending(RuleBasedStateMachine):
    """`transport` decides whether questions tell whose they are."""

    transport = "stdio"

    def __init__(self) -> None:
        super().__init__()
        self.loop = TurnedLoop()
        asyncio._set_running_loop(cast(asyncio.AbstractEventLoop, self.loop))
        self.opening: list[Slot] = []
        owner = SimpleNamespace(
            limits=LIMITS,
            documents=None,
            rules=None,
            own_answers=NO_ANSWERS,
            clock=self.loop.clock,
            spawn=self._spawn,
            is_followed=lambda *args: False,
            slot_changed=lambda *args: None,
            list_changed=lambda *args: None,
        )
        backend = Backend("files", cast(Any, self.transport), max_connections=4, call_timeout_s=CALL_TIMEOUT_S)
        self.service = Service(backend, cast(ServiceOwner, owner))
        self.service.stateless, self.service.keeps_session = False, True
        self.calls = Calls(
            LIMITS, self.loop.clock, OwnAnswers(Sampling(), LIMITS, lambda exchange: None, lambda client, name: None)
        )
        self.links: list[FakeLink] = []
        self.asks: list[Ask] = []
        self.questions: dict[str, tuple[FakeLink, Work]] = {}
        self.shown: list[tuple[Ask, Any]] = []
        """Every `InputRequiredResult`."""
        self.numbers = itertools.count(1)
        released = self.service._lanes._released

        def watched(slot: Slot, finished: bool) -> None:
            assert slot.leased, "released twice"
            released(slot, finished)

        self.service._lanes._released = watched  # type: ignore[method-assign]

    def _spawn(self, step: Callable[..., Any], *args: Any, name: str) -> None:
        if name.startswith("open"):
            self.opening.append(args[0])

    # -- clients ----------------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(sorted(PRINCIPALS)), abilities=st.sampled_from(ABILITIES), at_once=st.integers(0, 3))
    def begins(self, who: str, abilities: dict[str, object], at_once: int) -> None:
        number = next(self.numbers)
        self._send(who, abilities, {"name": "t", "arguments": {"n": number}}, number)
        if at_once:
            for slot in list(self.opening):
                self._open(slot, True)

    def _send(self, who: str, abilities: dict[str, object], params: dict[str, object], number: int) -> Ask:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": abilities,
        }
        request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {**params, "_meta": meta}}
        message = dump(request)
        envelope = scan(message)
        client = ClientViews().read(message, envelope, PRINCIPALS[who])
        outlet = Outlet()
        exchange = StatelessExchange(message, envelope, client, PRINCIPALS[who], "tcp", outlet)
        exchange.backend = "files"
        ask = Ask(exchange, outlet, number)
        self.asks.append(ask)
        self.calls.send(exchange, Target(self.service, "t", []))
        return ask

    @precondition(lambda self: self.shown)
    @rule(data=st.data())
    def comes_back(self, data: st.DataObject) -> None:
        ask, result = data.draw(st.sampled_from(self.shown[-8:]))
        keys = data.draw(st.sets(st.sampled_from([*result["inputRequests"], "q0", "q1"])))
        responses: dict[str, object] = {}
        for key in keys:
            shown = result["inputRequests"].get(key)
            said = shown["params"]["message"] if shown is not None else "not shown"
            if said != "not shown":
                responses[key] = {"action": "accept", "content": {"said": said}}
        meta = json.loads(ask.exchange.message)["params"]["_meta"]
        thief = data.draw(st.sampled_from([False, False, False, True]))
        who = ask.exchange.principal.name
        if thief:
            who = "bob" if who == "ann" else "ann"
        self._came_back(
            who,
            meta["io.modelcontextprotocol/clientCapabilities"],
            {"inputResponses": responses, "requestState": result["requestState"]},
            ask.number,
        )
        if thief:
            (reply,) = self.asks[-1].outlet.replies
            assert reply["error"]["code"] == -32602

    def _came_back(self, who: str, abilities: dict[str, object], more: dict[str, object], number: int) -> None:
        self._send(who, abilities, {"name": "t", "arguments": {"n": number}, **more}, number)

    @precondition(lambda self: any(not ask.exchange.done for ask in self.asks))
    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        ask = data.draw(st.sampled_from([ask for ask in self.asks if not ask.exchange.done]))
        ask.cancelled = True
        ask.exchange.cancel()

    # -- servers ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.opening)
    @rule(data=st.data(), works=st.sampled_from([True, True, True, False]))
    def opens(self, data: st.DataObject, works: bool) -> None:
        slot = data.draw(st.sampled_from(self.opening))
        self._open(slot, works)

    def _open(self, slot: Slot, works: bool) -> None:
        self.opening.remove(slot)
        if not works:
            self.service._open_failed(slot, UpstreamUnreachable("backend `files` is not there"))
            return
        slot.opening = False
        if slot.closed:
            self.service._turn_away(slot)
            return
        link = FakeLink(self.transport == "http")
        connection = Connection("files", cast(Link, link), self.service, depth=64, session=None)
        connection.speak(SessionDialect())
        link.connection = connection
        self.links.append(link)
        self.service._opened(slot, connection, None)

    @property
    def at_work(self) -> list[Work]:
        return [
            one
            for link in self.links
            if link.connection is not None and not link.connection.closed
            for one in link.work
            if not one.over
        ]

    @precondition(lambda self: self.at_work)
    @rule(data=st.data(), count=st.integers(1, 3), then_s=st.sampled_from([0.0, 0.02]))
    def asks_something(self, data: st.DataObject, count: int, then_s: float) -> None:
        work = data.draw(st.sampled_from(self.at_work))
        for _ in range(count):
            self._ask(work)
        self.loop.advance(then_s)

    def _ask(self, work: Work) -> str:
        link = cast(FakeLink, work.connection.link)
        name = f"s{len(self.questions) + 1}"
        self.questions[name] = (link, work)
        link.replies[name] = []
        params = {"message": f"{name} of {work.number}", "requestedSchema": {"type": "object", "properties": {}}}
        question = {"jsonrpc": "2.0", "id": name, "method": "elicitation/create", "params": params}
        work.connection.received(dump(question), work.call if link.tells_cause else None)
        return name

    @precondition(lambda self: self.at_work)
    @rule(data=st.data(), error=st.booleans(), asks_on=st.booleans())
    def answers(self, data: st.DataObject, error: bool, asks_on: bool) -> None:
        work = data.draw(st.sampled_from(self.at_work))
        self._answer(work, error)
        link = cast(FakeLink, work.connection.link)
        if asks_on and link.tells_cause:
            assert link.replies[self._ask(work)], "asked after the end, and not refused"

    def _answer(self, work: Work, error: bool = False) -> None:
        work.over = True
        body: dict[str, object] = {"jsonrpc": "2.0", "id": work.id}
        said = str(work.number)
        if error:
            body["error"] = {"code": -32603, "message": said}
        else:
            body["result"] = {"content": [{"type": "text", "text": said}]}
        work.connection.received(dump(body), work.call if self.transport == "http" else None)

    @precondition(lambda self: self.questions)
    @rule(data=st.data())
    def withdraws(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.questions)))
        link, _ = self.questions[name]
        if link.connection is not None and not link.connection.closed and not link.replies[name]:
            notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": name}}
            link.connection.received(dump(notice), None)
            link.replies[name].append("withdrawn")

    @precondition(lambda self: any(not cast(Connection, link.connection).closed for link in self.links))
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        live = [link for link in self.links if not cast(Connection, link.connection).closed]
        link = data.draw(st.sampled_from(live))
        cast(Connection, link.connection).lost(UpstreamClosed("backend `files` was ended by signal SIGKILL"))

    @rule(seconds=st.sampled_from(STEPS_S))
    def time_passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    # -- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def each_request_ends_once_and_with_its_own(self) -> None:
        self.shown = []
        for ask in self.asks:
            assert ask.ends == (1 if ask.exchange.done else 0)
            assert len(ask.outlet.replies) == (1 if ask.exchange.done and not ask.cancelled else 0)
            for reply in ask.outlet.replies:
                result = reply.get("result", {})
                if result.get("resultType") == "input_required":
                    self.shown.append((ask, result))
                    for shown in result["inputRequests"].values():
                        assert shown["params"]["message"].endswith(f" of {ask.number}")
                elif "content" in result:
                    assert result["content"][0]["text"] == str(ask.number)
                elif reply["error"]["code"] == -32603 and reply["error"]["message"].isdigit():
                    assert reply["error"]["message"] == str(ask.number)

    @invariant()
    def each_question_is_answered_once_and_with_its_own(self) -> None:
        for name, (link, work) in self.questions.items():
            replies = link.replies[name]
            assert len(replies) <= 1, name
            for reply in replies:
                if isinstance(reply, dict) and "result" in reply:
                    assert reply["result"]["content"]["said"] == f"{name} of {work.number}"

    @invariant()
    def a_lane_serves_one(self) -> None:
        for slot in self.service.slots.values():
            if slot.connection is not None and self.transport != "http":
                assert slot.connection.in_flight <= 1
                assert slot.connection.in_flight == 0 or slot.leased

    @invariant()
    def bounds_are_kept(self) -> None:
        table = self.calls.suspended
        assert len(table) <= LIMITS.suspended
        assert self.service._lanes.used <= 4

    def teardown(self) -> None:
        try:
            self._end_all()
        finally:
            asyncio._set_running_loop(None)

    def _end_all(self) -> None:
        for _ in range(400):
            for slot in list(self.opening):
                if slot in self.opening:
                    self._open(slot, True)
            for work in self.at_work:
                if not work.over:
                    self._answer(work)
            self.loop.advance(1.0)
            if all(ask.exchange.done for ask in self.asks) and not self.at_work and not self.opening:
                break
        self.loop.advance(LIMITS.suspended_s + 2.0)
        self.each_request_ends_once_and_with_its_own()
        self.each_question_is_answered_once_and_with_its_own()
        assert all(ask.exchange.done for ask in self.asks)
        assert len(self.calls.suspended) == 0
        assert self.calls.suspended._kept_bytes == 0
        assert len(self.calls.suspended._deadlines) == 0
        assert not any(slot.leased or slot.waiting for slot in self.service.slots.values())
        assert not any(self.service._lanes._waiting.values())
        assert not self.service._lanes._growing
        for link in self.links:
            assert link.connection is not None
            assert not link.connection._pending
            assert not link.connection._asked
        for name, (link, _) in self.questions.items():
            assert link.replies[name] or cast(Connection, link.connection).closed, name


class SuspendingOverHttp(Suspending):
    transport = "http"


# -- a session's client, a stateless server --------------------------------------------------------------------------


class Person:
    """Implements `SessionPort`: holds what it was asked until the machine answers."""

    key = "session"
    transport = "tcp"

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def ask(self, question: Question, cause: Exchange | None) -> None:
        self.asked.append(question)
        question.on_withdrawn = lambda: self.asked.remove(question)

    def tell(self, message: bytes, envelope: Envelope, cause: Exchange | None) -> None: ...


class HeardExchange(Exchange):
    def __init__(self, client: ClientView) -> None:
        message = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}'
        super().__init__(message, scan(message), client, PRINCIPALS["ann"], "tcp")
        self.backend = "files"
        self.ends: list[str] = []

    def send_notification(self, message: bytes, envelope: Envelope) -> None: ...

    def send_result(self, message: bytes, envelope: Envelope, id_edit: tuple[int, int, bytes]) -> None:
        self.ends.append("result")

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        self.ends.append("error")

    def send_error(self, error: TidegateError) -> None:
        self.ends.append(f"failed: {error}")


class Sent:
    """An `OpenCall`."""

    def __init__(self, listener: CallListener, message: bytes) -> None:
        self.listener = listener
        self.params = json.loads(message)["params"]
        self.over = False

    def abandon(self) -> None:
        self.over = True

    def hold(self) -> None: ...

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None: ...


class InRounds(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = TurnedLoop()
        asyncio._set_running_loop(cast(asyncio.AbstractEventLoop, self.loop))
        self.person = Person()
        client = ClientView(
            stateless=False,
            abilities=b'{"elicitation":{"form":{},"url":{}},"roots":{}}',
            session=cast(SessionPort, self.person),
            version="2025-11-25",
        )
        self.exchange = HeardExchange(client)
        self.sent: list[Sent] = []
        self.expected: dict[str, object] = {}
        """What the client has answered in this round, by the server's keys."""
        self.state: object = None
        self.cancelled = False
        self.idle_since_s: float | None = None
        self.idle_sends = 0
        self.rounds = Rounds(self.exchange, self._send, lambda go: go(self._send), 30.0, 64)
        self.rounds.start()

    def _send(self, listener: CallListener, message: bytes, envelope: Envelope) -> Sent:
        assert not self.exchange.done
        assert all(sent.over for sent in self.sent), "sent again while the server works"
        sent = Sent(listener, message)
        if self.sent:
            assert sent.params.get("inputResponses", {}) == self.expected
            assert sent.params.get("requestState") == self.state
        self.sent.append(sent)
        return sent

    @property
    def works(self) -> Sent | None:
        return self.sent[-1] if not self.sent[-1].over else None

    def _say(self, result: dict[str, object]) -> None:
        sent = self.sent[-1]
        sent.over = True
        message = dump({"jsonrpc": "2.0", "id": 7, "result": result})
        sent.listener.answered(message, scan(message))

    @precondition(lambda self: self.works)
    @rule(count=st.integers(0, 3), url=st.sampled_from(["", "https://a", "https://b"]), state=st.integers(0, 9))
    def asks(self, count: int, url: str, state: int) -> None:
        self.state = f"s{state}"
        opened = set(self.rounds._opened)
        self.expected = {}
        requests: dict[str, object] = {}
        for number in range(count):
            requests[f"k{number}"] = {"method": "elicitation/create", "params": {"message": f"k{number}"}}
        if url:
            params = {"mode": "url", "url": url, "message": "url", "elicitationId": url}
            requests["url"] = {"method": "elicitation/create", "params": params}
            if url in opened:
                self.expected["url"] = {"action": "accept", "content": {"said": "url"}}
        self._say({"resultType": "input_required", "requestState": self.state, "inputRequests": requests})

    @precondition(lambda self: self.works)
    @rule(how=st.sampled_from(["result", "error", "failed"]))
    def ends(self, how: str) -> None:
        sent = self.sent[-1]
        sent.over = True
        if how == "failed":
            sent.listener.failed(UpstreamClosed("backend `files` is gone"))
            return
        body = {"result": {"resultType": "complete"}} if how == "result" else {"error": {"code": -1, "message": "x"}}
        message = dump({"jsonrpc": "2.0", "id": 7, **body})
        sent.listener.answered(message, scan(message))

    @precondition(lambda self: self.person.asked)
    @rule(data=st.data(), how=st.sampled_from(["accept", "accept", "decline", "error", "odd", "late twice"]))
    def replies(self, data: st.DataObject, how: str) -> None:
        question = data.draw(st.sampled_from(self.person.asked))
        self.person.asked.remove(question)
        said = json.loads(question.params)["message"]
        body: dict[str, object] = {"result": {"action": "accept", "content": {"said": said}}}
        if how == "decline":
            body = {"result": {"action": "decline"}}
        elif how == "error":
            body = {"error": {"code": -1, "message": "no"}}
        elif how == "odd":
            body = {"result": 5}
        if "result" in body and how != "odd":
            self.expected[said] = body["result"]
        elif how == "error":
            self.expected[said] = {"action": "cancel"}
        message = dump({"jsonrpc": "2.0", "id": 1, **body})
        for _ in range(2 if how == "late twice" else 1):
            question.reply(message, scan(message))

    @precondition(lambda self: not self.exchange.done)
    @rule()
    def cancels(self) -> None:
        self.cancelled = True
        self.exchange.cancel()

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 11.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        before = len(self.sent)
        self.loop.advance(seconds)
        assert len(self.sent) <= before + 1

    @invariant()
    def ends_once_and_leaves_nothing(self) -> None:
        exchange = self.exchange
        assert len(exchange.ends) == (1 if exchange.done and not self.cancelled else 0)
        assert all(not question.answered for question in self.person.asked)
        if exchange.done:
            assert not self.loop.armed
            assert not self.person.asked
            assert all(sent.over for sent in self.sent)
        else:
            # Somebody is always there who must do something.
            assert self.works is not None or self.person.asked or self.loop.armed

    def teardown(self) -> None:
        try:
            self.loop.advance(100.0)
            if not self.exchange.done and self.works is not None:
                self.ends("result")
            self.loop.advance(100.0)
            if not self.exchange.done:
                assert self.works is not None
                self.ends("result")
            assert self.exchange.done
            self.ends_once_and_leaves_nothing()
        finally:
            asyncio._set_running_loop(None)


@pytest.mark.parametrize("machine", [Suspending, SuspendingOverHttp, InRounds])
def test_whatever_order_things_come_in(machine: type[RuleBasedStateMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=checks,
        ),
    )
