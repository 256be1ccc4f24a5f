"""The slow lane: takes every decision about a request, in order, and composes the stages.

`accept` has framed it and `era` has made an exchange of it; here it is admitted, routed by the catalogue
and handed to the service that owns the name. The way back needs no decisions: the exchange knows it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Filter, Snapshot
from tidegate.errors import (
    InvalidParams,
    MethodNotFound,
    Overloaded,
    TidegateError,
    Unauthorized,
    UpstreamClosed,
)
from tidegate.events import BackendState, Events, ExchangeDone, Refused
from tidegate.pipeline.armed_calls import ArmedCalls
from tidegate.pipeline.calls import Calls
from tidegate.pipeline.capabilities.capabilities import Capabilities
from tidegate.pipeline.catalogues import Catalogues
from tidegate.pipeline.changes import Changes
from tidegate.pipeline.codec import Envelope, Scope, find_member, patch_object, splice
from tidegate.pipeline.era.bridge.entries import entry_for
from tidegate.pipeline.era.front import OpeningFacts
from tidegate.pipeline.era.inner import InnerExchange
from tidegate.pipeline.era.log_level import LEVELS
from tidegate.pipeline.era.modern import ClientViews, discover_result, server_info_meta
from tidegate.pipeline.era.session import Session
from tidegate.pipeline.era.session_table import SessionTable
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.filtering.filters import Filters
from tidegate.pipeline.filtering.screening import Screens
from tidegate.pipeline.forwarding import Forwarding
from tidegate.pipeline.inner_call import InnerCalls, inner_exchange
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.own_answers.answers import OwnAnswers
from tidegate.pipeline.plugins import Plugins
from tidegate.pipeline.policy.admission import Admission
from tidegate.pipeline.policy.bearer import Bearer
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.relay.decision import Decision
from tidegate.pipeline.relay.lane import FastLane
from tidegate.pipeline.reload import Fate, Plan
from tidegate.pipeline.route.catalog import View
from tidegate.pipeline.subscriptions import Subscriptions
from tidegate.pipeline.upstream.link import Link
from tidegate.pipeline.upstream.links import Links
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Fail, Slot
from tidegate.protocol.meta_keys import SUBSCRIPTION_ID
from tidegate.protocol.methods import LIST_RESULT_KEY, METHODS, Handling, Method
from tidegate.sandbox.guest import Answered, Caller
from tidegate.storage.documents import Documents

_log = logging.getLogger("tidegate.serve")

_LAST_CALLS_S: Final = 5.0
"""For what plugins have armed, when the gateway stops."""
_TOLD_AT_ONCE: Final = 512
"""Requests of revoked callers that are ended in one go, in about 30 ms."""


class Gateway:
    """One running gateway: services, sessions, listeners, and the decisions between them."""

    def __init__(
        self,
        snapshot: Snapshot,
        clock: Clock,
        events: Events,
        spawn: Callable[..., None],
        documents: Documents | None = None,
        plugins_directory: Path | None = None,
    ) -> None:
        """`documents`: where it keeps what backends offer; None for nowhere. `plugins_directory`: as of `Plugins`."""
        self.snapshot = snapshot
        self.limits = snapshot.limits
        self.clock = clock
        self.events = events
        self.documents = documents
        self.bearer = Bearer(snapshot)
        self.views = ClientViews()
        self.sessions = SessionTable(snapshot.limits, clock)
        self.changes = Changes()
        self.admission = Admission(snapshot.limits, clock)
        self.services = [Service(backend, self) for backend in snapshot.backends if backend.enabled]
        self.catalogues = Catalogues(self.services)
        self.own_answers = OwnAnswers(snapshot.sampling, snapshot.limits, self.dispatch, self._tool_entry)
        self.calls = Calls(snapshot.limits, clock, self.own_answers)
        self.subscriptions = Subscriptions(snapshot.limits, self.catalogues, self.changes, self.calls, self.admission)
        self._spawn = spawn
        self.relay = FastLane(
            snapshot.limits, clock, events, self.admission, self._done, self._repeated, on=snapshot.relay
        )
        self.calls.relay = self.relay
        self.sessions.before_judging = self.relay.publish
        self.plugins = Plugins(plugins_directory, snapshot.trusted_keys, snapshot.limits, clock, events)
        self.filters = Filters(spawn, self.plugins.load_filter)
        self.capabilities = Capabilities(
            snapshot.limits, clock, events, self.catalogues, self._filters_configured, self.dispatch, snapshot.power
        )
        self._links = Links(
            snapshot.limits,
            clock,
            self.relay,
            max_in_flight=_most_in_flight(snapshot),
            plugins=(self.plugins.load_backend, self._caller_of),
            capabilities=self.capabilities,
        )
        self.forwarding = Forwarding(self.catalogues, self.calls, self.filters, self.sessions, self.bearer)
        self.calls.lead_anew = self.forwarding.anew
        self.armed = ArmedCalls(self._make_armed, self._send_armed)
        self.screens = Screens(
            snapshot.limits,
            clock,
            events,
            self.filters,
            self.calls.suspended,
            lambda one, exchange: self.inner_calls.of_exchange(_filter_key(one.name), exchange),
            self.forwarding,
        )
        self.forwarding.screens = self.screens
        self.inner_calls: InnerCalls = InnerCalls(self.dispatch, self.armed, self.screens)
        self.filters.take_up(snapshot.filters)
        self._retiring: set[Service] = set()
        self._session_end: list[Callable[[Session], None]] = []
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
        self.subscriptions.session_ended(session)
        self.catalogues.forget(session.key)
        self.calls.tasks.session_ended(session.key)
        for service in self.services:
            service.close_slot(session.key)

    def with_facts(self, client: ClientView, use: Callable[[OpeningFacts], None], fail: Fail) -> None:
        """Calls `use` with what a greeting tells; from then on the session hears of changes."""

        def told(view: View) -> None:
            if isinstance(client.session, Session):
                self.changes.add(client.session, client)
                self.catalogues.attend(client)
            use(view)

        self.catalogues.with_facts(client, told, fail)

    def follow(self, client: ClientView, uri: str, exchange: Exchange | None) -> None:
        self.subscriptions.follow(client, uri, exchange)

    def unfollow(self, client: ClientView, uri: str, exchange: Exchange | None) -> None:
        self.subscriptions.unfollow(client, uri, exchange)

    # -- another configuration --------------------------------------------------------------------------------

    def take_up(self, snapshot: Snapshot, found: Plan) -> None:
        """Puts `snapshot` into force, at once: whatever is dispatched from now on sees nothing else.

        `found`: what it changes. Services that are gone finish what they were given, within the drain time.
        """
        drain_s = self.limits.drain_s
        self.relay.take_up(snapshot.limits, on=snapshot.relay and not self.stopping)
        self.snapshot = snapshot
        limits = self.limits = snapshot.limits
        moved = self.bearer.take_up(snapshot)
        self.admission.take_up(limits, moved)
        self.sessions.take_up(limits)
        self.calls.take_up(limits)
        self.screens.take_up(limits)
        self.filters.take_up(snapshot.filters)
        self.armed.keep_only(_plugin_keys(snapshot))
        self._links.take_up(limits, max_in_flight=_most_in_flight(snapshot))
        self._end_revoked()
        gone = self._exchange_services(found, self.own_answers.take_up(snapshot.sampling, limits))
        self.catalogues.services_changed()
        self.capabilities.take_up(limits, snapshot.power)
        self.start()
        self.subscriptions.take_up(limits)
        self.subscriptions.services_gone(gone)
        others = found.catalogue_changes or bool(gone)
        for session in self.sessions:
            if others or session.principal in moved:
                for kind in ("tools", "prompts", "resources"):
                    session.list_changed(kind)
        self.subscriptions.list_changed(None if others else moved)
        for service in gone:
            self._retiring.add(service)
            self._spawn(self._retire, service, drain_s, name=f"retire {service.name}")

    def _exchange_services(self, found: Plan, greeting_changes: bool) -> list[Service]:
        """Makes `services` those of the new configuration; the ones that are gone. `greeting_changes`: what servers
        with sessions were told of their clients is not true any more.
        """
        before = {service.name: service for service in self.services}
        now: list[Service] = []
        for backend, fate in found.backends:
            service = before.get(backend.name)
            greeted = greeting_changes and service is not None and service.greeted
            if service is None or greeted or fate in (Fate.ADDED, Fate.REPLACED):
                service = Service(backend, self)
            else:
                service.adjust(backend)
            now.append(service)
        gone = [service for service in self.services if service not in now]
        self.services[:] = now
        return gone

    def _end_revoked(self) -> None:
        """Sessions of callers that are no more. Nothing is served in them from now on; what runs in them is told, some
        of it at a time.
        """
        told = 0
        for session in self.sessions:
            if not session.principal.revoked:
                continue
            if told >= _TOLD_AT_ONCE:
                asyncio.get_running_loop().call_soon(self._end_revoked)
                return
            session.settle()
            for exchange in list(session.exchanges.values()):
                told += 1
                try:
                    exchange.failed(Unauthorized("the token of this session is not valid any more"))
                except Exception:
                    # One that goes wrong must not keep the others served.
                    _log.exception("revoked_request_failed backend=%s", exchange.backend)
            self.sessions.end(session)

    async def _retire(self, service: Service, drain_s: float) -> None:
        try:
            await service.retire(drain_s)
        finally:
            self._retiring.discard(service)

    # -- the relay --------------------------------------------------------------------------------------------

    def relay_scope(self, ids: Mapping[bytes, object]) -> Scope:
        return self.relay.scope(ids)

    def _repeated(self, decision: Decision) -> None:
        """The relay has done again what was decided once."""
        session = decision.client.session
        if session is not None:
            self.sessions.find(session.key)
        if decision.slot.client is not None:
            decision.slot.used_at_s = self.clock.now_s()

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
                self.forwarding.unknown_method(exchange)
            elif row.handling is Handling.FORWARD:
                self.forwarding.request(exchange, row)
            elif row.handling is Handling.LIST:
                self._list(exchange, row)
            elif row.handling is Handling.DISCOVER:
                self.catalogues.with_facts(
                    exchange.client, lambda view: exchange.answer_result(discover_result(view)), exchange.failed
                )
            elif row.handling is Handling.LISTEN:
                self.subscriptions.listen(exchange)
            elif row.handling is Handling.TASK:
                self.forwarding.task(exchange)
            else:
                exchange.failed(MethodNotFound(f"Method not found: `{method}`"))
        except TidegateError as error:
            exchange.failed(error)

    def _done(self, exchange: Exchange, code: int | None, error: TidegateError | None) -> None:
        if not self.subscriptions.streams or not self.subscriptions.ended(exchange):
            self.admission.leave()
        self._note(exchange, code, error)

    def refused(self, transport: str, error: TidegateError) -> None:
        self.events.publish(Refused(transport, error.slug))

    def _note(self, exchange: Exchange, code: int | None, error: TidegateError | None) -> None:
        if error is not None:
            outcome = error.slug
        elif code is not None:
            outcome = "error"
        else:
            outcome = "tool_error" if exchange.tool_failed else "ok"
        if exchange.refused_by and error is None:
            outcome = "refused"
        self.events.publish(
            ExchangeDone(
                method=exchange.envelope.method or "",
                name=exchange.exposed_name or "" if exchange.backend else "",
                backend=exchange.backend,
                transport=exchange.transport,
                stateless=exchange.client.stateless,
                principal=exchange.principal.name,
                outcome=outcome,
                duration_s=self.clock.now_s() - exchange.started_s,
                filter=exchange.refused_by,
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

        self.catalogues.refresh(exchange.client)

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

        self.catalogues.with_view(exchange.client, answer, exchange.failed)

    # -- what a session's client says -------------------------------------------------------------------------

    def log_level(self, client: ClientView, level: str, exchange: Exchange) -> None:
        for service in self.services:
            slot = service.existing_slot(client)
            for one in () if slot is None else slot.siblings or (slot,):
                self._set_level(service, one)
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
            slot = service.existing_slot(client)
            if slot is not None and slot.client is not None and slot.connection is not None:
                slot.connection.forward(message)

    def tell_backend(self, client: ClientView, message: bytes, envelope: Envelope) -> None:
        # A request without an id is no notification, though there are servers that would do what it says.
        if (envelope.method or "").startswith("notifications/"):
            self.roots_changed(client, message)

    def _tool_entry(self, client: ClientView, name: str) -> bytes | None:
        route = self.catalogues.now(client).route("tools", name)
        return route.raw if route is not None else None

    # -- what plugins want called -----------------------------------------------------------------------------

    def _caller_of(self, backend: str, client: ClientView) -> Caller:
        return self.inner_calls.of_client(_backend_key(backend), client)

    def _filters_configured(self, tool: str) -> list[Filter]:
        return [one.config for one in self.filters.of(tool)]

    def _make_armed(
        self, name: str, arguments: bytes, principal: Principal, plugin: str, depth: int, done: Answered
    ) -> InnerExchange:
        return inner_exchange(name, arguments, principal, plugin, depth, self.limits.depth, done)

    def _send_armed(self, exchange: InnerExchange) -> None:
        """Past the bounds on what clients may have let in, and while the gateway stops."""
        exchange.started_s = self.clock.now_s()
        exchange.hurry()
        self.admission.resume()
        exchange.on_done = self._done
        try:
            self.forwarding.request(exchange, METHODS["tools/call"])
        except TidegateError as error:
            exchange.failed(error)

    # -- ServiceOwner -----------------------------------------------------------------------------------------

    @property
    def rules(self) -> object:
        """Another one whenever a call that was let in would have to be looked at again."""
        return self.filters.rules

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        self._spawn(step, *args, name=name)

    def start(self) -> None:
        """Opens what is to be open before anybody needs it."""
        for service in self.services:
            # Where each session has a connection of its own, there is nothing to open before it comes.
            if service.config.start == "at_once" and service.config.isolation != "session":
                service.start()

    def make_link(self, backend: Backend, transport: str) -> Link:
        return self._links.make(backend, transport)

    def list_changed(self, service: Service, kind: str, sees: Callable[[ClientView], bool]) -> None:
        self.relay.void("lists", service.name)
        self.catalogues.moved()
        self.capabilities.catalogue_changed()
        self.changes.list_changed(kind, sees)

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

    def slot_gone(self, service: Service, slot: Slot) -> None:
        self.subscriptions.slot_gone(slot)

    def slot_changed(self, service: Service, slot: Slot) -> None:
        self.relay.void("connection", service.name)
        if slot.key == (slot.group or slot.key):
            # A further lane adds nothing to a catalogue.
            self.catalogues.moved()
            self.capabilities.catalogue_changed()
        if slot.connection is not None:
            # A server that was started again knows nothing of the levels it was told.
            self._set_level(service, slot)
            self.capabilities.reached(service.name)
        reason = str(slot.error) if slot.error is not None else ""
        self.events.publish(BackendState(service.name, slot.serves, slot.state, reason))

    # -- the end ----------------------------------------------------------------------------------------------

    @property
    def most_to_stop_s(self) -> float:
        """How long clients, and what plugins have armed, may hold up the end."""
        return self.limits.drain_s + (_LAST_CALLS_S if len(self.armed) else 0.0)

    def stop_taking(self) -> None:
        """Nothing new is served."""
        self.stopping = True
        self.relay.close()

    async def aclose(self) -> None:
        """Ends streams and sessions, then every server, bounded by the links' own grace."""
        import anyio

        self.stop_taking()
        with anyio.move_on_after(_LAST_CALLS_S):
            await self.armed.make_all()
        self.armed.close()
        self.subscriptions.close()
        # Before the sessions: a caller whose call is still open hears that it will not be answered.
        why = UpstreamClosed(
            f"the gateway is shutting down, and the request did not finish within the {self.limits.drain_s:g} s of "
            "`drain_s`"
        )
        async with anyio.create_task_group() as tasks:
            for service in (*self.services, *self._retiring):
                tasks.start_soon(service.aclose, why)
        self.sessions.close()
        self.calls.close()
        await self._links.aclose()
        await self.plugins.aclose()

    def statistics(self) -> dict[str, object]:
        return {
            "sessions": len(self.sessions),
            "listeners": len(self.subscriptions),
            "in_flight": self.admission.in_flight + self.relay.native.in_flight,
            "relay": self.relay.statistics(),
            "suspended": {"calls": len(self.calls.suspended), "limit": self.limits.suspended},
            "retiring": len(self._retiring),
            "filters": [one.statistics() for one in self.filters],
            "armed": self.armed.statistics(),
            "backends": [service.statistics() for service in self.services],
            "capabilities": self.capabilities.statistics(),
            "sandbox": self.plugins.statistics(),
        }


def _filter_key(name: str) -> str:
    return f"filter {name}"


def _backend_key(name: str) -> str:
    return f"backend {name}"


def _plugin_keys(snapshot: Snapshot) -> set[str]:
    """Of all plugins, as `Caller`s of theirs are told apart."""
    backends = {_backend_key(one.name) for one in snapshot.backends if one.plugin is not None and one.enabled}
    return backends | {_filter_key(one.name) for one in snapshot.filters}


def _most_in_flight(snapshot: Snapshot) -> int:
    backends = (backend for backend in snapshot.backends if backend.transport != "capability")
    return max((backend.max_in_flight * backend.replicas for backend in backends), default=0)
