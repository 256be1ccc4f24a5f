"""A client on a byte stream (stdio, TCP, unix socket): which era it speaks, message by message.

A request whose `_meta` names a revision is served statelessly; `initialize` opens a session that lasts as
long as the stream. Both may come on one stream (2026-07-28, versioning: "A dual-era server MAY serve both").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tidegate.errors import InvalidParams, InvalidRequest, TidegateError, Unauthorized
from tidegate.pipeline.codec import BATCH, NOTIFICATION, REQUEST, Envelope, Scope, find_member, scan
from tidegate.pipeline.era.batch import Batch, BatchOutlet
from tidegate.pipeline.era.front import Front
from tidegate.pipeline.era.modern import ClientViews, StatelessExchange, carries_envelope, check_method
from tidegate.pipeline.era.session import Session, SessionExchange
from tidegate.pipeline.era.wire import error_message
from tidegate.pipeline.exchange import UNREAD, ClientView
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.relay.origin import Done, Origin, ReplyForm
from tidegate.protocol.meta_keys import CLIENT_CAPABILITIES, PROTOCOL_VERSION, TOKEN


class Wire(Protocol):
    """The stream's writing end."""

    def write(self, message: bytes) -> None: ...

    @property
    def alive(self) -> bool: ...


class _StreamOutlet:
    """Answers on a stream: all messages share it."""

    __slots__ = ("_wire", "origin")
    reply_form: ReplyForm | None = ReplyForm()

    def __init__(self, wire: Wire, origin: Origin) -> None:
        self._wire = wire
        self.origin: Origin | None = origin

    def reply(self, message: bytes, code: int | None) -> None:
        self._wire.write(message)

    def notify(self, message: bytes) -> None:
        self._wire.write(message)

    def abandon(self) -> None:
        """Nothing to end: the stream goes on without this answer."""

    @property
    def alive(self) -> bool:
        return self._wire.alive


