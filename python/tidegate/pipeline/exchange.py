"""One client request on its way through the gateway, free of either side's era.

`era/` makes exchanges (it knows what the client speaks) and is told how they end; `upstream/` serves them
(it knows what the server speaks). Between the two, `serve.py` decides. Everything here is synchronous: an
exchange is moved along by the event loop's protocol callbacks, never by a task of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from tidegate.errors import INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, Cancelled, NoMemory, TidegateError
from tidegate.pipeline.codec import ERROR, Envelope, find_member, splice
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.principal import Principal

if TYPE_CHECKING:
    from tidegate.pipeline.era.bridge.results import ResultEdits
    from tidegate.pipeline.relay.origin import Origin, ReplyForm

_JUDGED_BYTES: Final = 64 * 1024
"""Answers up to here are looked at for `isError`; what a failed tool says is short, and looking takes 7 µs at most."""


class Question:
    """A request that a server makes of a client: sampling, elicitation, roots. Answered once, at most."""

    __slots__ = ("_reply", "answered", "causes", "envelope", "message", "on_withdrawn")

    def __init__(self, message: bytes, envelope: Envelope, reply: Callable[[bytes], None]) -> None:
        self.message = message
        self.envelope = envelope
        self.answered = False
        self.causes: Sequence[object] = ()
        """Calls of which one made the server ask, where the gateway answers."""
        self.on_withdrawn: Callable[[], None] | None = None
        """Set by whoever puts it to the client: the server no longer wants the answer."""
        self._reply = reply
        """Takes the RESULT or ERROR message, under the question's own id."""

    @property
    def params(self) -> bytes:
        """Raw JSON object."""
        span = self.envelope.params_span
        return self.message[span[0] : span[1]] if span is not None else b"{}"

    def reply(self, message: bytes, envelope: Envelope) -> None:
        """The client's RESULT or ERROR, whatever its id."""
        span = envelope.id_span
        if span is not None and not self.answered:
            self.answered = True
            self._reply(splice(message, [(span[0], span[1], self._id)]))

    def answer(self, result: bytes) -> None:
        """`result`: raw JSON object."""
        if not self.answered:
            self.answered = True
            self._reply(b'{"jsonrpc":"2.0","id":' + self._id + b',"result":' + result + b"}")

    def refuse(self, message: str, code: int = METHOD_NOT_FOUND, data: object = None) -> None:
        if not self.answered:
            self.answered = True
            error: dict[str, object] = {"code": code, "message": message}
            if data is not None:
                error["data"] = data
            self._reply(b'{"jsonrpc":"2.0","id":' + self._id + b',"error":' + json_bytes(error) + b"}")

    def give_up(self, why: str) -> None:
        """Nobody waits any more for what the server asks this for."""
        if not self.answered:
            if self.on_withdrawn is not None:
                self.on_withdrawn()
            self.refuse(why, INVALID_REQUEST)

    def withdraw(self) -> None:
        if not self.answered:
            self.answered = True
            if self.on_withdrawn is not None:
                self.on_withdrawn()

    @property
    def _id(self) -> bytes:
        return self.envelope.id or b"null"


class SessionPort(Protocol):
    """What the upstream side may do with the session of a client that has one."""

    client: ClientView
    key: str
    transport: str
    """As of `Exchange`, for people."""

    def ask(self, question: Question, cause: Exchange | None) -> None:
        """Puts a server's question to the client, or refuses it: what the client did not declare is never used."""

    def tell(self, message: bytes, envelope: Envelope, cause: Exchange | None) -> None:
        """Passes a server's notification on."""


