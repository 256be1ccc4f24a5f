"""The slow lane: takes every decision about a request, in order, and composes the stages.

`accept` has framed it and `era` has made an exchange of it; here it is admitted, routed by the catalogue
and handed to the service that owns the name. The way back needs no decisions: the exchange knows it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Snapshot
from tidegate.errors import (
    HeaderMismatch,
    InvalidParams,
    MethodNotFound,
    Overloaded,
    TidegateError,
    UnknownPrompt,
    UnknownResource,
    UnknownTool,
    UpstreamUnreachable,
)
from tidegate.events import BackendState, Events, ExchangeDone
from tidegate.pipeline.calls import Calls
from tidegate.pipeline.changes import Changes
from tidegate.pipeline.codec import Envelope, find_member, patch_object, splice
from tidegate.pipeline.era.bridge.entries import entry_for
from tidegate.pipeline.era.bridge.tasks.shapes import declares_extension, runs_tools
from tidegate.pipeline.era.front import OpeningFacts
from tidegate.pipeline.era.log_level import LEVELS
from tidegate.pipeline.era.modern import ClientViews, Listener, StatelessExchange, discover_result, server_info_meta
from tidegate.pipeline.era.session import Session
from tidegate.pipeline.era.session_table import SessionTable
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.policy.admission import Admission
from tidegate.pipeline.policy.bearer import Bearer
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.route.catalog import Route, Source, View
from tidegate.pipeline.route.collisions import Collisions
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.builtin import BuiltinLink
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.dialect import Edit
from tidegate.pipeline.upstream.link import Link
from tidegate.pipeline.upstream.negotiate import GATEWAY_INFO
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot
from tidegate.protocol.meta_keys import HEADER_PARAM, SUBSCRIPTION_ID
from tidegate.protocol.methods import LIST_RESULT_KEY, METHODS, Handling, Method
from tidegate.protocol.param_headers import argument_text, encode_value, same_value

_log = logging.getLogger("tidegate.serve")

_MAX_VIEWS: Final = 4096
_WATCHED_S: Final = 0.5
"""How long the first word on a listening stream waits until all servers watch the resources."""
_STRAGGLER_S: Final = 5.0
"""How long a list waits for a slow backend while others are ready; its entries follow by list_changed."""
_INFO: Final = json.dumps(GATEWAY_INFO).encode()
_UNKNOWN: Final = {"tools": UnknownTool, "prompts": UnknownPrompt, "resources": UnknownResource}

UseView = Callable[[View], None]
Fail = Callable[[TidegateError], None]


class Gateway:
    """One running gateway: services, sessions, listeners, and the decisions between them."""

    def __init__(
        self,
        snapshot: Snapshot,
        clock: Clock,
        events: Events,
        spawn: Callable[..., None],
    ) -> None:
        self.snapshot = snapshot
        self.limits = snapshot.limits
        self.clock = clock
        self.events = events
        self.bearer = Bearer(snapshot)
        self.views = ClientViews()
        self.sessions = SessionTable(snapshot.limits, clock)
        self.changes = Changes()
        self.admission = Admission(snapshot.limits, clock)
        self.services = [Service(backend, self) for backend in snapshot.backends if backend.enabled]
        self._collisions = Collisions()
        self._spawn = spawn
        self._http: Any = None
        self._epoch = 0
        self._ready_views: dict[str, tuple[int, View]] = {}
        self._followed: dict[tuple[object, str], tuple[Service, Slot]] = {}
        self._listeners: dict[Exchange, Listener] = {}
        self._session_end: list[Callable[[Session], None]] = []
        self._own_slots = any(service.config.isolation == "session" for service in self.services)
        self.calls = Calls(snapshot.limits, clock)
        self.stopping = False

    # -- sessions -------------------------------------------------------------------------------------------

    def new_session(self, principal: Principal, transport: str) -> Session:
        """Raises: RateLimited, Overloaded."""
        self.admission.pass_rate(principal)
        return self.sessions.open(lambda key: Session(key, principal, self, transport))

    def on_session_end(self, told: Callable[[Session], None]) -> None:
        self._session_end.append(told)

    def session_ended(self, session: object) -> None:
        assert isinstance(session, Session)
        for told in self._session_end:
            told(session)
        self.sessions.forget(session)
        self.changes.remove(session)
        self._ready_views.pop(session.key, None)
        for key in [key for key in self._followed if key[0] is session]:
            self._let_go(session, key[1])
        self.calls.tasks.session_ended(session.key)
        for service in self.services:
            service.close_slot(session.key)

    # -- the catalogue ----------------------------------------------------------------------------------------

    def _view_key(self, client: ClientView) -> str:
        alone = self._own_slots or client.needs_own_session
        if client.stateless:
            return client.own_key if alone and self._session_servers() else "stateless"
        return client.own_key if alone else "shared"

    def _session_servers(self) -> bool:
        """Whether stateless clients of different abilities may see different lists."""
        for service in self.services:  # noqa: SIM110 - asked for every call, and a generator costs more than the loop
            if service.stateless is False:
                return True
        return False

    def with_view(self, client: ClientView, use: UseView, fail: Fail) -> None:
        """Calls `use` with the client's catalogue, at once when every backend has been heard."""
        key = self._view_key(client)
        ready = self._ready_views.get(key)
        if ready is not None and ready[0] == self._epoch:
            use(ready[1])
            return
        _Gathering(self, client, use, fail).start()

    def build_view(self, client: ClientView) -> View:
        sources = []
        settled = True
        for service in self.services:
            slot = service.slot_for(client)
            connection = slot.connection
            if connection is None:
                settled = settled and slot.error is not None and not slot.opening and not slot.closed
                continue
            listing = slot.listing
            sources.append(
                Source(
                    config=service.config,
                    handle=service,
                    entries={kind: found.entries for kind, found in listing.kinds.items()},
                    hints={kind: (found.ttl_ms, found.scope) for kind, found in listing.kinds.items()},
                    capabilities=connection.capabilities,
                    server_info=connection.server_info,
                    instructions=connection.instructions,
                    tool_tasks=_tool_tasks(connection),
                )
            )
        view = View(sources, len(self.services), _INFO)
        if settled:
            if len(self._ready_views) >= _MAX_VIEWS:
                self._ready_views.clear()
            # Only now is known which servers keep sessions, on which the key depends.
            self._ready_views[self._view_key(client)] = (self._epoch, view)
        for collision in self._collisions.untold(view.collisions):
            _log.warning("catalogue %s", collision)
        return view

    def with_facts(self, client: ClientView, use: Callable[[OpeningFacts], None], fail: Fail) -> None:
        def told(view: View) -> None:
            if isinstance(client.session, Session):
                self.changes.add(client.session, client)
            use(view)

        self.with_view(client, told, fail)

    # -- requests -------------------------------------------------------------------------------------------

    def dispatch(self, exchange: Exchange) -> None:
        """Admits and serves one request. It is answered through the exchange, now or later."""
        exchange.started_s = self.clock.now_s()
        if self.stopping:
            exchange.failed(Overloaded("the gateway is shutting down"))
            return
        try:
            self.admission.enter(exchange.principal)
        except TidegateError as error:
            exchange.on_done = self._note
            exchange.failed(error)
            return
        exchange.on_done = self._done
        method = exchange.envelope.method or ""
        row = METHODS.get(method)
        try:
            if row is None:
                self._forward_unknown(exchange)
            elif row.handling is Handling.FORWARD:
                self._forward(exchange, row)
            elif row.handling is Handling.LIST:
                self._list(exchange, row)
            elif row.handling is Handling.DISCOVER:
                self.with_view(
                    exchange.client, lambda view: exchange.answer_result(discover_result(view)), exchange.failed
                )
            elif row.handling is Handling.LISTEN:
                self._listen(exchange)
            elif row.handling is Handling.TASK:
                self._task(exchange)
            else:
                exchange.failed(MethodNotFound(f"Method not found: `{method}`"))
        except TidegateError as error:
            exchange.failed(error)

    def _done(self, exchange: Exchange, code: int | None, error: TidegateError | None) -> None:
        listener = self._listeners.pop(exchange, None) if self._listeners else None
        if listener is None:
            self.admission.leave()
        else:
            self._stop_listening(listener)
        self._note(exchange, code, error)

    def _note(self, exchange: Exchange, code: int | None, error: TidegateError | None) -> None:
        self.events.publish(
            ExchangeDone(
                method=exchange.envelope.method or "",
                name=exchange.exposed_name or "" if exchange.backend else "",
                backend=exchange.backend,
                transport=exchange.transport,
                stateless=exchange.client.stateless,
                principal=exchange.principal.name,
                outcome=error.slug if error is not None else "ok" if code is None else "error",
                duration_s=self.clock.now_s() - exchange.started_s,
            )
        )

    def _list(self, exchange: Exchange, row: Method) -> None:
        cursor: str | None = None
        span = exchange.envelope.params_span
        if span is not None:
            at = find_member(exchange.message, "cursor", *span)
            if at is not None:
                value = json_value(exchange.message[at[0] : at[1]])
                if value is not None and not isinstance(value, str):
                    raise InvalidParams("`params.cursor` must be a string")
                cursor = value

        for service in self.services:
            service.refresh_old(service.slot_for(exchange.client))

        def answer(view: View) -> None:
            stateless = exchange.client.stateless
            try:
                entries, rest = view.page(
                    row.kind, exchange.principal, cursor, exchange.client.version, entry_for, hints=stateless
                )
            except TidegateError as error:
                exchange.failed(error)
                return
            result = b'{"' + LIST_RESULT_KEY[row.kind].encode() + b'":' + entries + rest
            if stateless:
                result += b',"resultType":"complete","_meta":' + server_info_meta(view)
            exchange.answer_result(result + b"}")

        self.with_view(exchange.client, answer, exchange.failed)

    def _forward(self, exchange: Exchange, row: Method) -> None:
        if row.name == "completion/complete":
            self._complete(exchange)
            return
        name = exchange.envelope.name
        if name is None:
            raise InvalidParams(f"`{row.name}` needs `params.{row.named_by}`, a string")

        def lead(view: View) -> None:
            route = view.resource_route(name) if row.kind == "resources" else view.route(row.kind, name)
            if route is None and row.kind == "resources":
                # A server may serve what it does not list.
                sole = view.sole()
                if sole is not None and exchange.principal.may_use("resources", name):
                    exchange.backend = sole.config.name
                    self.calls.send(exchange, Target(_service(sole.handle), name, []))
                    return
            if route is None or not exchange.principal.may_use(row.kind, name):
                exchange.failed(_unknown(row.kind, name))
                return
            edits: list[Edit] = []
            span = exchange.envelope.name_span
            if route.renamed and span is not None and row.kind != "resources":
                edits.append((span[0], span[1], json_bytes(route.name)))
            headers: tuple[tuple[str, str], ...] = ()
            if route.headers:
                try:
                    headers = _param_headers(exchange, route)
                except TidegateError as error:
                    exchange.failed(error)
                    return
            exchange.backend = route.backend
            upstream_name = name if row.kind == "resources" else route.name
            service = _service(route.handle)
            self.calls.send(exchange, Target(service, upstream_name, edits, headers, needs_task=route.needs_task))

        self.with_view(exchange.client, lead, exchange.failed)

    def _complete(self, exchange: Exchange) -> None:
        message = exchange.message
        span = exchange.envelope.params_span
        at = find_member(message, "ref", *span) if span is not None else None
        reference = json_value(message[at[0] : at[1]]) if at is not None else None
        if at is None or not isinstance(reference, dict):
            raise InvalidParams("`completion/complete` needs `params.ref`, an object")
        by_prompt = reference.get("type") == "ref/prompt"
        member = "name" if by_prompt else "uri"
        name = reference.get(member)
        if not isinstance(name, str):
            raise InvalidParams(f"`params.ref` needs `{member}`, a string")
        named_at = find_member(message, member, *at)

        def lead(view: View) -> None:
            kind = "prompts" if by_prompt else "resources"
            route = view.route("prompts", name) if by_prompt else view.template_route(name)
            sole = view.sole()
            if not exchange.principal.may_use(kind, name) or (route is None and sole is None):
                exchange.failed(InvalidParams(f"Unknown reference: `{name}`"))
                return
            edits: list[Edit] = []
            if route is not None and route.renamed and named_at is not None:
                edits.append((named_at[0], named_at[1], json_bytes(route.name)))
            handle = route.handle if route is not None else sole.handle if sole is not None else None
            service = _service(handle)
            exchange.exposed_name = name
            exchange.backend = service.name
            self.calls.send(exchange, Target(service, None, edits))

        self.with_view(exchange.client, lead, exchange.failed)

    def _forward_unknown(self, exchange: Exchange) -> None:
        """What has no row is an extension's: the only backend may know it."""
        method = exchange.envelope.method or ""

        def lead(view: View) -> None:
            sole = view.sole()
            if sole is None or exchange.principal.patterns is not None:
                exchange.failed(MethodNotFound(f"Method not found: `{method}`"))
                return
            exchange.backend = sole.config.name
            self.calls.send(exchange, Target(_service(sole.handle), exchange.envelope.name, []))

        self.with_view(exchange.client, lead, exchange.failed)

    def _task(self, exchange: Exchange) -> None:
        def pass_on(service: Service, task_id: str | None) -> None:
            exchange.backend = service.name
            self.calls.send(exchange, Target(service, task_id, []))

        def lead(view: View) -> None:
            # What somebody else may have made on the same connection is not shown.
            alone = exchange.client.session is not None and exchange.client.needs_own_session
            sole = view.sole()
            service = _service(sole.handle) if sole is not None else None
            try:
                self.calls.tasks.serve(
                    exchange,
                    service,
                    alone=alone or self._serves_one(exchange),
                    anonymous=not self.bearer.required,
                    pass_on=pass_on,
                )
            except TidegateError as error:
                exchange.failed(error)

        self.with_view(exchange.client, lead, exchange.failed)

    def _serves_one(self, exchange: Exchange) -> bool:
        """Nobody else could have made a task that this client would see."""
        return exchange.client.session is not None and len(self.sessions) == 1 and not self.bearer.required

    # -- subscriptions --------------------------------------------------------------------------------------

    def _listen(self, exchange: Exchange) -> None:
        assert isinstance(exchange, StatelessExchange)

        def open_stream(view: View) -> None:
            if exchange.done:
                return
            try:
                if len(self._listeners) >= self.limits.sessions:
                    raise Overloaded(f"the gateway has {self.limits.sessions} subscriptions open, its limit")
                listener = Listener(exchange, view)
            except TidegateError as error:
                exchange.failed(error)
                return
            self.changes.add(listener, exchange.client)
            self._listeners[exchange] = listener
            # It may stay open for ever: it is a stream, not work in flight.
            self.admission.leave()
            waiting = set(listener.uris)

            def watched(uri: str) -> None:
                waiting.discard(uri)
                if not waiting:
                    listener.acknowledge()

            if not waiting:
                listener.acknowledge()
                return
            asyncio.get_running_loop().call_later(_WATCHED_S, listener.acknowledge)
            for uri in listener.uris:
                self._follow(listener, exchange.client, uri, None, view, partial(watched, uri))

        self.with_view(exchange.client, open_stream, exchange.failed)

    def _stop_listening(self, listener: Listener) -> None:
        self.changes.remove(listener)
        for uri in listener.uris:
            self._let_go(listener, uri)

    def _let_go(self, who: object, uri: str, *, refused: bool = False) -> None:
        """`who` follows `uri` no more, or never did because the server `refused`."""
        found = self._followed.pop((who, uri), None)
        if found is not None:
            found[0].following.unfollow(found[1], uri, refused=refused)

    def follow(self, client: ClientView, uri: str, exchange: Exchange | None) -> None:
        session = client.session
        assert isinstance(session, Session)

        def settled(done: Exchange, code: int | None, error: TidegateError | None) -> None:
            if code is not None or error is not None:
                session.followed.discard(uri)
                self._let_go(session, uri, refused=code is not None)

        if exchange is not None:
            exchange.on_done = settled
            if not exchange.principal.may_use("resources", uri):
                exchange.failed(_unknown("resources", uri))
                return
        fail = exchange.failed if exchange is not None else _ignore

        def answer() -> None:
            if exchange is not None:
                exchange.answer_result(b"{}")

        self.with_view(client, lambda view: self._follow(session, client, uri, exchange, view, answer), fail)

    def _follow(
        self,
        who: Session | Listener,
        client: ClientView,
        uri: str,
        exchange: Exchange | None,
        view: View,
        then: Callable[[], None],
    ) -> None:
        """`then` is called when the server watches, or when that cannot be had; `exchange`, if given, is answered."""
        route = view.resource_route(uri)
        sole = view.sole()
        handle = route.handle if route is not None else sole.handle if sole is not None else None
        if handle is None:
            if exchange is not None:
                exchange.failed(_unknown("resources", uri))
            then()
            return
        service = _service(handle)

        def use(slot: Slot, connection: Connection) -> None:
            if who.ended or (exchange is not None and exchange.done):
                # It was given up, or taken back, while the connection opened.
                return
            self._followed[(who, uri)] = (service, slot)
            following = service.following
            if exchange is None or not connection.keeps_session or following.is_agreed(slot, uri):
                following.follow(slot, uri, then)
                return
            # While the server has not agreed, each asks it itself, and hears what it says to that.
            following.count(slot, uri)
            exchange.on_result = lambda message, envelope: following.agreed(slot, uri)
            self.calls.send(exchange, Target(service, uri, []))

        def fail(error: TidegateError) -> None:
            if exchange is not None:
                exchange.failed(error)
            else:
                _ignore(error)
            then()

        service.acquire(client, use, fail)

    def unfollow(self, client: ClientView, uri: str, exchange: Exchange | None) -> None:
        session = client.session
        assert isinstance(session, Session)
        for asked in list(session.exchanges.values()):
            if asked.envelope.method == "resources/subscribe" and asked.envelope.name == uri:
                # Not through yet, and must not come through later.
                asked.answer_result(b"{}")
        self._let_go(session, uri)
        if exchange is not None:
            exchange.answer_result(b"{}")

    # -- what a session's client says -------------------------------------------------------------------------

    def log_level(self, client: ClientView, level: str, exchange: Exchange) -> None:
        for service in self.services:
            self._set_level(service, service.slot_for(client))
        exchange.answer_result(b"{}")

    def _set_level(self, service: Service, slot: Slot) -> None:
        """A server is set to the most talkative level that any of the sessions on this connection wants. What
        requests without a session share with them only grows more talkative: one of those may be running.
        """
        connection = slot.connection
        if connection is None or not connection.keeps_session or "logging" not in connection.capabilities:
            return
        wanted = [session.level for session in self.sessions if service.serves(slot, session.client)]
        levels = [level for level in wanted if level is not None]
        if slot.client is None and slot.level is not None:
            levels.append(slot.level)
        if levels:
            slot.level = min(levels)
            params: dict[str, object] = {"level": LEVELS[slot.level]}
            connection.forward_request("logging/setLevel", params, service.config.call_timeout_s)

    def roots_changed(self, client: ClientView, message: bytes) -> None:
        for service in self.services:
            slot = service.slot_for(client)
            if slot.client is not None and slot.connection is not None:
                slot.connection.forward(message)

    def tell_backend(self, client: ClientView, message: bytes, envelope: Envelope) -> None:
        self.roots_changed(client, message)

    # -- ServiceOwner -----------------------------------------------------------------------------------------

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        self._spawn(step, *args, name=name)

    def make_link(self, backend: Backend, transport: str) -> Link:
        limits = self.limits
        if transport == "builtin":
            return BuiltinLink(backend.name, self.clock)
        if transport == "stdio":
            from tidegate.pipeline.upstream.stdio_child import StdioChild

            return StdioChild(backend, max_bytes=limits.result_bytes, write_buffer_bytes=limits.write_buffer_bytes)
        if transport in ("tcp", "unix"):
            from tidegate.config.address import parse_host_port
            from tidegate.pipeline.upstream.stream import StreamLink

            return StreamLink(
                backend.name,
                backend.address if transport == "unix" else parse_host_port(backend.address),
                max_bytes=limits.result_bytes,
                write_buffer_bytes=limits.write_buffer_bytes,
                connect_timeout_s=backend.start_timeout_s,
            )
        if self._http is None:
            from tidegate.pipeline.upstream.http_client import HttpClient

            # Streams and calls that stay open must leave room for the calls, and calls for their cancellation.
            most = max(backend.max_in_flight for backend in self.snapshot.backends)
            room = 2 * most + limits.suspended + 8
            self._http = HttpClient(limits, self.clock, max_connections_per_origin=room)
        if transport == "sse":
            from tidegate.pipeline.upstream.sse_legacy import SseLegacyLink

            return SseLegacyLink(backend, self._http, max_bytes=limits.result_bytes)
        from tidegate.pipeline.upstream.streamable_http import StreamableHttpLink

        return StreamableHttpLink(backend, self._http, max_bytes=limits.result_bytes)

    def list_changed(self, service: Service, slot: Slot, kind: str) -> None:
        self._epoch += 1
        self.changes.list_changed(kind, lambda client: service.serves(slot, client))

    def resource_updated(self, service: Service, slot: Slot, message: bytes, envelope: Envelope) -> None:
        span = envelope.params_span
        if envelope.name is not None and span is not None:
            params = message[span[0] : span[1]]
            at = find_member(params, "_meta")
            if at is not None:
                # The tag names the gateway's own subscription, not the client's.
                params = splice(
                    params, [(at[0], at[1], patch_object(params[at[0] : at[1]], [(SUBSCRIPTION_ID, None)]))]
                )
            self.changes.resource_updated(envelope.name, params, lambda client: service.serves(slot, client))

    def logged(self, service: Service, slot: Slot, message: bytes, envelope: Envelope) -> None:
        if slot.client is None and len(self.snapshot.clients) > 1:
            # What the server does for one of them is none of the others' affair.
            return
        for session in self.sessions:
            if session.level is not None and service.serves(slot, session.client):
                session.logged(message, envelope)

    def is_followed(self, service: Service, slot: Slot) -> bool:
        return self.changes.any_followed(lambda client: service.serves(slot, client))

    def slot_changed(self, service: Service, slot: Slot) -> None:
        if slot.key == (slot.group or slot.key):
            # A further lane adds nothing to a catalogue.
            self._epoch += 1
        ready = slot.connection is not None
        if ready:
            # A server that was started again knows nothing of the levels it was told.
            self._set_level(service, slot)
        self.events.publish(
            BackendState(service.name, slot.serves, "ready" if ready else "down", "" if ready else str(slot.error))
        )

    # -- the end ----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Ends streams and sessions, then every server, bounded by the links' own grace."""
        import anyio

        self.stopping = True
        for listener in list(self._listeners.values()):
            listener.close()
        # Before the sessions: a caller whose call is still open hears that it will not be answered.
        async with anyio.create_task_group() as tasks:
            for service in self.services:
                tasks.start_soon(service.aclose)
        self.sessions.close()
        self.calls.close()
        if self._http is not None:
            await self._http.aclose()

    def statistics(self) -> dict[str, object]:
        return {
            "sessions": len(self.sessions),
            "listeners": len(self._listeners),
            "in_flight": self.admission.in_flight,
            "suspended": {"calls": len(self.calls.suspended), "limit": self.limits.suspended},
            "backends": [service.statistics() for service in self.services],
        }


