"""Clients of the session era (2024-11-05 … 2025-11-25): a handshake, then requests both ways.

A `Session` is what the handshake opened: who the client is, what it follows, and the back channel on which
servers ask it things. It outlives the HTTP requests it is used by, and ends with its stream connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.errors import INTERNAL_ERROR, InvalidParams, InvalidRequest, MethodNotFound, TidegateError
from tidegate.pipeline.codec import Envelope, Scope, find_member, splice
from tidegate.pipeline.era.bridge.abilities import asked_abilities
from tidegate.pipeline.era.bridge.entries import capabilities_for
from tidegate.pipeline.era.bridge.results import ResultEdits, fitting_for, result_for
from tidegate.pipeline.era.front import Front, OpeningFacts
from tidegate.pipeline.era.log_level import LEVELS, reaches
from tidegate.pipeline.era.wire import error_message
from tidegate.pipeline.exchange import ClientView, Exchange, Question
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.peer import Outlet
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.relay.origin import Done, Origin, ReplyForm
from tidegate.protocol.methods import CLIENT_FEATURE, METHODS
from tidegate.protocol.revisions import LATEST_LEGACY, LEGACY

_MAX_ASKED: Final = 64
"""Questions of servers that one client may have open."""
_MAX_FOLLOWED: Final = 1000
_MAX_EARLY: Final = 64
_MAX_EARLY_BYTES: Final = 256 * 1024
"""What is kept, together, for a client that has no stream open yet."""

_SINCE: Final = {
    "notifications/tasks/status": "2025-11-25",
    "notifications/tasks": "2026-07-28",
}
"""Notification → the first revision that has it. Revisions are dates, so they compare as text."""


class GeneralOutlet(Protocol):
    """Where a session's messages go that belong to no request."""

    def notify(self, message: bytes) -> None: ...

    @property
    def alive(self) -> bool: ...


class SessionExchange(Exchange):
    """A request within a session."""

    __slots__ = ("outlet", "session")

    def __init__(self, message: bytes, envelope: Envelope, session: Session, transport: str, outlet: Outlet) -> None:
        super().__init__(message, envelope, session.client, session.principal, transport)
        self.session = session
        self.outlet = outlet

    @property
    def origin(self) -> Origin | None:
        return self.outlet.origin

    @property
    def reply_form(self) -> ReplyForm | None:
        return self.outlet.reply_form

    @property
    def result_edits(self) -> ResultEdits:
        fitting = fitting_for(self.envelope.method or "", self.session.revision)
        return ResultEdits(None if self.session.newest else fitting, fitting)

    def send_notification(self, message: bytes, envelope: Envelope) -> None:
        if self.session.wants(message, envelope):
            self.outlet.notify(message)

    def send_result(self, message: bytes, envelope: Envelope, id_edit: tuple[int, int, bytes]) -> None:
        if envelope.result_type_span is None and self.session.newest:
            self.outlet.reply(splice(message, [id_edit]), None)
            return
        span = envelope.result_span
        assert span is not None
        result = result_for(self.envelope.method or "", message[span[0] : span[1]], self.session.revision)
        self.outlet.reply(splice(message, sorted([id_edit, (span[0], span[1], result)])), None)

    def send_own_result(self, message: bytes) -> None:
        self.outlet.reply(message, None)

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        self.outlet.reply(reply, INTERNAL_ERROR)

    def send_error(self, error: TidegateError) -> None:
        message, code = error_message(self.envelope.id, error, stateless=False)
        self.outlet.reply(message, code)

    def _finish(self, error: TidegateError | None, code: int | None = None) -> None:
        self.session.exchanges.pop(self.envelope.id or b"", None)
        super()._finish(error, code)


