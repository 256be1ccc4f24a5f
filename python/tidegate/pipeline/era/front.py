"""What the era stage needs of the rest of the gateway: the seam `serve.py` fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from tidegate.config.snapshot import Limits
from tidegate.errors import TidegateError
from tidegate.pipeline.codec import Envelope, Scope
from tidegate.pipeline.exchange import ClientView, Exchange


class OpeningFacts(Protocol):
    """What the backends declared, merged: the answer to `initialize` and `server/discover`."""

    def capabilities(self) -> dict[str, object]: ...

    def server_info(self) -> bytes:
        """Raw JSON object."""

    def instructions(self) -> str | None: ...


class Front(Protocol):
    """The gateway, as eras see it."""

    limits: Limits

    def dispatch(self, exchange: Exchange) -> None:
        """Admits, routes and serves it."""

    def refused(self, transport: str, error: TidegateError) -> None:
        """Something was turned away before it was dispatched: for telemetry."""

    def with_facts(
        self, client: ClientView, use: Callable[[OpeningFacts], None], fail: Callable[[TidegateError], None]
    ) -> None: ...

    def follow(self, client: ClientView, uri: str, exchange: Exchange | None) -> None:
        """The client subscribes to a resource; `exchange`, if given, is answered."""

    def unfollow(self, client: ClientView, uri: str, exchange: Exchange | None) -> None: ...

    def log_level(self, client: ClientView, level: str, exchange: Exchange) -> None: ...

    def relay_scope(self, ids: Mapping[bytes, object]) -> Scope:
        """For requests that are told apart by their ids; `ids` has those that are in the slow lane."""

    def roots_changed(self, client: ClientView, message: bytes) -> None: ...

    def session_ended(self, session: object) -> None: ...

    def tell_backend(self, client: ClientView, message: bytes, envelope: Envelope) -> None:
        """Passes a client's notification to the server that serves it alone."""
