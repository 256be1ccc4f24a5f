"""Following what a server says of itself: lists that change, resources that are updated.

A session server is asked by `resources/subscribe` for each resource, one of the stateless era by a single
`subscriptions/listen` for all. Clients come and go; a server is told of the first and the last of each resource.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from tidegate.errors import INVALID_PARAMS, METHOD_NOT_FOUND
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.codec import ERROR, Envelope, find_member
from tidegate.pipeline.upstream.connection import Connection, OwnCall
from tidegate.pipeline.upstream.listing import tells
from tidegate.pipeline.upstream.negotiate import own_meta
from tidegate.pipeline.upstream.slot import Slot

_CONFIRM_S: Final = 2.0
"""How long a client waits for the server to confirm that it watches."""
_BEGIN_S: Final = 0.25
"""How long the lists of a new connection wait for the same."""
_AGAIN_S: Final = 1.0
"""A stream that ends is opened again no sooner than this."""
_LASTING_S: Final = 10.0
"""A stream that was open for so long ended by an accident, not by a fault that repeats."""
_AT_ONCE: Final = 8
"""Own requests to one session server that are in flight together: the calls of clients need the room."""
_FLAGS: Final = (
    ("tools", "toolsListChanged"),
    ("prompts", "promptsListChanged"),
    ("resources", "resourcesListChanged"),
)

Then = Callable[[], None]
"""Called once, when the server watches or will not say so."""


class _Queue:
    """What one connection to a session server is still to be told of, in order."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, str, Then | None]] = deque()
        """Method, URI, and who waits for the answer."""
        self.asked = 0


