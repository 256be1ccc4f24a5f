"""Requests that wait because a server has as many as it is given at once (`max_in_flight`).

One `CallQueue` a backend, bounded by `max_queued`; in it one line for each connection that is full. Replicas have one
line together, which any of them serves, and one each for requests that must go to that one. Clients take
turns in a line, so that one that floods delays the others by no more than its one call. A request leaves when its
turn comes, when its client gives it up, or after `queue_timeout_s`. If the server dies meanwhile, those who wait have
not reached it: they go on as requests that came now would, to the server as it is started again, or to the error that
says why it is not.

What the gateway asks for itself (lists, subscriptions, greetings) never waits here. Called by `calls.py` and
`tasks/requests.py`, which look at `Connection.in_flight` and `Connection.line` first; nothing here runs for a
request that need not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend
from tidegate.errors import Overloaded, TidegateError, Unauthorized
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.replicas import is_open, stays
from tidegate.pipeline.upstream.slot import Fail, Slot, Use
from tidegate.pipeline.upstream.turns import Turns

_log = logging.getLogger("tidegate.upstream")

Go = Callable[[Slot, Connection, float], None]
"""Sends the request; told how long it waited, in seconds, which is part of the time it may take."""
Over = Callable[[], None]
"""The request left without its turn, and whoever is behind it was told."""


class QueueHost(Protocol):
    """A service, as its queue sees it."""

    name: str
    config: Backend
    """Replaced as a whole when its limits change."""
    slots: dict[str, Slot]

    def use_slot(self, slot: Slot, client: ClientView, use: Use, fail: Fail) -> None: ...

    def acquire(self, client: ClientView, use: Use, fail: Fail) -> None: ...


class CallQueue:
    """Who waits for one backend."""

    def __init__(self, host: QueueHost, clock: Clock, deadlines: Deadlines) -> None:
        self._host = host
        self._clock = clock
        self._deadlines = deadlines
        self._waiting: Turns[_Waiter] = Turns()
        """Of all connections, and those whose connection is being opened again."""
        self._went = 0
        self._refused = 0
        self._expired = 0
        self._left = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(
        self,
        exchange: Exchange,
        slot: Slot,
        connection: Connection,
        go: Go,
        over: Over | None = None,
        *,
        stays: bool = False,
    ) -> None:
        """Calls `go` when it is this request's turn, now if there is room after all; or fails the exchange. `stays`: it
        must go to this replica of the server and no other.
        """
        if connection.line is None and self._has_room(connection):
            go(slot, connection, 0.0)
            return
        whose = _whose(exchange)
        if len(self._waiting) >= self._host.config.max_queued and not self._make_room(whose):
            self._refused += 1
            exchange.failed(self._full())
            if over is not None:
                over()
            return
        waiter = _Waiter(self, exchange, whose, go, over, self._clock.now_s(), self._wait_s)
        self._waiting.add(whose, waiter)
        self._deadlines.watch(waiter)
        exchange.abandon = waiter.given_up
        waiter.stays = stays
        self._line_up(waiter, slot, connection)

    def close(self, error: TidegateError) -> None:
        """Nobody is served any more."""
        while self._waiting:
            waiter = self._waiting.take()[1]
            self._depart(waiter)
            waiter.fail(error)

    # -- whose turn it is -------------------------------------------------------------------------------------

    @property
    def _wait_s(self) -> float:
        config = self._host.config
        return min(config.queue_timeout_s, config.call_timeout_s)

    def _has_room(self, connection: Connection) -> bool:
        most = self._host.config.max_in_flight
        # A stream on which the server tells of changes stays open, and is no work.
        return connection.in_flight < most or connection.working < most

    def _line_up(self, waiter: _Waiter, slot: Slot, connection: Connection) -> None:
        line = self._line(slot, connection)
        own = not slot.siblings or waiter.stays or stays(slot, waiter.exchange.client)
        turns = line.turns if own else line.common
        turns.add(waiter.whose, waiter)
        waiter.line, waiter.turns = line, turns
        if connection.closed:
            line.moved()
        elif slot.siblings:
            if not own:
                self._line_up_siblings(line)
            if self._has_room(connection):
                # Its line was there for the sake of others.
                line.moved()

    def _line(self, slot: Slot, connection: Connection) -> Line:
        line = connection.line
        if line is None:
            line = connection.line = Line(self, slot, connection)
            for other in _lines(slot):
                line.common = other.common
        assert isinstance(line, Line)
        return line

    def _line_up_siblings(self, line: Line) -> None:
        """Whichever replica has room first takes the next one."""
        for other in line.slot.siblings:
            if is_open(other) and other.connection is not None and other.connection.line is None:
                self._line(other, other.connection).moved()

    def relieve(self, slot: Slot) -> None:
        """One more replica is there: it takes from those who wait for the others."""
        for line in _lines(slot):
            if line.common:
                self._line_up_siblings(line)
                return

    def serve(self, line: Line) -> None:
        """Lets in as many as there is room for."""
        connection = line.connection
        if connection.closed:
            self._go_elsewhere(line)
            return
        now_s = self._clock.now_s()
        while (line.turns or line.common) and self._has_room(connection):
            waiter = line.next()
            if waiter.deadline_s <= now_s:
                self.expire(waiter)
                continue
            self._depart(waiter)
            self._let_in(waiter, line.slot, connection, now_s)

    def _let_in(self, waiter: _Waiter, slot: Slot, connection: Connection, now_s: float) -> None:
        exchange = waiter.exchange
        if exchange.done:
            # Answered while it waited, such as a subscription that was taken back.
            waiter.end()
            return
        if exchange.principal.revoked:
            waiter.fail(Unauthorized("the token of this request is not valid any more"))
            return
        self._went += 1
        try:
            waiter.go(slot, connection, now_s - waiter.since_s)
        except Exception as error:
            # One request that goes wrong must not strand those behind it.
            _log.exception("request_failed backend=%s", self._host.name)
            waiter.fail(TidegateError(f"the gateway failed over this request: {error}"))

    def _go_elsewhere(self, line: Line) -> None:
        """The connection is gone. Those who waited for it ask for one again, in their order."""
        host, slot = self._host, line.slot
        line.connection.line = None
        served = any(not other.connection.closed for other in _lines(slot))
        while line.turns or (line.common and not served):
            waiter = line.next()
            waiter.line = None
            client = waiter.exchange.client
            if host.slots.get(slot.key) is slot and not slot.siblings:
                host.use_slot(slot, client, waiter.opened, waiter.not_opened)
            else:
                host.acquire(client, waiter.opened, waiter.not_opened)

    def opened(self, waiter: _Waiter, slot: Slot, connection: Connection) -> None:
        if connection.line is None and self._has_room(connection):
            now_s = self._clock.now_s()
            if waiter.deadline_s <= now_s:
                self.expire(waiter)
            else:
                self._depart(waiter)
                self._let_in(waiter, slot, connection, now_s)
        else:
            self._line_up(waiter, slot, connection)

    # -- who leaves without it --------------------------------------------------------------------------------

    def _depart(self, waiter: _Waiter) -> None:
        waiter.waits = False
        self._waiting.discard(waiter.whose, waiter)
        self._deadlines.forget(waiter)
        waiter.exchange.abandon = None
        line = waiter.line
        if line is not None:
            waiter.turns.discard(waiter.whose, waiter)
            if not line.common:
                for one in (line, *_lines(line.slot)) if line.slot.siblings else (line,):
                    if not one.turns and one.connection.line is one:
                        one.connection.line = None

    def give_up(self, waiter: _Waiter) -> None:
        self._left += 1
        self._depart(waiter)
        waiter.end()

    def not_opened(self, waiter: _Waiter, error: TidegateError) -> None:
        self._depart(waiter)
        waiter.fail(error)

    def expire(self, waiter: _Waiter) -> None:
        self._expired += 1
        self._depart(waiter)
        waiter.fail(
            Overloaded(
                f"backend `{self._host.name}` was busy: no place among its {self._host.config.max_in_flight} requests "
                f"in flight (`max_in_flight`) became free within {waiter.wait_s:g} s (`queue_timeout_s`)"
            )
        )

    def _make_room(self, whose: str) -> bool:
        """When nothing more may wait, whoever has most waiting gives up the last of it, to one who has less."""
        if not self._waiting:
            return False
        owner = self._waiting.longest()
        if self._waiting.count(owner) <= self._waiting.count(whose) + 1:
            return False
        waiter = self._waiting.last_of(owner)
        self._refused += 1
        self._depart(waiter)
        waiter.fail(self._full())
        return True

    def _full(self) -> Overloaded:
        config = self._host.config
        each = " at each replica" if config.replicas > 1 else ""
        words = f"backend `{self._host.name}` has {config.max_in_flight} requests in flight{each} (`max_in_flight`)"
        if config.max_queued:
            words += f" and {config.max_queued} more wait for it (`max_queued`), the first for {self.oldest_s:.1f} s"
        return Overloaded(words + ": it takes no more")

    # -- what operators see -----------------------------------------------------------------------------------

    @property
    def oldest_s(self) -> float:
        """How long the one that came first has waited by now."""
        now_s = self._clock.now_s()
        return max((now_s - waiter.since_s for waiter in self._waiting), default=0.0)

    def statistics(self) -> dict[str, object]:
        return {
            "limit": self._host.config.max_queued,
            "timeout_s": self._wait_s,
            "oldest_s": round(self.oldest_s, 3),
            "served": self._went,
            "refused": self._refused,
            "expired": self._expired,
            "cancelled": self._left,
        }


class Line:
    """Those who wait for one connection, which knows it as `Connection.line` while there are any, or any who wait for
    whichever replica has room.
    """

    __slots__ = ("_own_next", "_queue", "_soon", "common", "connection", "slot", "turns")

    def __init__(self, queue: CallQueue, slot: Slot, connection: Connection) -> None:
        self.slot = slot
        self.connection = connection
        self.turns: Turns[_Waiter] = Turns()
        self.common: Turns[_Waiter] = Turns()
        """The same object in the lines of all replicas of the server."""
        self._queue = queue
        self._soon = False
        self._own_next = True

    def next(self) -> _Waiter:
        """Takes one out: of its own and of those in common, in turns. Raises: KeyError, when nobody waits."""
        own = bool(self.turns) and (self._own_next or not self.common)
        self._own_next = not own
        return (self.turns if own else self.common).take()[1]

    def moved(self) -> None:
        """The connection has one request less, or none for ever. Those who wait are served at the end of this turn of
        the loop: whoever calls is in the middle of something.
        """
        if not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._soon = False
        self._queue.serve(self)


class _Waiter:
    """One request in the queue."""

    turns: Turns[_Waiter]
    """Where it waits in its line."""
    __slots__ = (
        "_over",
        "_queue",
        "deadline_s",
        "exchange",
        "go",
        "line",
        "since_s",
        "stays",
        "turns",
        "wait_s",
        "waits",
        "whose",
    )

    def __init__(
        self, queue: CallQueue, exchange: Exchange, whose: str, go: Go, over: Over | None, now_s: float, wait_s: float
    ) -> None:
        self.exchange = exchange
        self.whose = whose
        self.go = go
        self.since_s = now_s
        self.wait_s = wait_s
        self.deadline_s = now_s + wait_s
        self.line: Line | None = None
        """None while its connection is opened again."""
        self.stays = False
        self.waits = True
        self._over = over
        self._queue = queue

    def deadline_passed(self, now_s: float) -> None:
        self._queue.expire(self)

    def given_up(self) -> None:
        """The client cancelled the request, or is gone."""
        if self.waits:
            self._queue.give_up(self)

    def opened(self, slot: Slot, connection: Connection) -> None:
        if self.waits:
            self._queue.opened(self, slot, connection)

    def not_opened(self, error: TidegateError) -> None:
        if self.waits:
            self._queue.not_opened(self, error)

    def fail(self, error: TidegateError) -> None:
        self.exchange.failed(error)
        self.end()

    def end(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            over()


def _lines(slot: Slot) -> list[Line]:
    """Of the connection of `slot` and those of its siblings."""
    slots = slot.siblings or (slot,)
    found = [one.connection.line for one in slots if one.connection is not None]
    return [line for line in found if isinstance(line, Line)]


def _whose(exchange: Exchange) -> str:
    """Who takes turns with whom: owners of tokens; where nobody needs one, sessions."""
    session = exchange.client.session
    key = exchange.principal.key
    return session.key if session is not None and key.startswith(":") else key
