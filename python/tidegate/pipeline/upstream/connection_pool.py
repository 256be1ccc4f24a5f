"""The connections to one origin, and the calls that wait for one.

`HttpClient` has a pool per origin. A call takes the connection that was used last, else a new one is opened while
there are fewer than the maximum, else it waits in a bounded queue. Opening is the one thing here that must be
awaited; the client owns those tasks and ends them.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import Overloaded, TidegateError, UpstreamUnreachable
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.token_bucket import TokenBucket
from tidegate.pipeline.upstream.address_guard import is_address
from tidegate.pipeline.upstream.http_call import HttpCall
from tidegate.pipeline.upstream.http_connection import HttpConnection

if TYPE_CHECKING:
    import ssl

    from tidegate.pipeline.upstream.link import HttpRelay

_IDLE_S: Final = 60.0
"""How long an unused connection is kept. Many servers close theirs sooner; that is noticed when it happens."""

_FRESH_S: Final = 1.5
"""What must not be sent twice goes on no connection that was idle for longer: its server may be about to close it, and
then nobody could say whether the request was read. Common servers close after 2 s or 5 s."""

_EVENTS_PER_S: Final = 2000.0
_EVENTS_BURST: Final = 4000
"""As of a child. Progress of many calls stays far below; who says more has to wait, so that others are served, too."""

_TRIED_MAX: Final = 4
"""Addresses of one name, before it counts as unreachable."""

AddressGuard = Callable[[str, str, bool], bool]
"""(host as in the URL, address it led to, whether that is known to be one of this box) → whether to go there."""


class Origin(NamedTuple):
    """Where a connection goes."""

    secure: bool
    host: str
    """Without brackets."""
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class PoolBounds(NamedTuple):
    connections: int
    queued: int
    connect_timeout_s: float


class ConnectionPool:
    """Connections to one origin."""

    __slots__ = (
        "_all",
        "_bounds",
        "_clock",
        "_context",
        "_deadlines",
        "_guard",
        "_idle",
        "_limits",
        "_opening",
        "_origin",
        "_queue",
        "_relay",
        "_spawn",
        "pace",
        "relayed",
    )

    def __init__(
        self,
        origin: Origin,
        bounds: PoolBounds,
        limits: Limits,
        clock: Clock,
        deadlines: Deadlines,
        spawn: Callable[[Coroutine[object, object, None], str], None],
        context: Callable[[], ssl.SSLContext],
        relay: HttpRelay | None = None,
        guard: AddressGuard | None = None,
    ) -> None:
        """`spawn` runs a named task that the client owns; `context` makes the TLS context when first needed."""
        self._origin = origin
        self._bounds = bounds
        self._limits = limits
        self._clock = clock
        self.pace = TokenBucket(clock, _EVENTS_PER_S, _EVENTS_BURST)
        """Of the events that one server may say on all its streams."""
        self._deadlines = deadlines
        self._spawn = spawn
        self._context = context
        self._all: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        self._opening = 0
        self._queue: deque[HttpCall] = deque()
        self._relay = relay
        self._guard = guard
        self.relayed = relay.http_pool(self._queue) if relay is not None else None
        """The relay's part of it: connections that are idle there."""

    def take_up(self, bounds: PoolBounds, limits: Limits) -> None:
        """Other bounds from now on; `limits` for connections that are still to be opened."""
        self._bounds = bounds
        self._limits = limits
        self._open_more()

    def now_s(self) -> float:
        return self._clock.now_s()

    def submit(self, call: HttpCall) -> None:
        """Sends the call or queues it.

        Raises:
            Overloaded: the queue is full.
        """
        call.pool = self
        now_s = self.now_s()
        if self.relayed is not None:
            # Used later than all that are idle here, which the relay has given back.
            lent = self.relayed.take_back(-inf if call.retryable else now_s - _FRESH_S)
            if isinstance(lent, HttpConnection) and lent.usable:
                lent.send(call, now_s)
                return
        while self._idle:
            connection = self._idle[-1]
            if not connection.usable:
                self._idle.pop()
                continue
            if not call.retryable and now_s - connection.idle_since_s > _FRESH_S:
                break
            self._idle.pop()
            connection.send(call, now_s)
            return
        if len(self._queue) - self._opening >= self._bounds.queued:
            raise Overloaded(f"{self._bounds.queued} requests wait for a connection to `{self._origin}` already")
        self._queue.append(call)
        self._open_more()

    def forget(self, call: HttpCall) -> None:
        """The call gave up before it had a connection."""
        if call in self._queue:
            self._queue.remove(call)

    def open_for(self, call: HttpCall) -> None:
        """Sends the call on a connection of its own, because the one it had was stale."""
        self._open(call)

    def release(self, connection: HttpConnection) -> None:
        """The connection is free for the next call."""
        now_s = self.now_s()
        if self._queue:
            connection.send(self._queue.popleft(), now_s)
        elif connection.relayed is None or not connection.relayed.give():
            self.keep(connection, now_s)

    def keep(self, connection: HttpConnection, since_s: float) -> None:
        """Nobody has had a use for it since then."""
        if not connection.usable:
            return
        self._idle.append(connection)
        connection.idle_since_s = since_s
        connection.deadline_s = since_s + min(_IDLE_S, connection.kept_s)
        self._deadlines.moved(connection.deadline_s)

    def lost(self, connection: HttpConnection) -> None:
        self._deadlines.forget(connection)
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()

    def abort(self, error: TidegateError) -> None:
        """Fails every call and cuts every connection."""
        queued = list(self._queue)
        self._queue.clear()
        for call in queued:
            call.fail(error)
        for connection in list(self._all):
            connection.fail_call(error)

    def statistics(self) -> dict[str, int]:
        return {
            "open": len(self._all),
            "idle": len(self._idle) + (self.relayed.idle if self.relayed is not None else 0),
            "opening": self._opening,
            "queued": len(self._queue),
        }

    def _open_more(self) -> None:
        while len(self._queue) > self._opening and len(self._all) + self._opening < self._bounds.connections:
            self._open(None)

    def _open(self, call: HttpCall | None) -> None:
        self._opening += 1
        self._spawn(self._connect(call), f"connect {self._origin}")

    async def _connect(self, call: HttpCall | None) -> None:
        """Opens one connection, for `call` or for whoever waits then."""
        loop = asyncio.get_running_loop()
        origin = self._origin
        error: TidegateError | None = None
        connection: HttpConnection | None = None
        try:
            context = self._context() if origin.secure else None
            async with asyncio.timeout(self._bounds.connect_timeout_s):
                connection = HttpConnection(self, self._limits)
                protocol: asyncio.Protocol = connection
                if self._relay is not None and self.relayed is not None:
                    protocol = self._relay.http_channel(self.relayed, connection)
                if self._guard is None:
                    await loop.create_connection(lambda: protocol, origin.host, origin.port, ssl=context)
                else:
                    await self._connect_guarded(self._guard, protocol, context)
        except UpstreamUnreachable as refused:
            error = refused
            if connection is not None:
                connection.abort()
                connection = None
        except TimeoutError:
            error = UpstreamUnreachable(f"`{origin}` took no connection in {self._bounds.connect_timeout_s:g} s")
        except (OSError, UnicodeError) as cause:
            error = UpstreamUnreachable(f"`{origin}` cannot be connected to: {cause}")
            error.__cause__ = cause
        finally:
            self._opening -= 1
        if connection is not None and connection.usable:
            self._all.add(connection)
            self._deadlines.watch(connection)
            if call is None:
                self.release(connection)
            elif not call.done:
                connection.send(call, self.now_s())
            else:
                self.release(connection)
            return
        waiting = call if call is not None else self._queue.popleft() if self._queue else None
        if waiting is not None:
            waiting.fail(error or UpstreamUnreachable(f"`{origin}` closed the connection at once"))
        self._open_more()

    async def _connect_guarded(
        self, guard: AddressGuard, protocol: asyncio.Protocol, context: ssl.SSLContext | None
    ) -> None:
        """Connects to an address that the guard admits: to the very one it was shown, so the name is asked once.

        Raises: UpstreamUnreachable, when there is none; OSError.
        """
        loop = asyncio.get_running_loop()
        origin = self._origin
        addresses = [origin.host]
        if not is_address(origin.host):
            found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            addresses = [str(one) for one in dict.fromkeys(place[4][0] for place in found)]
        admitted = [address for address in addresses if guard(origin.host, address, False)][:_TRIED_MAX]
        failure: OSError | None = None
        for address in admitted:
            try:
                name = None if context is None else origin.host
                transport, _ = await loop.create_connection(
                    lambda: protocol, address, origin.port, ssl=context, server_hostname=name
                )
            except OSError as error:
                failure = error
                continue
            # What is reached from its own address is this box.
            here, there = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
            if not guard(origin.host, address, bool(here and there and here[0] == there[0])):
                break
            return
        else:
            if failure is not None:
                raise failure
        raise UpstreamUnreachable(f"`{origin}` leads to an address that is not to be reached under a name")
