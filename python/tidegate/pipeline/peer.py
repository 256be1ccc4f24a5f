"""The client's side of a conversation, as the stages share it: where an answer goes, who asks.

`accept/` implements `Outlet` for each transport; `era/` writes to it without knowing which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tidegate.pipeline.relay.origin import Origin, ReplyForm


class Outlet(Protocol):
    """Where messages for one client, or for one request of it, are written."""

    def reply(self, message: bytes, code: int | None) -> None:
        """The answer to the request; `code` is its JSON-RPC error code or None. Ends a request's own stream."""

    def notify(self, message: bytes) -> None:
        """A notification or a server's request, ahead of the answer."""

    @property
    def alive(self) -> bool:
        """Whether something written now has a chance to arrive."""

    @property
    def origin(self) -> Origin | None:
        """As of `Exchange`."""

    @property
    def reply_form(self) -> ReplyForm | None:
        """As of `Exchange`."""


class StreamBody(Protocol):
    """The body of an HTTP response, sent piece by piece."""

    @property
    def closed(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class HttpPost(Protocol):
    """An HTTP request as `accept/http1.py` hands it over; see `accept/http_request.py` for the whole of it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    extra_headers: Sequence[tuple[str, str]]
    """Sent with whatever answers it."""
    on_disconnect: Callable[[], None] | None

    @property
    def gone(self) -> bool: ...

    def respond(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None: ...

    def reply_form(self, headers: Sequence[tuple[str, str]]) -> ReplyForm: ...

    def start_stream(self, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> StreamBody: ...