class _Gathering:
    """Waits until every backend has a connection for a client, or was heard to have none."""

    def __init__(self, gateway: Gateway, client: ClientView, use: UseView, fail: Fail) -> None:
        self._gateway = gateway
        self._client = client
        self._use = use
        self._fail = fail
        self._open = len(gateway.services)
        self._ready = 0
        self._error: TidegateError | None = None
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._open == 0:
            self._finish()
            return
        for service in self._gateway.services:
            service.acquire(self._client, self._one_ready, self._one_failed)
        if not self._over:
            self._timer = asyncio.get_running_loop().call_later(_STRAGGLER_S, self._straggler)

    def _one_ready(self, slot: Slot, connection: Connection) -> None:
        self._ready += 1
        self._one_less()

    def _one_failed(self, error: TidegateError) -> None:
        self._error = error
        self._one_less()

    def _one_less(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._finish()

    def _straggler(self) -> None:
        self._timer = None
        if self._ready > 0:
            self._finish()
        elif not self._over:
            self._timer = asyncio.get_running_loop().call_later(_STRAGGLER_S, self._straggler)

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._ready == 0 and self._error is not None:
            self._fail(self._error)
        elif self._ready == 0 and self._open > 0:
            self._fail(UpstreamUnreachable("no backend is ready"))
        else:
            self._use(self._gateway.build_view(self._client))


def _service(handle: object) -> Service:
    assert isinstance(handle, Service)
    return handle


def _tool_tasks(connection: Connection) -> Literal["", "session", "extension"]:
    if connection.keeps_session:
        return "session" if runs_tools(connection.capabilities) else ""
    return "extension" if declares_extension(connection.capabilities) else ""


def _ignore(error: TidegateError) -> None:
    _log.info("not_followed error=%s", error)


def _unknown(kind: str, name: str) -> TidegateError:
    if kind == "resources":
        return UnknownResource(f"Resource not found: `{name}`", data={"uri": name})
    noun = "tool" if kind == "tools" else "prompt"
    return _UNKNOWN[kind](f"Unknown {noun}: `{name}`")


def _param_headers(exchange: Exchange, route: Route) -> tuple[tuple[str, str], ...]:
    """Marked arguments as headers for the server; the client's own are checked against the body.

    Raises: HeaderMismatch; InvalidParams, for an argument that no header can carry.
    """
    span = exchange.envelope.arguments_span
    arguments = json_value(exchange.message[span[0] : span[1]]) if span is not None else {}
    received = exchange.param_headers if exchange.client.stateless else None
    headers: list[tuple[str, str]] = []
    for header in route.headers:
        text = argument_text(header, arguments)
        name = f"Mcp-Param-{header.name}"
        if received is not None:
            value = received.get(HEADER_PARAM + header.name.lower())
            if text is None and value is not None:
                raise HeaderMismatch(f"Header mismatch: `{name}` is sent, but the argument is absent")
            if text is not None and (value is None or not same_value(header, value, text)):
                raise HeaderMismatch(f"Header mismatch: `{name}` is missing or differs from the argument in the body")
        if text is not None:
            try:
                headers.append((name, encode_value(text)))
            except UnicodeEncodeError as error:
                raise InvalidParams(f"the argument for `{name}` holds half a surrogate pair") from error
    return tuple(headers)
