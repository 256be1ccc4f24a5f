"""What a bridge needs of the upstream side: to send a request, and a hold on it once it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tidegate.pipeline.codec import Envelope
from tidegate.pipeline.exchange import CallListener


class OpenCall(Protocol):
    """A request that a server works on."""

    def abandon(self) -> None:
        """Cancels it at the server."""

    def hold(self) -> None:
        """Stops its deadline, while the server waits for the client."""

    def go_on(self, progress_token: bytes | None, timeout_s: float) -> None:
        """The server works again: a new deadline, and the progress token (raw) of whoever waits now."""


Send = Callable[[CallListener, bytes, Envelope], OpenCall | None]
"""Sends this message to the server that was chosen; None when it could not, of which the listener was told."""
