"""Where a request came from, for one that the relay began and the slow lane goes on with.

Implemented in `era/`, by whoever makes exchanges of what clients send; an `Outlet` names it. Used by `decision.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import Scope
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.principal import Principal

Done = Callable[[Exchange, int | None, TidegateError | None], None]


class ReplyForm(NamedTuple):
    """What is written around a good answer."""

    head: bytes = b""
    """Over HTTP: status line and fields, without those of coding and length."""
    coding: str = ""
    """That the client takes: gzip, zstd or none."""
    compress_min_bytes: int = 0
    compress_max_bytes: int = 0


class Origin(Protocol):
    """Makes exchanges of one kind of connection."""

    def resume(
        self, protocol: object, request: bytes, client: ClientView, principal: Principal, done: Done, waited_s: float
    ) -> Exchange:
        """The exchange of a request that was dispatched by the relay, as if it had been by the slow lane.

        `protocol`: of the slow lane, for the connection it came on. `request`: as it came, over HTTP with its head.
        `done`: the exchange's `on_done`. `waited_s`: how long ago the request came.
        """

    def scope_of(self, client: ClientView) -> Scope | None:
        """Where the ids of such requests are told apart; None over HTTP without a session."""
