"""MCP over HTTP: one endpoint for both eras, and the two addresses of the transport of 2024-11-05. Requests of OpenAI's
clients come in here as well, through the same door, and go on to `era/openai/`.

Decides per request which era it is of, checks what that era's headers must say against the body, and gives
it an outlet. Sources: 2026-07-28 and 2025-11-25, transports/streamable-http; 2024-11-05, basic/transports.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, cast

from tidegate.clock import Clock
from tidegate.errors import (
    DownstreamError,
    HeaderMismatch,
    InvalidRequest,
    SessionNotFound,
    TidegateError,
    Unauthorized,
    UnsupportedProtocolVersion,
)
from tidegate.pipeline.codec import BATCH, NOTIFICATION, REQUEST, Envelope, Scope, encode_sse, scan
from tidegate.pipeline.era.batch import Batch, BatchOutlet
from tidegate.pipeline.era.front import Front
from tidegate.pipeline.era.modern import ClientViews, StatelessExchange, carries_envelope, check_method
from tidegate.pipeline.era.session import Session, SessionExchange
from tidegate.pipeline.era.session_table import SessionTable
from tidegate.pipeline.era.streams import (
    JSON,
    EventBody,
    GeneralStream,
    Replay,
    SessionOutlet,
    StatelessOutlet,
    read_event_id,
)
from tidegate.pipeline.era.wire import error_message, retry_after
from tidegate.pipeline.exchange import UNREAD, ClientView
from tidegate.pipeline.peer import HttpPost
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.relay.origin import Done, Origin, ReplyForm
from tidegate.protocol.meta_keys import (
    ENDPOINT,
    HEADER_LAST_EVENT,
    HEADER_METHOD,
    HEADER_NAME,
    HEADER_PARAM,
    HEADER_SESSION,
    HEADER_VERSION,
    OPENAI_PATH,
)
from tidegate.protocol.methods import METHODS
from tidegate.protocol.param_headers import decode_value
from tidegate.protocol.revisions import BATCHING, LEGACY, MODERN, PRIMING, SUPPORTED

if TYPE_CHECKING:
    from tidegate.pipeline.era.openai.endpoint import OpenAIEndpoint

SSE_PATH: Final = "/sse"
MESSAGES_PATH: Final = "/messages"
_MIRRORED: Final = (HEADER_VERSION, HEADER_SESSION, HEADER_METHOD, HEADER_NAME)
_CORS: Final = (("vary", "origin"), ("access-control-expose-headers", HEADER_SESSION))
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "POST, GET, DELETE, OPTIONS"),
    ("access-control-allow-headers", "content-type, accept, authorization, last-event-id, " + ", ".join(_MIRRORED)),
    ("access-control-max-age", "600"),
)


class HttpConnection(Protocol):
    """A client's connection, as one that goes on with what was begun on it."""

    def resume(self, request: bytes) -> HttpPost:
        """The request is in service from now on."""


