"""A server that goes wrong while it is being found out: whoever waits for it hears so."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import anyio
import pytest

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Backend, Limits
from tidegate.errors import TidegateError, UpstreamUnreachable
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.own_answers.seam import NO_ANSWERS
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.link import Call, LinkOwner
from tidegate.pipeline.upstream.negotiate import HandshakeRefused
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot

pytestmark = pytest.mark.anyio

STATELESS, SESSION = ClientView(stateless=True), ClientView(stateless=False)
DISCOVERED = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
GREETED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "files", "version": "1"},
}
UNKNOWN_METHOD = {"code": -32601, "message": "no such method"}

Say = Callable[["Link", str, Call], None]


class Link:
    """One to a server that a test plays."""

    cancels_by_closing = False

    def __init__(self, transport: str, say: Say) -> None:
        self.transport = transport
        self.closed = False
        self._say = say

    async def open(self, owner: LinkOwner) -> None:
        self._owner = owner

    def send(self, message: bytes, call: Call | None) -> None:
        if call is not None:
            self._say(self, call.method, call)

    def result(self, call: Call, value: object) -> None:
        self._receive(call, {"result": value})

    def error(self, call: Call, value: object) -> None:
        self._receive(call, {"error": value})

    def fail(self, call: Call, error: TidegateError) -> None:
        self._owner.call_failed(call, error)

    def _receive(self, call: Call, said: dict[str, object]) -> None:
        self._owner.received(json.dumps({"jsonrpc": "2.0", "id": json.loads(call.id), **said}).encode(), None)

    def abandon(self, call: Call) -> None:
        pass

    def stateful(self, version: str) -> None:
        pass

    def stateless(self, version: str) -> None:
        pass

    async def aclose(self) -> None:
        self.closed = True

    def statistics(self) -> dict[str, object]:
        return {}


class Owner:
    """A gateway with one backend."""

    def __init__(self, tasks: anyio.abc.TaskGroup, say: Say, backend: Backend) -> None:
        self.limits = Limits()
        self.documents = None
        self.rules = None
        self.own_answers = NO_ANSWERS
        self.clock = ManualClock()
        self.links: list[Link] = []
        self._tasks = tasks
        self._say = say
        self.service = Service(backend, cast(Any, self))

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        self._tasks.start_soon(cast(Any, step), *args, name=name)

    def make_link(self, backend: Backend, transport: str) -> Link:
        self.links.append(Link(transport, self._say))
        return self.links[-1]

    def list_changed(self, *args: object) -> None:
        pass

    resource_updated = logged = slot_changed = list_changed

    def is_followed(self, *args: object) -> bool:
        return False

    def request(self, client: ClientView) -> Request:
        return Request(self.service, client)


class Request:
    """One that wants a connection."""

    def __init__(self, service: Service, client: ClientView) -> None:
        self.slot: Slot | None = None
        self.error: TidegateError | None = None
        self.over = anyio.Event()
        service.acquire(client, self._use, self._fail)

    def _use(self, slot: Slot, connection: Connection) -> None:
        assert not self.over.is_set()
        self.slot = slot
        self.over.set()

    def _fail(self, error: TidegateError) -> None:
        assert not self.over.is_set()
        self.error = error
        self.over.set()


async def over(*requests: Request) -> None:
    with anyio.fail_after(3):
        for request in requests:
            await request.over.wait()


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(3):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.001)


class Held:
    """Answers that a test gives later; everything else as `table` has it."""

    def __init__(self, held: str, table: Mapping[str, Callable[[Link, Call], None]]) -> None:
        self.calls: list[tuple[Link, Call]] = []
        self._held = held
        self._table = table

    def __call__(self, link: Link, method: str, call: Call) -> None:
        if method == self._held:
            self.calls.append((link, call))
        elif method in self._table:
            self._table[method](link, call)

    async def call(self) -> tuple[Link, Call]:
        await until(lambda: bool(self.calls))
        return self.calls.pop(0)


def unknown(link: Link, call: Call) -> None:
    link.error(call, UNKNOWN_METHOD)


def greeted(link: Link, call: Call) -> None:
    link.result(call, GREETED)


def discovered(link: Link, call: Call) -> None:
    link.result(call, DISCOVERED)


def backend(**more: Any) -> Backend:
    return Backend("files", **{"transport": "stdio", "start_timeout_s": 2.0, "probe_timeout_s": 1.0, **more})


@pytest.mark.parametrize("at", ["initialize", "tools/list"])
async def test_who_joins_a_probed_link_hears_that_it_failed(at: str) -> None:
    held = Held(at, {"server/discover": unknown, "initialize": greeted})
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, held, backend())
        first = owner.request(STATELESS)
        link, call = await held.call()
        second = owner.request(SESSION)
        link.fail(call, UpstreamUnreachable("it fell over"))
        await over(first, second)
        assert "it fell over" in str(first.error)
        assert "it fell over" in str(second.error)
        await until(lambda: link.closed)
        assert not any(slot.opening for slot in owner.service.slots.values())
        await owner.service.aclose()


async def test_who_joins_a_probed_link_hears_that_it_was_refused() -> None:
    held = Held("initialize", {"server/discover": unknown})
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, held, backend())
        first = owner.request(STATELESS)
        link, call = await held.call()
        second = owner.request(SESSION)
        unknown(link, call)
        await over(first, second)
        assert isinstance(second.error, HandshakeRefused)
        assert link.closed
        await owner.service.aclose()


async def test_who_joins_a_probed_link_hears_that_it_took_too_long() -> None:
    held = Held("initialize", {"server/discover": unknown})
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, held, backend(start_timeout_s=0.05, probe_timeout_s=0.05))
        first = owner.request(STATELESS)
        link, _ = await held.call()
        second = owner.request(SESSION)
        await over(first, second)
        assert first.error is not None
        assert second.error is not None
        await until(lambda: link.closed)
        await owner.service.aclose()


async def test_who_joins_a_probed_link_is_served_over_the_older_transport() -> None:
    def only_older(link: Link, call: Call) -> None:
        if link.transport == "http":
            refusal = HandshakeRefused("405")
            refusal.data = 405
            link.fail(call, refusal)
        else:
            greeted(link, call)

    listed = {"tools/list": lambda link, call: link.result(call, {"tools": []})}
    held = Held("initialize", {"server/discover": unknown, **listed})
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, held, backend(transport="http", url="http://127.0.0.1:1/"))
        # Nobody waits for the probe itself.
        owner.service.slots["stateless"] = probing = Slot("stateless", None)
        owner.service.open_soon(probing)
        link, call = await held.call()
        second = owner.request(SESSION)
        only_older(link, call)
        for _ in range(2):
            only_older(*await held.call())
        await over(second)
        assert second.slot is not None
        assert owner.service.statistics()["transport"] == "sse"
        await owner.service.aclose()


async def test_who_joins_a_stateless_link_hears_that_it_failed() -> None:
    held = Held("tools/list", {"server/discover": discovered, "initialize": unknown})
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, held, backend())
        first = owner.request(SESSION)
        link, call = await held.call()
        second = owner.request(STATELESS)
        link.fail(call, UpstreamUnreachable("it fell over"))
        await over(first, second)
        assert "it fell over" in str(first.error)
        assert "it fell over" in str(second.error)
        await until(lambda: link.closed)
        await owner.service.aclose()


@pytest.mark.parametrize("first", [STATELESS, SESSION])
async def test_a_service_that_ends_keeps_no_link_that_was_being_found_out(first: ClientView) -> None:
    table = {"server/discover": unknown, "initialize": greeted}
    if not first.stateless:
        table = {"server/discover": discovered, "initialize": unknown}
    held = Held("tools/list", table)
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, held, backend())
        asked = [owner.request(first)]
        link, call = await held.call()
        asked.append(owner.request(STATELESS if not first.stateless else SESSION))
        await owner.service.aclose()
        link.result(call, {"tools": []})
        await over(*asked)
        assert all(request.error is not None for request in asked)
        await until(lambda: link.closed)
        assert all(slot.connection is None for slot in owner.service.slots.values())


def older(what: str) -> Say:
    """A server over HTTP that speaks to nobody, and over the older transport does `what`."""

    def say(link: Link, method: str, call: Call) -> None:
        if method == "server/discover" and what == "stateless":
            link.result(call, DISCOVERED)
        elif method == "server/discover":
            unknown(link, call)
        elif method == "tools/list":
            link.result(call, {"tools": []})
        elif link.transport == "http":
            refusal = HandshakeRefused("HTTP status 405")
            refusal.data = 405
            link.fail(call, refusal)
        elif what == "hangs":
            return
        elif what == "fails":
            link.fail(call, UpstreamUnreachable("it fell over"))
        else:
            unknown(link, call)

    return say


@pytest.mark.parametrize("what", ["refuses", "fails", "hangs", "stateless"])
async def test_the_older_transport_that_does_not_work_either_is_left(what: str) -> None:
    async with anyio.create_task_group() as tasks:
        short_s = 0.05 if what == "hangs" else 2.0
        limits = {"start_timeout_s": short_s, "probe_timeout_s": short_s}
        owner = Owner(tasks, older(what), backend(transport="http", url="http://127.0.0.1:1/", **limits))
        first = owner.request(SESSION)
        await over(first)
        if what == "stateless":
            assert first.slot is not None
            assert first.slot.key == "stateless"
        else:
            said = {"refuses": "no such method", "fails": "it fell over", "hangs": "0.1 s"}[what]
            assert said in str(first.error)
        assert [link.transport for link in owner.links][:2] == ["http", "sse"]
        await until(lambda: owner.links[1].closed)
        assert owner.service.statistics()["transport"] == "http"
        await owner.service.aclose()


async def test_a_server_that_is_too_slow_is_told_with_the_time_it_had_and_the_keys() -> None:
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, Held("initialize", {}), backend(start_timeout_s=0.05, probe_timeout_s=0.02))
        # It is found out, then greeted: one opening.
        error = owner.service._why(TimeoutError())
        for words in ("within 0.07 s", "`start_timeout_s`", "`probe_timeout_s`"):
            assert words in str(error)
        await owner.service.aclose()


async def test_a_service_that_ended_does_not_blame_the_configuration_alone() -> None:
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, Held("initialize", {}), backend())
        await owner.service.aclose()
        request = owner.request(SESSION)
        await over(request)
        assert "shutting down" in str(request.error)
        assert "configuration" in str(request.error)


async def test_a_slot_that_was_closed_is_waited_for_by_nobody() -> None:
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, Held("initialize", {}), backend())
        slot = owner.service.slots["someone"] = Slot("someone", SESSION)
        owner.service.close_slot("someone")
        errors: list[TidegateError] = []
        owner.service.use_slot(slot, SESSION, lambda slot, connection: None, errors.append)
        assert len(errors) == 1
        await owner.service.aclose()


async def test_a_link_that_could_not_be_opened_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_endpoint(link: Link, owner: LinkOwner) -> None:
        raise UpstreamUnreachable("it named no endpoint in time")

    monkeypatch.setattr(Link, "open", no_endpoint)
    async with anyio.create_task_group() as tasks:
        owner = Owner(tasks, Held("initialize", {}), backend())
        request = owner.request(SESSION)
        await over(request)
        assert "no endpoint" in str(request.error)
        await until(lambda: owner.links[0].closed)
        await owner.service.aclose()
