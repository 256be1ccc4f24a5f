"""Who is told what changed: sessions and open `subscriptions/listen` streams, by the slot that serves them.

A change of a server reaches only clients that see that server, and only in the form they asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from tidegate.pipeline.exchange import ClientView


class Follower(Protocol):
    """A session or a listener."""

    def list_changed(self, kind: str) -> None: ...

    def resource_updated(self, uri: str, params: bytes) -> None: ...


class Changes:
    """Followers of one gateway. `sees` says whether a client is served by a slot."""

    def __init__(self) -> None:
        self._followers: dict[Follower, ClientView] = {}

    def add(self, follower: Follower, client: ClientView) -> None:
        self._followers[follower] = client

    def remove(self, follower: Follower) -> None:
        self._followers.pop(follower, None)

    def list_changed(self, kind: str, sees: Callable[[ClientView], bool]) -> None:
        for follower in self._seeing(sees):
            follower.list_changed(kind)

    def resource_updated(self, uri: str, params: bytes, sees: Callable[[ClientView], bool]) -> None:
        for follower in self._seeing(sees):
            follower.resource_updated(uri, params)

    def any_followed(self, sees: Callable[[ClientView], bool]) -> bool:
        return any(sees(client) for client in self._followers.values())

    def _seeing(self, sees: Callable[[ClientView], bool]) -> Iterable[Follower]:
        return [follower for follower, client in self._followers.items() if sees(client)]

    def __len__(self) -> int:
        return len(self._followers)