class HttpBinding:
    """Serves the HTTP requests of all clients."""

    def __init__(
        self,
        front: Front,
        sessions: SessionTable,
        views: ClientViews,
        new_session: Callable[[Principal, str], Session],
        identify: Callable[[str | None], Principal | None],
        check_origin: Callable[[str | None, str | None], None],
        openai_models: Callable[[], tuple[tuple[str, str], ...]] = tuple,
        clock: Clock | None = None,
    ) -> None:
        """`openai_models`: as of `Snapshot.openai`, at the moment; while there are none, nothing is at `/v1/`."""
        self._front = front
        self._sessions = sessions
        self._views = views
        self._new_session = new_session
        self._identify = identify
        self._check_origin = check_origin
        self._openai_models = openai_models
        self._openai_endpoint: OpenAIEndpoint | None = None
        self._clock = clock or Clock()
        self._replays: dict[Session, Replay] = {}

    def serve(self, request: HttpPost) -> None:
        """Answers one HTTP request, now or later."""
        headers = request.headers
        openai = self._openai() if request.path.startswith(OPENAI_PATH) and self._openai_models() else None
        try:
            self._check_origin(headers.get("host"), headers.get("origin"))
            _allow_origin(request)
            if request.method == "OPTIONS":
                request.respond(204, _PREFLIGHT if openai is None else openai.preflight)
                return
            principal = self._identify(headers.get("authorization"))
            if principal is None:
                raise Unauthorized("this gateway wants `Authorization: Bearer TOKEN`; see `tidegate token new`")
            path, method = request.path, request.method
            if openai is not None:
                openai.serve(request, principal)
            elif path == ENDPOINT:
                if method == "POST":
                    self._post(request, principal)
                elif method == "GET":
                    self._get(request, principal)
                elif method == "DELETE":
                    self._delete(request, principal)
                else:
                    request.respond(405, [("allow", "POST, GET, DELETE")])
            elif path == SSE_PATH and method == "GET":
                self._open_sse(request, principal)
            elif path == MESSAGES_PATH and method == "POST":
                self._post_to_sse(request, principal)
            else:
                request.respond(404, [JSON], _plain(f"nothing here; the MCP endpoint is `{ENDPOINT}`"))
        except TidegateError as error:
            if openai is not None:
                openai.refuse(request, error)
            else:
                self._refuse(request, error, getattr(error, "id_raw", None))

    def _openai(self) -> OpenAIEndpoint:
        if self._openai_endpoint is None:
            from tidegate.pipeline.era.openai.endpoint import OpenAIEndpoint

            self._openai_endpoint = OpenAIEndpoint(self._front, self._openai_models, self._clock)
        return self._openai_endpoint

    def _refuse(self, request: HttpPost, error: TidegateError, request_id: bytes | None) -> None:
        self._front.refused("http" if request.path == ENDPOINT else "sse", error)
        _refuse(request, error, request_id)

    # -- POST /mcp --------------------------------------------------------------------------------------------

    def _post(self, request: HttpPost, principal: Principal) -> None:
        headers = request.headers
        kind = headers.get("content-type", "")
        if not kind.lower().startswith("application/json"):
            request.respond(415, [JSON], _plain("the body must be `application/json`"))
            return
        accept = headers.get("accept", "*/*")
        if "application/json" not in accept and "text/event-stream" not in accept and "*/*" not in accept:
            request.respond(406, [JSON], _plain("`Accept` must list `application/json` and `text/event-stream`"))
            return
        message = request.body
        envelope = scan(message, self._front.limits.depth)
        version = headers.get(HEADER_VERSION)
        if HEADER_SESSION in headers and version not in MODERN:
            self._in_session(request, message, envelope, principal)
        elif envelope.kind == BATCH:
            raise InvalidRequest(f"batches belong to revision {BATCHING} alone, within a session")
        elif envelope.method == "initialize" and version not in MODERN and not carries_envelope(message, envelope):
            self._initialize(request, message, envelope, principal)
        elif carries_envelope(message, envelope) or (version is not None and version not in LEGACY):
            self._stateless(request, message, envelope, principal, version)
        else:
            error = InvalidRequest(
                f"the request has neither a `{HEADER_SESSION}` header nor the `_meta` of {MODERN[0]}"
            )
            self._refuse(request, error, envelope.id)

    def _stateless(
        self, request: HttpPost, message: bytes, envelope: Envelope, principal: Principal, version: str | None
    ) -> None:
        if envelope.kind == NOTIFICATION:
            if version is not None and version not in MODERN:
                raise _unsupported(version)
            # This era has no client notifications over HTTP; those of the field are taken and dropped.
            request.respond(202)
            return
        if envelope.kind != REQUEST:
            raise InvalidRequest("the body must be one JSON-RPC request or notification")
        outlet = StatelessOutlet(request, self)
        exchange = StatelessExchange(message, envelope, UNREAD, principal, "http", outlet)
        try:
            try:
                exchange.client = self._views.read(message, envelope, exchange.principal)
            except UnsupportedProtocolVersion as error:
                _check_version(version, error.requested)
                raise
            _check_version(version, exchange.client.version)
            check_method(envelope.method or "")
            _check_headers(request.headers, envelope)
            exchange.param_headers = _param_headers(request.headers)
        except TidegateError as error:
            self._front.refused("http", error)
            exchange.failed(error)
            return
        request.on_disconnect = exchange.cancel
        self._front.dispatch(exchange)

    def _initialize(self, request: HttpPost, message: bytes, envelope: Envelope, principal: Principal) -> None:
        session = self._new_session(principal, "http")
        replay = Replay(self._front.limits, prime=False)
        outlet = SessionOutlet(request, replay, streams=False)
        outlet.cancel = session.end
        opened = False

        def mark() -> None:
            nonlocal opened
            opened = True
            replay.prime = session.revision >= PRIMING
            self._replays[session] = replay
            outlet.headers.append((HEADER_SESSION, session.key))

        class Answer:
            """Ends a session whose opening failed."""

            alive = True
            origin: Origin | None = None
            reply_form: ReplyForm | None = None

            def reply(self, answer: bytes, code: int | None) -> None:
                outlet.reply(answer, code)
                if not opened:
                    session.end()

            def notify(self, notice: bytes) -> None:
                pass

        session.open(message, envelope, Answer(), mark)

    def _in_session(self, request: HttpPost, message: bytes, envelope: Envelope, principal: Principal) -> None:
        session = self._session(request, principal, envelope.id)
        if session is None:
            return
        if envelope.kind == REQUEST:
            outlet = SessionOutlet(request, self._replays[session], streams=_takes_stream(request), origin=self)
            exchange = session.request(message, envelope, outlet)
            if exchange is not None:
                outlet.cancel = exchange.cancel
        elif envelope.kind == BATCH:
            self._batch(request, message, session)
        else:
            _take(session, message, envelope)
            request.respond(202)

    def _session(self, request: HttpPost, principal: Principal, request_id: bytes | None) -> Session | None:
        version = request.headers.get(HEADER_VERSION)
        if version is not None and version not in SUPPORTED:
            self._refuse(request, _unsupported(version), request_id)
            return None
        session = self._sessions.find(request.headers[HEADER_SESSION])
        if session is None or session.principal is not principal or session not in self._replays:
            self._refuse(request, SessionNotFound("Session not found; start a new one by `initialize`"), request_id)
            return None
        return session

    def _batch(self, request: HttpPost, message: bytes, session: Session) -> None:
        batch = Batch(message, session.revision, self._front.limits.depth)
        # Where nothing is to be answered, no stream may begin later either.
        streams = batch.expected > 0 and _takes_stream(request)
        outlet = SessionOutlet(request, self._replays[session], streams=streams)
        running: list[SessionExchange] = []

        def cancel() -> None:
            for exchange in running:
                exchange.cancel()

        def serve_one(part: bytes, envelope: Envelope, gathering: BatchOutlet) -> None:
            if envelope.kind == REQUEST:
                exchange = session.request(part, envelope, gathering)
                if exchange is not None:
                    running.append(exchange)
            else:
                _take(session, part, envelope)

        outlet.cancel = cancel
        batch.serve(outlet, serve_one)
        if batch.expected == 0:
            request.respond(202)

    # -- Origin -----------------------------------------------------------------------------------------------

    def resume(
        self, protocol: object, request: bytes, client: ClientView, principal: Principal, done: Done, waited_s: float
    ) -> StatelessExchange | SessionExchange:
        post = cast(HttpConnection, protocol).resume(request)
        _allow_origin(post)
        message = post.body
        envelope = scan(message, self._front.limits.depth)
        session = client.session
        if not isinstance(session, Session):
            exchange = StatelessExchange(message, envelope, client, principal, "http", StatelessOutlet(post, self))
            exchange.on_done = done
            post.on_disconnect = exchange.cancel
            return exchange
        replay = self._replays[session]
        outlet = SessionOutlet(post, replay, streams=_takes_stream(post), origin=self, waited_s=waited_s)
        within = session.resume(message, envelope, outlet, done)
        outlet.cancel = within.cancel
        return within

    def scope_of(self, client: ClientView) -> Scope | None:
        session = client.session
        return session.scope() if isinstance(session, Session) else None

    # -- GET and DELETE /mcp ----------------------------------------------------------------------------------

    def _get(self, request: HttpPost, principal: Principal) -> None:
        if HEADER_SESSION not in request.headers or request.headers.get(HEADER_VERSION) in MODERN:
            request.respond(405, [("allow", "POST")])
            return
        if not _takes_stream(request):
            request.respond(406, [JSON], _plain("`Accept` must list `text/event-stream`"))
            return
        session = self._session(request, principal, None)
        if session is None:
            return
        replay = self._replays[session]
        last = read_event_id(request.headers.get(HEADER_LAST_EVENT, ""))
        if last is None:
            old = session.general
            session.attach(GeneralStream(replay, request))
            if isinstance(old, GeneralStream):
                old.hang_up()
            return
        live = replay.live.get(last[0])
        if live is not None:
            live.resume(request, last[1])
            if isinstance(live, GeneralStream):
                session.attach(live)
            return
        body = EventBody(request, [])
        for event in replay.after(*last):
            body.write(event)
        body.close()

    def _delete(self, request: HttpPost, principal: Principal) -> None:
        if HEADER_SESSION not in request.headers or request.headers.get(HEADER_VERSION) in MODERN:
            request.respond(405, [("allow", "POST")])
            return
        session = self._session(request, principal, None)
        if session is not None:
            session.end()
            request.respond(204)

    def session_ended(self, session: Session) -> None:
        """Closes what is still open for it."""
        replay = self._replays.pop(session, None)
        if replay is not None:
            replay.end_all()

    # -- HTTP+SSE, 2024-11-05 ---------------------------------------------------------------------------------

    def _open_sse(self, request: HttpPost, principal: Principal) -> None:
        session = self._new_session(principal, "sse")
        body = EventBody(request, [])
        session.attach(_SseLegacyStream(body))
        request.on_disconnect = session.end
        body.write(encode_sse(f"{MESSAGES_PATH}?session_id={session.key}".encode(), "endpoint"))

    def _post_to_sse(self, request: HttpPost, principal: Principal) -> None:
        key = dict(pair.partition("=")[::2] for pair in request.query.split("&")).get("session_id", "")
        session = self._sessions.find(key)
        if session is None or session.principal is not principal or not isinstance(session.general, _SseLegacyStream):
            raise SessionNotFound(f"Session not found; open one by GET `{SSE_PATH}`")
        stream = session.general
        envelope = scan(request.body, self._front.limits.depth)
        if envelope.kind == BATCH:
            raise InvalidRequest(f"batches belong to revision {BATCHING} alone")
        request.respond(202, [("content-type", "text/plain")], b"Accepted")
        if envelope.kind != REQUEST:
            _take(session, request.body, envelope)
        elif envelope.method == "initialize" and not session.revision:
            session.open(request.body, envelope, stream, lambda: None)
        elif not session.revision:
            error = InvalidRequest("`initialize` comes first")
            self._front.refused("sse", error)
            stream.reply(error_message(envelope.id, error, stateless=False)[0], error.code)
        else:
            session.request(request.body, envelope, stream)


