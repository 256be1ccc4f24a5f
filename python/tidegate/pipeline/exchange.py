"""One client request on its way through the gateway, free of either side's era.

`era/` makes exchanges (it knows what the client speaks) and is told how they end; `upstream/` serves them
(it knows what the server speaks). Between the two, `serve.py` decides. Everything here is synchronous: an
exchange is moved along by the event loop's protocol callbacks, never by a task of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tidegate.errors import INTERNAL_ERROR, Cancelled, TidegateError
from tidegate.pipeline.codec import ERROR, Envelope, splice
from tidegate.pipeline.principal import Principal

Answer = Callable[[bytes, Envelope], None]
"""Takes the client's RESULT or ERROR message to a request that a server made of it."""


class SessionPort(Protocol):
    """What the upstream side may do with the session of a client that has one."""

    key: str

    def ask(self, message: bytes, envelope: Envelope, answer: Answer, cause: Exchange | None) -> None:
        """Passes a server's request on to the client; refuses by `answer` what it did not declare."""

    def tell(self, message: bytes, envelope: Envelope, cause: Exchange | None) -> None:
        """Passes a server's notification on."""

    def withdraw(self, answer: Answer) -> None:
        """The server no longer wants the answer."""


class ClientView:
    """What a server may know of the client: its own words, nothing added."""

    __slots__ = ("capabilities", "features", "info", "log_level", "session", "stateless", "version")

    def __init__(
        self,
        *,
        stateless: bool,
        capabilities: bytes = b"{}",
        features: frozenset[str] = frozenset(),
        info: bytes | None = None,
        log_level: str | None = None,
        session: SessionPort | None = None,
        version: str = "",
    ) -> None:
        self.stateless = stateless
        """Prefers a server that keeps no session."""
        self.capabilities = capabilities
        """Raw JSON object."""
        self.features = features
        """Top-level names in `capabilities`."""
        self.info = info
        """Raw JSON object."""
        self.log_level = log_level
        self.session = session
        """None: nothing that a server says outside a reply can reach this client."""
        self.version = version
        """The revision the client speaks; a hint for a handshake made on its behalf."""

    @property
    def needs_own_session(self) -> bool:
        """A shared connection could not tell whom a server's question is for."""
        return self.session is not None and not self.features.isdisjoint(("sampling", "elicitation", "roots", "tasks"))


class CallListener(Protocol):
    """Whoever made a request of a server: an `Exchange`, or the gateway itself."""

    def notified(self, message: bytes, envelope: Envelope) -> None:
        """A notification that belongs to this request; the progress token is the caller's again."""

    def answered(self, message: bytes, envelope: Envelope) -> None:
        """The server's RESULT or ERROR, still with the upstream id. Called once, at most."""

    def failed(self, error: TidegateError) -> None:
        """No answer will come. Called once, at most."""


class Exchange:
    """A request of a client. Subclasses in `era/` say how each end looks on the wire."""

    __slots__ = (
        "abandon",
        "backend",
        "client",
        "done",
        "envelope",
        "exposed_name",
        "message",
        "on_done",
        "on_result",
        "param_headers",
        "principal",
        "started_s",
        "transport",
    )

    def __init__(
        self, message: bytes, envelope: Envelope, client: ClientView, principal: Principal, transport: str
    ) -> None:
        self.message = message
        self.envelope = envelope
        self.client = client
        self.principal = principal
        self.transport = transport
        """stdio, tcp, unix, http or sse: for telemetry."""
        self.exposed_name = envelope.name
        """As the client knows the tool, prompt or resource."""
        self.param_headers: dict[str, str] | None = None
        """`mcp-param-*` headers that came with it (lower-case, decoded); None on a transport without headers."""
        self.backend = ""
        self.started_s = 0.0
        self.done = False
        self.on_done: Callable[[Exchange, int | None, TidegateError | None], None] | None = None
        """Told once: the JSON-RPC error code or None, and the gateway's own error if it was one."""
        self.on_result: Callable[[bytes, Envelope], None] | None = None
        """Shown the server's result before the client is, where somebody must learn from it."""
        self.abandon: Callable[[], None] | None = None
        """Set by whoever works on it: stops that work, without an answer."""

    # -- CallListener -----------------------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        if not self.done:
            self.send_notification(message, envelope)

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if self.done:
            return
        span = envelope.id_span
        own_id = self.envelope.id or b"null"
        if envelope.kind == ERROR:
            reply = splice(message, [(span[0], span[1], own_id)]) if span else message
            self._finish(None, INTERNAL_ERROR)
            self.send_error_message(reply, message, envelope)
        else:
            assert span is not None
            if self.on_result is not None:
                self.on_result(message, envelope)
            self._finish(None)
            self.send_result(message, envelope, (span[0], span[1], own_id))

    def failed(self, error: TidegateError) -> None:
        if self.done:
            return
        self._finish(error)
        self.send_error(error)

    # -- the gateway's own answers ------------------------------------------------------------------------

    def answer_result(self, result: bytes) -> None:
        """Answers with a raw JSON object that is complete for the client's era."""
        if self.done:
            return
        self._finish(None)
        self.send_own_result(b'{"jsonrpc":"2.0","id":' + (self.envelope.id or b"null") + b',"result":' + result + b"}")

    def cancel(self) -> None:
        """The client gave up. Nothing more is sent; work upstream stops."""
        if self.done:
            return
        self._finish(Cancelled("the client cancelled the request"))

    def _finish(self, error: TidegateError | None, code: int | None = None) -> None:
        self.done = True
        abandon, self.abandon = self.abandon, None
        if error is not None and abandon is not None:
            abandon()
        if self.on_done is not None:
            self.on_done(self, error.code if error else code, error)

    # -- for era/ -----------------------------------------------------------------------------------------

    def send_notification(self, message: bytes, envelope: Envelope) -> None:
        raise NotImplementedError

    def send_result(self, message: bytes, envelope: Envelope, id_edit: tuple[int, int, bytes]) -> None:
        raise NotImplementedError

    def send_own_result(self, message: bytes) -> None:
        raise NotImplementedError

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        raise NotImplementedError

    def send_error(self, error: TidegateError) -> None:
        raise NotImplementedError