class Conversation:
    """What one stream connection has said so far."""

    def __init__(
        self,
        front: Front,
        wire: Wire,
        transport: str,
        identify: Callable[[], Principal | None],
        authenticate: Callable[[str], Principal | None],
        views: ClientViews,
        new_session: Callable[[Principal, str], Session],
    ) -> None:
        """`identify`: who it is without a token, if that is enough. Asked again when the rules change."""
        self._front = front
        self._wire = wire
        self._transport = transport
        self._identify = identify
        self._principal: Principal | None = None
        self._authenticate = authenticate
        self._views = views
        self._new_session = new_session
        self._outlet = _StreamOutlet(wire, self)
        self._session: Session | None = None
        self._opened = False
        self._stateless: dict[bytes, StatelessExchange] = {}
        self._scope: Scope | None = None
        """Of stateless requests in the relay."""
        self._limit = front.limits.line_bytes

    def receive(self, message: bytes | None) -> None:
        """One message, or None for one that was over the limit."""
        if message is None:
            error: TidegateError = InvalidRequest(
                f"a message may have at most `limits.line_bytes` ({self._limit} bytes)"
            )
            self._refuse(None, error)
            return
        try:
            envelope = scan(message, self._front.limits.depth)
            if envelope.kind == BATCH:
                self._batch(message)
            else:
                self._one(message, envelope, self._outlet)
        except TidegateError as error:
            self._refuse(getattr(error, "id_raw", None), error)

    def garbage(self, error: TidegateError) -> None:
        self._refuse(None, error)

    def _refuse(self, request_id: bytes | None, error: TidegateError) -> None:
        self._front.refused(self._transport, error)
        self._wire.write(error_message(request_id, error, stateless=self._session is None)[0])

    def _one(self, message: bytes, envelope: Envelope, outlet: _StreamOutlet | BatchOutlet) -> None:
        kind = envelope.kind
        if self._session is not None and (self._session.ended or self._session.principal.revoked):
            # Its principal is no more.
            self._session = None
        if kind == REQUEST:
            principal = self._principal
            if principal is None or principal.revoked:
                principal = self._principal = self._identify() or self._admit(message, envelope)
                if principal is None:
                    error = Unauthorized(f"this gateway wants a token in `params._meta` as `{TOKEN}`")
                    self._front.refused(self._transport, error)
                    outlet.reply(error_message(envelope.id, error, stateless=True)[0], None)
                    return
            self._request(message, envelope, outlet, principal)
        elif kind == NOTIFICATION:
            if envelope.method == "notifications/cancelled":
                self._cancelled(message, envelope)
            if self._session is not None:
                self._session.notification(message, envelope)
        elif self._session is not None:
            self._session.response(message, envelope)

    def _request(
        self, message: bytes, envelope: Envelope, outlet: _StreamOutlet | BatchOutlet, principal: Principal
    ) -> None:
        if carries_envelope(message, envelope):
            self._stateless_request(message, envelope, outlet, principal)
        elif envelope.method == "initialize":
            if self._session is not None:
                self._session.request(message, envelope, outlet)
                return
            session = self._new_session(principal, self._transport)
            self._session = session
            session.attach(self._outlet)
            session.open(message, envelope, outlet, self._mark_opened)
            if session.revision == "":
                session.end()
                self._session = None
        elif self._session is not None:
            self._session.request(message, envelope, outlet)
        else:
            error = InvalidParams(
                f"the request has neither `{PROTOCOL_VERSION}` and `{CLIENT_CAPABILITIES}` in `params._meta` "
                "nor an `initialize` before it"
            )
            self._front.refused(self._transport, error)
            outlet.reply(error_message(envelope.id, error, stateless=True)[0], None)

    def _mark_opened(self) -> None:
        self._opened = True

    def _stateless_request(
        self, message: bytes, envelope: Envelope, outlet: _StreamOutlet | BatchOutlet, principal: Principal
    ) -> None:
        exchange = StatelessExchange(message, envelope, UNREAD, principal, self._transport, outlet)
        request_id = envelope.id or b""
        self._settle()
        if request_id in self._stateless:
            exchange.failed(InvalidRequest(f"the id {request_id.decode()} is already in use"))
            return
        try:
            exchange.client = self._views.read(message, envelope, exchange.principal)
            check_method(envelope.method or "")
        except TidegateError as error:
            self._front.refused(self._transport, error)
            exchange.failed(error)
            return
        self._front.dispatch(exchange)
        if not exchange.done:
            self._note(exchange)

    def _note(self, exchange: StatelessExchange) -> None:
        """It is still to be answered."""
        request_id = exchange.envelope.id or b""
        self._stateless[request_id] = exchange
        after = exchange.on_done

        def done(ended: object, code: int | None, error: TidegateError | None) -> None:
            self._stateless.pop(request_id, None)
            if after is not None:
                after(exchange, code, error)

        exchange.on_done = done

    # -- Origin -----------------------------------------------------------------------------------------------

    def resume(
        self, protocol: object, request: bytes, client: ClientView, principal: Principal, done: Done, waited_s: float
    ) -> StatelessExchange | SessionExchange:
        envelope = scan(request, self._front.limits.depth)
        if isinstance(client.session, Session):
            return client.session.resume(request, envelope, self._outlet, done)
        exchange = StatelessExchange(request, envelope, client, principal, self._transport, self._outlet)
        exchange.on_done = done
        self._note(exchange)
        return exchange

    def scope_of(self, client: ClientView) -> Scope | None:
        if isinstance(client.session, Session):
            return client.session.scope()
        if self._scope is None:
            self._scope = self._front.relay_scope(self._stateless)
        return self._scope

    def _settle(self) -> None:
        """Before ids are looked up: those that the relay has are ours from now on."""
        if self._scope is not None and self._scope.in_flight:
            self._scope.settle()

    def _cancelled(self, message: bytes, envelope: Envelope) -> None:
        self._settle()
        span = envelope.params_span
        at = find_member(message, "requestId", *span) if span is not None else None
        exchange = self._stateless.get(message[at[0] : at[1]]) if at is not None else None
        if exchange is not None:
            exchange.cancel()
            if isinstance(exchange.outlet, BatchOutlet):
                exchange.outlet.abandon()

    def _batch(self, message: bytes) -> None:
        revision = self._session.revision if self._session is not None else ""
        Batch(message, revision, self._front.limits.depth).serve(self._outlet, self._one)

    def _admit(self, message: bytes, envelope: Envelope) -> Principal | None:
        """Reads the token of a connection that has not shown one yet, or one that is good no more."""
        span = envelope.meta_span
        at = find_member(message, TOKEN, *span) if span is not None else None
        if at is None:
            return None
        token = json_value(message[at[0] : at[1]])
        return self._authenticate(token) if isinstance(token, str) else None

    @property
    def busy(self) -> bool:
        """Whether a request is still to be answered."""
        return bool(self._stateless) or (self._session is not None and bool(self._session.exchanges))

    def end(self) -> None:
        """The stream is closed: whatever runs for it is cancelled."""
        if self._scope is not None:
            self._scope.close()
            self._scope = None
        for exchange in list(self._stateless.values()):
            exchange.cancel()
        self._stateless.clear()
        if self._session is not None:
            self._session.end()
            self._session = None