class _SseLegacyStream:
    """The one stream of an HTTP+SSE client: every message goes there."""

    origin: Origin | None = None
    """Answers do not go where requests come from, so nothing is relayed."""
    reply_form: ReplyForm | None = None

    def __init__(self, body: EventBody) -> None:
        self._body = body

    def reply(self, message: bytes, code: int | None) -> None:
        self._body.write(encode_sse(message, "message"))

    def notify(self, message: bytes) -> None:
        self._body.write(encode_sse(message, "message"))

    def hang_up(self) -> None:
        self._body.close()

    @property
    def alive(self) -> bool:
        return not self._body.closed


def _take(session: Session, message: bytes, envelope: Envelope) -> None:
    if envelope.kind == NOTIFICATION:
        session.notification(message, envelope)
    else:
        session.response(message, envelope)


def _allow_origin(request: HttpPost) -> None:
    """An origin that passed may read the answers, errors among them."""
    origin = request.headers.get("origin")
    if origin is not None:
        request.extra_headers = (("access-control-allow-origin", origin), *_CORS)


def _takes_stream(request: HttpPost) -> bool:
    accept = request.headers.get("accept", "")
    return "text/event-stream" in accept or "*/*" in accept


def _check_version(sent: str | None, version: str) -> None:
    """Raises: HeaderMismatch."""
    if sent != version:
        raise _mismatch("MCP-Protocol-Version", sent, version)