class Following:
    """How the slots of one service follow their server."""

    def __init__(self, timeout_s: float, listening: Callable[[Slot], None]) -> None:
        """`listening` is told when a server begins to tell of its changes, and again after a gap."""
        self.timeout_s = timeout_s
        self._listening = listening
        self._agreed: WeakKeyDictionary[Slot, set[str]] = WeakKeyDictionary()
        """What a session server was asked for and did not refuse. Until then everybody's request reaches it."""
        self._backoff: WeakKeyDictionary[Slot, Backoff] = WeakKeyDictionary()
        """Of the streams. `Slot.backoff` is that of its connections."""
        self._deaf: WeakSet[Connection] = WeakSet()
        """To servers that do not know `subscriptions/listen`."""
        self._queues: WeakKeyDictionary[Connection, _Queue] = WeakKeyDictionary()
        self._turns: dict[Slot, list[Then]] = {}
        """Slots whose stream is opened anew at the end of this turn, and who waits for that."""

    async def begin(self, slot: Slot, connection: Connection) -> None:
        """Has a server of the stateless era tell of its changes before its lists are read, so that none is missed.
        One that does not confirm that at once is caught up with when it does.
        """
        confirmed = asyncio.Event()
        slot.listen = None
        self._listen(slot, connection, [confirmed.set])
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_S):
                await confirmed.wait()

    def opened(self, slot: Slot) -> None:
        """A new connection: everything is asked for anew."""
        connection = slot.connection
        if connection is None:
            return
        if not connection.keeps_session:
            if slot.listen is None:
                self._listen(slot, connection, [])
            return
        for uri in list(slot.subscribed):
            self._ask(slot, connection, "resources/subscribe", uri)

    def is_agreed(self, slot: Slot, uri: str) -> bool:
        """Whether a session server need not be asked for `uri` any more."""
        return uri in self._agreed.get(slot, ())

    def agreed(self, slot: Slot, uri: str) -> None:
        """A session server said that it watches `uri`."""
        if uri in slot.subscribed:
            self._agreed.setdefault(slot, set()).add(uri)

    def count(self, slot: Slot, uri: str) -> bool:
        """One more client follows `uri`. Whether it is the first."""
        number = slot.subscribed.get(uri, 0)
        slot.subscribed[uri] = number + 1
        return number == 0

    def follow(self, slot: Slot, uri: str, then: Then) -> None:
        """One more client follows `uri`; asks the server if that is still to be done."""
        first = self.count(slot, uri)
        connection = slot.connection
        if connection is None or connection.closed:
            then()
        elif connection.keeps_session:
            if self.is_agreed(slot, uri):
                then()
            else:
                self._ask(slot, connection, "resources/subscribe", uri, then)
        elif first:
            self._listen_soon(slot, then)
        else:
            then()

    def _ask(self, slot: Slot, connection: Connection, method: str, uri: str, then: Then | None = None) -> None:
        queue = self._queues.setdefault(connection, _Queue())
        queue.waiting.append((method, uri, then))
        self._ask_next(slot, connection, queue)

    def _ask_next(self, slot: Slot, connection: Connection, queue: _Queue) -> None:
        while queue.waiting and queue.asked < _AT_ONCE:
            method, uri, then = queue.waiting.popleft()
            if connection.closed or (uri in slot.subscribed) is not (method == "resources/subscribe"):
                # Meanwhile the opposite is wanted, and was asked for or will be.
                if then is not None:
                    then()
                continue
            queue.asked += 1
            own = OwnCall()
            own.future.add_done_callback(partial(self._asked, slot, connection, queue, method, uri, then))
            connection.request(own, method, {"uri": uri}, self.timeout_s)

    def _asked(
        self,
        slot: Slot,
        connection: Connection,
        queue: _Queue,
        method: str,
        uri: str,
        then: Then | None,
        done: asyncio.Future[tuple[bytes, Envelope]],
    ) -> None:
        queue.asked -= 1
        answered = not done.cancelled() and done.exception() is None and done.result()[1].kind != ERROR
        if answered and method == "resources/subscribe":
            self.agreed(slot, uri)
        else:
            # A server that was started again may refuse what it watched before.
            self._agreed.get(slot, set()).discard(uri)
        if then is not None:
            then()
        self._ask_next(slot, connection, queue)

    def unfollow(self, slot: Slot, uri: str, *, refused: bool = False) -> None:
        """One client fewer. `refused`: the server would not have it, and need not be told."""
        number = slot.subscribed.get(uri, 0)
        if number > 1:
            slot.subscribed[uri] = number - 1
            return
        if slot.subscribed.pop(uri, None) is None:
            return
        agreed = self._agreed.get(slot)
        if agreed is not None:
            agreed.discard(uri)
        connection = slot.connection
        if connection is None or connection.closed:
            return
        if not connection.keeps_session:
            self._listen_soon(slot)
        elif not refused:
            self._ask(slot, connection, "resources/unsubscribe", uri)

    def left(self, slot: Slot) -> None:
        """Its connection was lost, and nobody follows anything there any more."""
        slot.subscribed.clear()
        self._agreed.pop(slot, None)

    def _listen_soon(self, slot: Slot, then: Then | None = None) -> None:
        """What comes and goes in one turn of the loop is one stream for the server."""
        steps = self._turns.get(slot)
        if steps is None:
            steps = self._turns[slot] = []
            asyncio.get_running_loop().call_soon(self._turn, slot)
        if then is not None:
            steps.append(then)

    def _turn(self, slot: Slot) -> None:
        steps = self._turns.pop(slot)
        connection = slot.connection
        if connection is not None and not connection.closed and not connection.keeps_session:
            self._listen(slot, connection, steps)
        else:
            for step in steps:
                step()

    def _listen(self, slot: Slot, connection: Connection, steps: list[Then]) -> None:
        """Opens a stream for what is wanted now; the one before ends when this one is confirmed."""
        wanted: dict[str, object] = {}
        for capability, flag in _FLAGS:
            if tells(connection, capability):
                wanted[flag] = True
        if slot.subscribed:
            wanted["resourceSubscriptions"] = list(slot.subscribed)
        before, slot.listen = slot.listen, None
        if before is not None:
            steps.append(lambda: connection.abandon(before))

        def confirmed() -> None:
            while steps:
                steps.pop(0)()

        if not wanted or connection in self._deaf:
            confirmed()
            return
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        acknowledged = False

        def heard(message: bytes, envelope: Envelope) -> None:
            nonlocal acknowledged
            if envelope.method == "notifications/subscriptions/acknowledged":
                acknowledged = True
                confirmed()
                if before is None:
                    self._listening(slot)

        own = OwnCall(heard)
        params = {**own_meta(connection.version), "notifications": wanted}
        slot.listen = connection.request(own, "subscriptions/listen", params, 0.0)

        def ended(done: asyncio.Future[tuple[bytes, Envelope]]) -> None:
            failed = done.cancelled() or done.exception() is not None
            code = None if failed else _error_code(*done.result())
            current = slot.listen is not None and slot.listen.listener is own
            if code == METHOD_NOT_FOUND:
                self._deaf.add(connection)
            if current:
                slot.listen = None
                if code == INVALID_PARAMS and before is not None and before.open:
                    # What was added is refused; what was there before goes on.
                    slot.listen = before
                    del steps[-1:]
            confirmed()
            if not current or slot.connection is not connection or code in (METHOD_NOT_FOUND, INVALID_PARAMS):
                return
            backoff = self._backoff.setdefault(slot, Backoff())
            delay_s = _AGAIN_S
            if loop.time() - began_s > _LASTING_S:
                backoff.reset()
            elif failed or code is not None or not acknowledged:
                delay_s = max(_AGAIN_S, backoff.next_s())
            loop.call_later(delay_s, self._again, slot, connection)

        own.future.add_done_callback(ended)
        if steps:
            loop.call_later(_CONFIRM_S, confirmed)

    def _again(self, slot: Slot, connection: Connection) -> None:
        if slot.connection is connection and not connection.closed and slot.listen is None:
            self._listen_soon(slot)


def _error_code(message: bytes, envelope: Envelope) -> int | None:
    """None for a result; 0 for an error that does not say which."""
    if envelope.kind != ERROR:
        return None
    span = envelope.error_span
    at = find_member(message, "code", *span) if span is not None else None
    try:
        return int(message[at[0] : at[1]]) if at is not None else 0
    except ValueError:
        return 0