class Session:
    """One client between `initialize` and its end. Implements `SessionPort` for the upstream side."""

    def __init__(self, key: str, principal: Principal, front: Front, transport: str) -> None:
        self.key = key
        self.principal = principal
        self.transport = transport
        self.client: ClientView = ClientView(stateless=False, session=self)
        self.revision = ""
        self.newest = True
        """Nothing that a server of the session era says is newer than this client."""
        self.level: int | None = None
        """Index into `LEVELS`; None: the client named none."""
        self.general: GeneralOutlet | None = None
        self.followed: set[str] = set()
        self.exchanges: dict[bytes, SessionExchange] = {}
        self.initialized = False
        self.ended = False
        self._front = front
        self._asked: dict[bytes, tuple[Question, Exchange | None]] = {}
        self._next_ask = 0
        self._early: dict[object, bytes] = {}
        """By what it is about: of what changes several times, the last word is enough."""
        self._early_bytes = 0
        self._scope: Scope | None = None
        """Of its requests in the relay."""
        self._changed_early: set[str] = set()
        """Lists that changed while the client could not be told: not initialized yet, or no stream open."""

    # -- the handshake --------------------------------------------------------------------------------------

    def open(self, message: bytes, envelope: Envelope, outlet: Outlet, opened: Callable[[], None]) -> None:
        """Answers `initialize`. `opened` is called just before a successful answer is written."""
        exchange = SessionExchange(message, envelope, self, self.transport, outlet)
        try:
            self._read_client(message, envelope)
        except TidegateError as error:
            exchange.failed(error)
            return

        def answer(facts: OpeningFacts) -> None:
            if self.ended:
                return
            opened()
            result: dict[str, object] = {
                "protocolVersion": self.revision,
                "capabilities": capabilities_for(facts.capabilities(), self.revision),
            }
            instructions = facts.instructions()
            if instructions is not None:
                result["instructions"] = instructions
            encoded = json_bytes(result)
            exchange.answer_result(encoded[:-1] + b',"serverInfo":' + facts.server_info() + b"}")

        self._front.with_facts(self.client, answer, exchange.failed)

    def _read_client(self, message: bytes, envelope: Envelope) -> None:
        span = envelope.params_span
        params = json_value(message[span[0] : span[1]]) if span is not None else None
        if not isinstance(params, dict):
            raise InvalidParams("`initialize` needs `params`")
        version = params.get("protocolVersion")
        if not isinstance(version, str):
            raise InvalidParams("`initialize` needs `params.protocolVersion`, a string")
        capabilities = params.get("capabilities")
        if not isinstance(capabilities, dict):
            raise InvalidParams("`initialize` needs `params.capabilities`, an object")
        info = params.get("clientInfo")
        self.revision = version if version in LEGACY else LATEST_LEGACY
        self.newest = self.revision == LATEST_LEGACY
        self.client = ClientView(
            stateless=False,
            capabilities=json_bytes(capabilities),
            abilities=json_bytes(asked_abilities(capabilities)),
            features=frozenset(capabilities),
            info=json_bytes(info) if isinstance(info, dict) else None,
            session=self,
            version=self.revision,
            own_key=self.key,
            principal=self.principal.name,
            caller=self.principal,
        )

    # -- what the client sends --------------------------------------------------------------------------------

    def request(self, message: bytes, envelope: Envelope, outlet: Outlet) -> SessionExchange | None:
        """One request within the session; None when it was refused at once."""
        exchange = SessionExchange(message, envelope, self, self.transport, outlet)
        request_id = envelope.id or b""
        self.settle()
        if request_id in self.exchanges:
            exchange.send_error(InvalidRequest(f"the id {request_id.decode()} is already in use"))
            return None
        self.exchanges[request_id] = exchange
        method = envelope.method or ""
        row = METHODS.get(method)
        if row is not None and not row.session:
            exchange.failed(MethodNotFound(f"Method not found: `{method}`"))
        elif method == "ping":
            exchange.answer_result(b"{}")
        elif method == "logging/setLevel":
            self._set_level(message, envelope, exchange)
        elif method == "resources/subscribe":
            self._follow(exchange, envelope)
        elif method == "resources/unsubscribe":
            self._unfollow(exchange, envelope)
        elif method == "initialize":
            exchange.failed(InvalidRequest("this session is already initialized"))
        else:
            self._front.dispatch(exchange)
        return exchange

    def resume(self, message: bytes, envelope: Envelope, outlet: Outlet, done: Done) -> SessionExchange:
        """As of `Origin`."""
        exchange = SessionExchange(message, envelope, self, self.transport, outlet)
        exchange.on_done = done
        self.exchanges[envelope.id or b""] = exchange
        return exchange

    def scope(self) -> Scope:
        """Where its ids are told apart from each other."""
        if self._scope is None:
            self._scope = self._front.relay_scope(self.exchanges)
        return self._scope

    def settle(self) -> None:
        """Before calls are looked up in `exchanges`: those that the relay has are there from now on."""
        if self._scope is not None and self._scope.in_flight:
            self._scope.settle()

    def _forget_flows(self) -> None:
        """A stateless server is told of the log level with every request."""
        if self._scope is not None:
            self._scope.close()
            self._scope = None

    def notification(self, message: bytes, envelope: Envelope) -> None:
        self.settle()
        method = envelope.method
        if method == "notifications/initialized":
            self.initialized = True
            self._tell_changed()
        elif method == "notifications/cancelled":
            self._cancelled(message, envelope)
        elif method == "notifications/roots/list_changed":
            self._front.roots_changed(self.client, message)
        else:
            self._front.tell_backend(self.client, message, envelope)

    def response(self, message: bytes, envelope: Envelope) -> None:
        """The client answers what a server asked. An answer to nothing is dropped."""
        entry = self._asked.pop(envelope.id or b"", None)
        if entry is not None:
            entry[0].reply(message, envelope)

    def _cancelled(self, message: bytes, envelope: Envelope) -> None:
        span = envelope.params_span
        if span is None:
            return
        at = find_member(message, "requestId", *span)
        if at is not None:
            exchange = self.exchanges.get(message[at[0] : at[1]])
            if exchange is not None:
                exchange.cancel()
                cancel_stream = getattr(exchange.outlet, "abandon", None)
                if cancel_stream is not None:
                    cancel_stream()

    def _set_level(self, message: bytes, envelope: Envelope, exchange: SessionExchange) -> None:
        span = envelope.params_span
        level = json_value(message[span[0] : span[1]]).get("level") if span is not None else None
        if level not in LEVELS:
            exchange.failed(InvalidParams(f"`level` must be one of {', '.join(LEVELS)}"))
            return
        self.level = LEVELS.index(level)
        self.client.log_level = level
        self._forget_flows()
        self._front.log_level(self.client, level, exchange)

    def _follow(self, exchange: SessionExchange, envelope: Envelope) -> None:
        uri = envelope.name
        if uri is None:
            exchange.failed(InvalidParams("`resources/subscribe` needs `params.uri`, a string"))
        elif uri in self.followed:
            exchange.answer_result(b"{}")
        elif len(self.followed) >= _MAX_FOLLOWED:
            exchange.failed(InvalidRequest(f"a session may follow at most {_MAX_FOLLOWED} resources"))
        else:
            self.followed.add(uri)
            self._front.follow(self.client, uri, exchange)

    def _unfollow(self, exchange: SessionExchange, envelope: Envelope) -> None:
        uri = envelope.name
        if uri is None:
            exchange.failed(InvalidParams("`resources/unsubscribe` needs `params.uri`, a string"))
        elif uri in self.followed:
            self.followed.discard(uri)
            self._front.unfollow(self.client, uri, exchange)
        else:
            exchange.answer_result(b"{}")

    # -- what servers send: SessionPort -----------------------------------------------------------------------

    def ask(self, question: Question, cause: Exchange | None) -> None:
        method = question.envelope.method or ""
        feature = CLIENT_FEATURE.get(method)
        outlet = self._outlet_for(cause)
        if feature is None or feature not in self.client.features:
            question.refuse(f"The client does not offer `{method}`")
        elif len(self._asked) >= _MAX_ASKED:
            question.refuse(f"The client has {_MAX_ASKED} unanswered questions already")
        elif outlet is None:
            question.refuse("The client has no stream open on which it could be asked")
        else:
            self._next_ask += 1
            own_id = b'"tidegate-%d"' % self._next_ask
            span = question.envelope.id_span
            assert span is not None
            self._asked[own_id] = (question, cause)
            question.on_withdrawn = lambda: self._withdraw(own_id)
            outlet.notify(splice(question.message, [(span[0], span[1], own_id)]))
            # It is on its way; while the client thinks, only its id is needed.
            question.message = b""

    def tell(self, message: bytes, envelope: Envelope, cause: Exchange | None) -> None:
        if not self.wants(message, envelope):
            return
        outlet = self._outlet_for(cause)
        if outlet is not None:
            outlet.notify(message)
        else:
            self._keep(object(), message)

    def _withdraw(self, own_id: bytes) -> None:
        asked = self._asked.pop(own_id, None)
        outlet = self._outlet_for(asked[1]) if asked is not None else None
        if outlet is not None:
            outlet.notify(
                b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":' + own_id + b"}}"
            )

    def _outlet_for(self, cause: Exchange | None) -> GeneralOutlet | None:
        cause = cause.at_client if cause is not None else None
        if isinstance(cause, SessionExchange) and cause.session is self and not cause.done and cause.outlet.alive:
            return cause.outlet
        if self.general is not None and self.general.alive:
            return self.general
        return None

    def attach(self, general: GeneralOutlet) -> None:
        """The client opened its stream for messages that belong to no request."""
        self.general = general
        early, self._early = self._early, {}
        self._early_bytes = 0
        for message in early.values():
            general.notify(message)
        self._tell_changed()

    def _tell_changed(self) -> None:
        changed, self._changed_early = self._changed_early, set()
        for kind in sorted(changed):
            self.list_changed(kind)

    def _keep(self, about: object, message: bytes) -> None:
        """For a client whose stream opens a moment later."""
        self._early_bytes -= len(self._early.pop(about, b""))
        if len(self._early) < _MAX_EARLY and self._early_bytes + len(message) <= _MAX_EARLY_BYTES:
            self._early[about] = message
            self._early_bytes += len(message)

    # -- changes --------------------------------------------------------------------------------------------

    def list_changed(self, kind: str) -> None:
        outlet = self._outlet_for(None) if self.initialized else None
        if outlet is not None:
            outlet.notify(b'{"jsonrpc":"2.0","method":"notifications/' + kind.encode() + b'/list_changed"}')
        else:
            self._changed_early.add(kind)

    def resource_updated(self, uri: str, params: bytes) -> None:
        if uri in self.followed:
            message = b'{"jsonrpc":"2.0","method":"notifications/resources/updated","params":' + params + b"}"
            outlet = self._outlet_for(None)
            if outlet is not None:
                outlet.notify(message)
            else:
                self._keep(uri, message)

    def logged(self, message: bytes, envelope: Envelope) -> None:
        outlet = self._outlet_for(None)
        if outlet is not None and self.wants(message, envelope):
            outlet.notify(message)

    def wants(self, message: bytes, envelope: Envelope) -> bool:
        """Whether the client's revision has this notification, and a log line reaches the level that it set."""
        if self.revision < _SINCE.get(envelope.method or "", ""):
            return False
        return envelope.method != "notifications/message" or self.level is None or reaches(message, self.level)

    @property
    def busy(self) -> bool:
        """Whether requests run in it."""
        return bool(self.exchanges) or (self._scope is not None and self._scope.in_flight > 0)

    # -- the end ----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Cancels what runs and lets go of every server resource."""
        if self.ended:
            return
        self.ended = True
        if self._scope is not None:
            self._scope.close()
        for exchange in list(self.exchanges.values()):
            exchange.cancel()
        asked, self._asked = self._asked, {}
        for question, _ in asked.values():
            question.refuse("The client is gone")
        self._front.session_ended(self)