def _check_headers(headers: dict[str, str], envelope: Envelope) -> None:
    """Raises: HeaderMismatch, where a mirrored header is missing or says something else than the body."""
    method = envelope.method or ""
    sent = headers.get(HEADER_METHOD)
    if sent != method:
        raise _mismatch("Mcp-Method", sent, method)
    row = METHODS.get(method)
    sent = headers.get(HEADER_NAME)
    if row is not None and row.named_by:
        name = envelope.name
        if sent is None:
            raise _mismatch("Mcp-Name", None, name or "")
        try:
            decoded = decode_value(sent)
        except ValueError as error:
            raise HeaderMismatch(f"Header mismatch: `Mcp-Name` {error}") from error
        if decoded != name:
            raise _mismatch("Mcp-Name", decoded, name or "")


def _mismatch(header: str, sent: str | None, expected: str) -> HeaderMismatch:
    if sent is None:
        return HeaderMismatch(f"Header mismatch: `{header}` is missing; the body says `{expected[:200]}`")
    return HeaderMismatch(f"Header mismatch: `{header}` is `{sent[:200]}`, the body says `{expected[:200]}`")


def _param_headers(headers: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(HEADER_PARAM):
            try:
                found[name] = decode_value(value)
            except ValueError as error:
                raise HeaderMismatch(f"Header mismatch: `{name}` {error}") from error
    return found


def _unsupported(version: str) -> DownstreamError:
    return UnsupportedProtocolVersion(version, MODERN)


def _refuse(request: HttpPost, error: TidegateError, request_id: bytes | None) -> None:
    headers = [JSON, *retry_after(error.code)]
    if isinstance(error, Unauthorized):
        headers.append(("www-authenticate", 'Bearer realm="tidegate"'))
    request.respond(error.status, headers, error_message(request_id, error, stateless=True)[0])


def _plain(text: str) -> bytes:
    return json.dumps({"error": text}).encode()
