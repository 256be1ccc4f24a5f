"""Requests over HTTP whose bytes come one after the other: relayed like those that come at once, and never lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from gateway import House, house
from heard import until
from odd_server import OddServer
from playing import Player
from test_found_by_traffic import call, player, posted

from tidegate.clock import ManualClock
from tidegate.pipeline.accept.http1 import HttpServerProtocol

pytestmark = pytest.mark.anyio


class Piecemeal:
    """A client on one connection, whose bytes reach the gateway in the pieces that it says."""

    def __init__(self, home: House, server: OddServer, client: Player) -> None:
        self.home = home
        self.server = server
        self.client = client
        self.wire = client.wire
        self.relay = home.daemon.gateway.relay
        (self.slow,) = (each for each in home.daemon.registry._open if isinstance(each, HttpServerProtocol))
        assert self.slow.relayed is not None
        self.front: asyncio.Protocol = self.slow.relayed

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.front.data_received(piece)

    async def heard(self, answers: int = 1) -> bytes:
        """So many answers, and nothing else, without what differs from call to call."""
        async with asyncio.timeout(10):
            while self.wire.data.count(b'"jsonrpc"') < answers or not self.wire.data.endswith(b"}"):  # noqa: ASYNC110 - a call takes less than a step of `until`
                await asyncio.sleep(0)
        data, self.wire.data = self.wire.data, b""
        return re.sub(rb'"id":\d+', b'"id":N', data)

    async def asks(self, *pieces: bytes) -> tuple[bytes, bool]:
        """What comes back, and whether it was relayed."""
        before = self.relay.native.relayed
        self.say(*pieces)
        return await self.heard(), self.relay.native.relayed > before

    @property
    def asked(self) -> int:
        """Calls that the server heard of."""
        return len(self.server.said("tools/call"))


@asynccontextmanager
async def piecemeal() -> AsyncIterator[Piecemeal]:
    """No flow is known yet."""
    server = OddServer("modern")
    async with house(server) as home:
        yield Piecemeal(home, server, await player(home, server, "http"))


WHOLE = posted(call(7, "ok"))
HEAD, BODY = WHOLE[: WHOLE.index(b"{")], WHOLE[WHOLE.index(b"{") :]


async def taught(client: Piecemeal) -> bytes:
    """From here on, calls are relayed. The answer to each."""
    answer, _ = await client.asks(WHOLE)
    assert await client.asks(WHOLE) == (answer, True)
    return answer


async def test_a_head_and_its_body_are_relayed_from_the_second_call_on() -> None:
    async with piecemeal() as client:
        answer, _ = await client.asks(HEAD, BODY)
        for number in range(10):
            whole = posted(call(number, "ok"))
            at = whole.index(b"{")
            assert await client.asks(whole[:at], whole[at:]) == (answer, True)
        assert client.asked == 11


async def test_a_real_client_of_two_writes_is_relayed() -> None:
    async with piecemeal() as client:
        answer, _ = await client.asks(HEAD, BODY)
        before = client.relay.native.relayed
        for _ in range(3):
            client.client.say(HEAD)
            due_s = client.slow.deadline_s
            await until(lambda due_s=due_s: client.slow.deadline_s != due_s)
            assert client.wire.data == b""
            client.client.say(BODY)
            assert await client.heard() == answer
        assert client.relay.native.relayed == before + 3


@pytest.mark.parametrize("warm", [False, True], ids=["another's head", "its own head"])
async def test_a_request_in_two_is_answered_as_one_wherever_it_is_cut(warm: bool) -> None:
    async with piecemeal() as client:
        answer = await taught(client)
        for cut in range(len(WHOLE) + 1):
            if not warm:
                await client.asks(WHOLE.replace(b"Accept: ", b"Accept: */*, "))
            pieces = [piece for piece in (WHOLE[:cut], WHOLE[cut:]) if piece]
            # The slow lane reads on in a head that it has begun.
            assert await client.asks(*pieces) == (answer, not 0 < cut < len(HEAD)), cut


async def test_a_body_may_come_in_many_pieces() -> None:
    async with piecemeal() as client:
        answer = await taught(client)
        assert await client.asks(HEAD, BODY[:1], BODY[1:9], BODY[9:]) == (answer, True)
        assert await client.asks(HEAD + BODY[:5], *(BODY[at : at + 1] for at in range(5, len(BODY)))) == (answer, True)


@pytest.mark.parametrize("cut", [0, 3], ids=["behind the body", "in the body"])
async def test_what_is_pipelined_behind_a_body_waits_for_its_answer(cut: int) -> None:
    async with piecemeal() as client:
        answer = await taught(client)
        asked = client.asked
        client.say(HEAD + BODY[:cut], BODY[cut:] + WHOLE + HEAD, BODY)
        assert await client.heard(3) == answer * 3
        assert client.asked == asked + 3
        assert await client.asks(HEAD, BODY) == (answer, True)


async def test_a_long_body_is_put_together_by_the_slow_lane() -> None:
    async with piecemeal() as client:
        for size, relayed in ((60_000, True), (65_536, False)):
            whole = posted(call(7, "ok").replace(b'"do"', b'"x":"%b","do"' % (b"x" * size)))
            head, body = whole[: whole.index(b"{")], whole[whole.index(b"{") :]
            answer, _ = await client.asks(whole)
            assert await client.asks(head, body) == (answer, relayed)
            assert await client.asks(whole) == (answer, True)


@pytest.mark.parametrize(
    ("change", "relayed_again"),
    [
        (lambda client: client.relay.void("test"), True),
        (lambda client: setattr(client.relay.native, "on", False), False),
        (lambda client: client.relay.settle(), True),
        (lambda client: client.slow.relayed.settle(), True),
        (lambda client: client.slow.relayed.stand_back(), True),
    ],
    ids=["flows forgotten", "turned off", "all settled", "settled", "stood back"],
)
async def test_what_happens_between_head_and_body_loses_nothing(
    change: Callable[[Piecemeal], None], relayed_again: bool
) -> None:
    async with piecemeal() as client:
        answer = await taught(client)
        for pieces in ((HEAD, BODY), (HEAD + BODY[:7], BODY[7:])):
            client.say(pieces[0])
            change(client)
            client.say(*pieces[1:])
            assert await client.heard() == answer
            await client.asks(HEAD, BODY)
        assert await client.asks(HEAD, BODY) == (answer, relayed_again)


@pytest.mark.parametrize("head", [HEAD, HEAD + BODY[:7]], ids=["head", "more"])
async def test_a_gateway_that_stops_waits_for_the_body(head: bytes) -> None:
    async with piecemeal() as client:
        answer = await taught(client)
        client.say(head)
        client.home.daemon.registry.drain()
        client.say(WHOLE[len(head) :])
        assert (await client.heard()).replace(b"connection: close\r\n", b"") == answer
        await until(lambda: client.wire.ended)


async def test_a_client_that_says_no_more_after_its_head_is_gone() -> None:
    async with piecemeal() as client:
        await taught(client)
        asked = client.asked
        client.say(HEAD)
        await client.client.leave(half=True)
        await until(lambda: client.wire.ended)
        assert client.wire.data == b""
        assert client.asked == asked


async def test_a_client_that_is_lost_after_its_head_is_forgotten() -> None:
    async with piecemeal() as client:
        await taught(client)
        client.say(HEAD)
        await client.client.leave(half=False)
        await until(lambda: client.home.daemon.registry.statistics()["open"] == 0)
        assert client.slow._pending == b""
        assert not client.slow._body


@pytest.mark.parametrize("relayed", [False, True])
async def test_a_head_without_its_body_is_refused_in_time(monkeypatch: pytest.MonkeyPatch, relayed: bool) -> None:
    clock = ManualClock()
    monkeypatch.setattr("tidegate.daemon.Clock", lambda: clock)
    async with piecemeal() as client:
        limits, deadlines = client.home.daemon.snapshot.limits, client.home.daemon.registry.deadlines
        if relayed:
            answer = await taught(client)
            for _ in range(3):
                # What it had for a body is over once that is here.
                assert await client.asks(HEAD, BODY) == (answer, True)
                clock.advance(limits.body_timeout_s)
                deadlines.expire()
        client.say(HEAD)
        clock.advance(limits.body_timeout_s - 1)
        client.say(BODY[:3])
        deadlines.expire()
        assert client.wire.data == b""
        clock.advance(1)
        deadlines.expire()
        await until(lambda: client.wire.ended)
        assert client.wire.data.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout_s" in client.wire.data
