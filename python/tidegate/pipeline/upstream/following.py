"""Following what a server says of itself: lists that change, resources that are updated.

A session server is asked by `resources/subscribe` for each resource, one of the stateless era by a single
`subscriptions/listen` for all. Clients come and go; a server is told of the first and the last of each resource.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from tidegate.pipeline.codec import ERROR, Envelope
from tidegate.pipeline.upstream.connection import Connection, OwnCall
from tidegate.pipeline.upstream.negotiate import own_meta
from tidegate.pipeline.upstream.slot import Slot

_CONFIRM_S: Final = 2.0
"""How long a client waits for the server to confirm that it watches."""
_AGAIN_S: Final = 1.0
_FLAGS: Final = (
    ("tools", "toolsListChanged"),
    ("prompts", "promptsListChanged"),
    ("resources", "resourcesListChanged"),
)

Then = Callable[[], None]
"""Called once, when the server watches or will not say so."""


class Following:
    """How the slots of one service follow their server."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._agreed: WeakKeyDictionary[Slot, set[str]] = WeakKeyDictionary()
        """What a session server was asked for and did not refuse. Until then everybody's request reaches it."""

    def opened(self, slot: Slot) -> None:
        """A new connection: everything is asked for anew."""
        connection = slot.connection
        if connection is None:
            return
        if not connection.keeps_session:
            self._listen(slot, connection)
            return
        for uri in slot.subscribed:
            connection.forward_request("resources/subscribe", {"uri": uri}, self._timeout_s)

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
                self._subscribe(slot, connection, uri, then)
        elif first:
            self._listen(slot, connection, then)
        else:
            then()

    def _subscribe(self, slot: Slot, connection: Connection, uri: str, then: Then) -> None:
        own = OwnCall()

        def over(done: asyncio.Future[tuple[bytes, Envelope]]) -> None:
            if not done.cancelled() and done.exception() is None and done.result()[1].kind != ERROR:
                self.agreed(slot, uri)
            then()

        own.future.add_done_callback(over)
        connection.request(own, "resources/subscribe", {"uri": uri}, self._timeout_s)

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
            self._listen(slot, connection)
        elif not refused:
            connection.forward_request("resources/unsubscribe", {"uri": uri}, self._timeout_s)

    def _listen(self, slot: Slot, connection: Connection, then: Then | None = None) -> None:
        """Opens a stream for what is wanted now; the one before ends when this one is confirmed."""
        wanted: dict[str, object] = {}
        for capability, flag in _FLAGS:
            declared = connection.capabilities.get(capability)
            if isinstance(declared, dict) and declared.get("listChanged"):
                wanted[flag] = True
        if slot.subscribed:
            wanted["resourceSubscriptions"] = list(slot.subscribed)
        before, slot.listen = slot.listen, None
        steps: list[Then] = [] if then is None else [then]
        if before is not None:
            steps.append(lambda: connection.abandon(before))

        def confirmed() -> None:
            while steps:
                steps.pop(0)()

        if not wanted:
            confirmed()
            return

        def heard(message: bytes, envelope: Envelope) -> None:
            if envelope.method == "notifications/subscriptions/acknowledged":
                confirmed()

        own = OwnCall(heard)
        params = {**own_meta(connection.version), "notifications": wanted}
        slot.listen = connection.request(own, "subscriptions/listen", params, 0.0)

        def ended(done: asyncio.Future[tuple[bytes, Envelope]]) -> None:
            confirmed()
            self._ended(slot, connection, own, done)

        own.future.add_done_callback(ended)
        if steps:
            asyncio.get_running_loop().call_later(_CONFIRM_S, confirmed)

    def _ended(
        self, slot: Slot, connection: Connection, own: OwnCall, done: asyncio.Future[tuple[bytes, Envelope]]
    ) -> None:
        failed = done.cancelled() or done.exception() is not None
        if slot.connection is not connection or slot.listen is None or slot.listen.listener is not own:
            return
        slot.listen = None
        delay_s = slot.backoff.next_s() if failed or connection.closed else _AGAIN_S
        asyncio.get_running_loop().call_later(delay_s, self._again, slot, connection)

    def _again(self, slot: Slot, connection: Connection) -> None:
        if slot.connection is connection and not connection.closed and slot.listen is None:
            self._listen(slot, connection)