class ClientView:
    """What a server may know of the client: its own words, nothing added."""

    __slots__ = (
        "abilities",
        "caller",
        "capabilities",
        "depth",
        "features",
        "info",
        "log_level",
        "needs_own_session",
        "own_key",
        "principal",
        "session",
        "stateless",
        "stays",
        "version",
        "weighed",
    )

    def __init__(
        self,
        *,
        stateless: bool,
        capabilities: bytes = b"{}",
        abilities: bytes = b"{}",
        features: frozenset[str] = frozenset(),
        info: bytes | None = None,
        log_level: str | None = None,
        session: SessionPort | None = None,
        version: str = "",
        own_key: str = "",
        principal: str = "",
        caller: Principal | None = None,
        depth: int = 0,
    ) -> None:
        self.stateless = stateless
        """Prefers a server that keeps no session."""
        self.capabilities = capabilities
        """Raw JSON object."""
        self.abilities = abilities
        """What of `capabilities` lets a server ask the client something, as either era declares it. Raw JSON object."""
        self.features = features
        """Top-level names in `capabilities`."""
        self.info = info
        """Raw JSON object."""
        self.log_level = log_level
        self.session = session
        """None: nothing that a server says outside a reply can reach this client."""
        self.version = version
        """The revision the client speaks; a hint for a handshake made on its behalf."""
        self.principal = principal
        """Whose it is, by the name of `Principal`: for people."""
        self.caller = caller
        """Whose it is; None where nobody asked on behalf of whom a plugin works."""
        self.depth = depth
        """How many plugins stand between the client and this request."""
        self.stays = False
        """What it sends is of a class of data that must not leave the box: it is led to nothing but what is on it."""
        self.weighed = False
        """A capability has looked at the class of its data; `stays` is what came of it."""
        self.own_key = own_key
        """Names a connection that serves only clients like this one: the session, or principal and abilities."""
        asked = ("sampling", "elicitation", "roots", "tasks")
        self.needs_own_session = abilities != b"{}" or (session is not None and not features.isdisjoint(asked))
        """A shared connection could not tell whom a server's question is for."""


UNREAD: Final = ClientView(stateless=True)
"""The client of a stateless request whose `_meta` was not read yet. Shared: nobody changes it."""


class CallListener(Protocol):
    """Whoever made a request of a server: an `Exchange`, or the gateway itself."""

    def notified(self, message: bytes, envelope: Envelope) -> None:
        """A notification that belongs to this request; the progress token is the caller's again."""

    def asked(self, question: Question) -> None:
        """The server wants to know something before it goes on."""

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
        "refused_by",
        "sent",
        "started_s",
        "tool_failed",
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
        self.sent = False
        """It was given to a connection to its server: from then on it may have arrived."""
        self.tool_failed = False
        """The result says that the tool itself failed: for telemetry. Not looked for in long ones."""
        self.refused_by = ""
        """The filter that stopped it, or held its result back: for telemetry."""
        self.on_done: Callable[[Exchange, int | None, TidegateError | None], None] | None = None
        """Told once: the JSON-RPC error code or None, and the gateway's own error if it was one."""
        self.on_result: Callable[[bytes, Envelope], None] | None = None
        """Shown the server's result before the client is, where somebody must learn from it."""
        self.abandon: Callable[[], None] | None = None
        """Set by whoever works on it: stops that work, without an answer."""

    def may_use(self, kind: str, name: str) -> bool:
        """Whether it may be led to this tool, prompt or resource."""
        return self.principal.may_use(kind, name)

    @property
    def as_sent(self) -> tuple[bytes, Envelope]:
        """The request as the client sent it, which filters may have changed since."""
        return self.message, self.envelope

    @property
    def ages(self) -> bool:
        """Whether it was let in by somebody who might say otherwise a moment later: it is not sent twice."""
        return False

    @property
    def stale(self) -> bool:
        """Whether it has waited for longer than it may since it was let in."""
        return False

    @property
    def urgent(self) -> bool:
        """It waits for no turn."""
        return False

    def recheck(self, go_on: Callable[[], None]) -> None:
        """Calls `go_on` if it would be let in now; else it is answered, or led anew."""
        go_on()

    @property
    def at_client(self) -> Exchange:
        """The exchange that writes to the client: this one, unless it stands behind filters."""
        return self

    # -- CallListener -----------------------------------------------------------------------------------

    def notified(self, message: bytes, envelope: Envelope) -> None:
        if not self.done:
            self.send_notification(message, envelope)

    def asked(self, question: Question) -> None:
        session = self.client.session
        if session is None or self.done:
            question.refuse("The client of this request cannot be asked")
        else:
            session.ask(question, self)

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
            if len(message) <= _JUDGED_BYTES and b'"isError"' in message and self.envelope.method == "tools/call":
                at = find_member(message, "isError", *envelope.result_span) if envelope.result_span else None
                self.tool_failed = at is not None and message[at[0] : at[1]] == b"true"
            self._finish(None)
            edit = (span[0], span[1], own_id)
            try:
                self.send_result(message, envelope, edit)
            except MemoryError:
                self.send_error(NoMemory(f"no memory is left for an answer of {len(message)} bytes"))

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

    # -- for the relay ------------------------------------------------------------------------------------

    @property
    def origin(self) -> Origin | None:
        """Who can make such an exchange again; None: nobody, and it is not for the relay."""
        return None

    @property
    def reply_form(self) -> ReplyForm | None:
        """What would be written around a good answer."""
        return None

    @property
    def result_edits(self) -> ResultEdits | None:
        """What `send_result` would do with a good answer."""
        return None

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
