"""Which catalogue a client sees: the lists of all backends that serve it, gathered, merged, kept until one changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import Final, Literal

from tidegate.errors import TidegateError, UnknownPrompt, UnknownResource, UnknownTool
from tidegate.pipeline.era.bridge.tasks.shapes import declares_extension, runs_tools
from tidegate.pipeline.era.session import Session
from tidegate.pipeline.exchange import ClientView
from tidegate.pipeline.gathering import Gathering, UseView
from tidegate.pipeline.route.catalog import Route, Source, View
from tidegate.pipeline.route.collisions import Collisions
from tidegate.pipeline.upstream.negotiate import GATEWAY_INFO
from tidegate.pipeline.upstream.offer import Offer
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Fail

_log = logging.getLogger("tidegate.serve")

_MAX_VIEWS: Final = 4096
_MAX_LOST_VIEWS: Final = 64
_MAX_UNHEARD: Final = 1024
_HEARD_AT_ONCE: Final = 2
"""Servers that are started at the same time only to hear what they offer: a small box has little to spare."""
_INFO: Final = json.dumps(GATEWAY_INFO).encode()
_UNKNOWN: Final = {"tools": UnknownTool, "prompts": UnknownPrompt, "resources": UnknownResource}


class Catalogues:
    """The catalogues of one gateway."""

    def __init__(self, services: list[Service]) -> None:
        """`services`: the gateway's own list, which changes."""
        self.services = services
        self._collisions = Collisions()
        self._own_slots = False
        self._ready_views: dict[str, View] = {}
        self._partial_views: dict[str, View] = {}
        """Of what was heard by then, while some backend was not."""
        self._lost_views: dict[str, View] = {}
        """Of what backends offered that are down."""
        self._unheard: deque[tuple[Service, ClientView]] = deque(maxlen=_MAX_UNHEARD)
        self._hearing = 0
        self.services_changed()

    def services_changed(self) -> None:
        """The list has other members than before."""
        self._own_slots = any(service.config.isolation == "session" for service in self.services)
        self.moved()

    def moved(self) -> None:
        """What a backend offers may have changed: every catalogue is built anew when next asked for."""
        for views in (self._ready_views, self._partial_views, self._lost_views):
            views.clear()

    def why_missing(self, client: ClientView, kind: str, name: str) -> TidegateError | None:
        """Why there is no such tool, prompt or resource now, if a backend that is down had it."""
        lost = self._lost(client)
        view = self._lost_view(client, lost)
        route = view.route(kind, name) if view is not None else None
        return next((found[1] for service, found in lost if route is not None and service is route.handle), None)

    def lost_route(self, client: ClientView, kind: str, name: str) -> Route | None:
        """Where it would lead, if a backend that is down had it."""
        view = self._lost_view(client, self._lost(client))
        return view.route(kind, name) if view is not None else None

    def _lost(self, client: ClientView) -> list[tuple[Service, tuple[Offer, TidegateError]]]:
        """What backends that are down offered, and why they are."""
        return [(service, found) for service in self.services if (found := service.offers.lost(client)) is not None]

    def _lost_view(self, client: ClientView, lost: list[tuple[Service, tuple[Offer, TidegateError]]]) -> View | None:
        if not lost:
            return None
        key = self._view_key(client)
        view = self._lost_views.get(key)
        if view is None:
            view = View([_source(service, found[0]) for service, found in lost], len(self.services), _INFO)
            _keep(self._lost_views, _MAX_LOST_VIEWS, key, view)
        return view

    def refresh(self, client: ClientView) -> None:
        """Reads again, behind, what may be out of date. Whoever asked meanwhile got the lists as they were; if they
        turn out to differ, clients are told.
        """
        for service in self.services:
            slot = service.existing_slot(client)
            if slot is not None and slot.connection is not None:
                service.lists.refresh_old(slot)
            else:
                self._hear_soon(service, client)
        self._hear_next()

    def attend(self, client: ClientView) -> None:
        """Has servers connected, behind, whose changes the client wants to hear of. No child is started for that."""
        for service in self.services:
            slot = service.existing_slot(client)
            if (slot is None or slot.connection is None) and service.config.transport != "stdio":
                self._hear_soon(service, client)
        self._hear_next()

    def _hear_soon(self, service: Service, client: ClientView) -> None:
        if service.offers.shown_to(client) is not None and (service, client) not in self._unheard:
            self._unheard.append((service, client))

    def _hear_next(self) -> None:
        while self._unheard and self._hearing < _HEARD_AT_ONCE:
            service, client = self._unheard.popleft()
            gone = isinstance(client.session, Session) and client.session.ended
            if not gone and service in self.services and service.hear(client, self._heard):
                self._hearing += 1

    def _heard(self) -> None:
        self._hearing -= 1
        # In a turn of its own: servers may fail at once, one after the other.
        asyncio.get_running_loop().call_soon(self._hear_next)

    def forget(self, key: str) -> None:
        """The session of this key has ended."""
        self._ready_views.pop(key, None)
        self._lost_views.pop(key, None)
        self._partial_views.pop(key, None)

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

    def with_facts(self, client: ClientView, use: UseView, fail: Fail) -> None:
        """As `with_view`, for whoever is only to be greeted: when every backend is down, as those are known that were
        heard before. A client that were refused would not be there when they come back.
        """

        def greeted(view: View) -> None:
            known = None if view.sources else self._lost_view(client, self._lost(client))
            use(known or view)

        def refused(error: TidegateError) -> None:
            known = self._lost_view(client, self._lost(client))
            if known is not None:
                use(known)
            else:
                fail(error)

        self.with_view(client, greeted, refused)

    def with_view(self, client: ClientView, use: UseView, fail: Fail) -> None:
        """Calls `use` with the client's catalogue, at once when every backend has been heard."""
        key = self._view_key(client)
        ready = self._ready_views.get(key)
        if ready is not None:
            use(ready)
            return
        Gathering(self, client, use, fail).start()

    def now(self, client: ClientView) -> View:
        """The client's catalogue as far as backends have been heard."""
        key = self._view_key(client)
        view = self._ready_views.get(key) or self._partial_views.get(key)
        if view is None:
            view = self.build(client)
            _keep(self._partial_views, _MAX_VIEWS, key, view)
        return view

    def with_route(self, client: ClientView, kind: str, name: str, use: UseView, fail: Fail) -> None:
        """As `with_view`, for whoever asks for one thing by its name: a backend that is still to be heard, such as one
        that a reload has just added, is not waited for where it could not have that name.
        """
        ready = self._ready_views.get(self._view_key(client))
        if ready is not None:
            use(ready)
            return
        view = self.now(client)
        route = view.route(kind, name)
        if route is None or self._may_be_taken(client, kind, name, service_of(route.handle)):
            Gathering(self, client, use, fail).start()
        else:
            use(view)

    def _may_be_taken(self, client: ClientView, kind: str, name: str, owner: Service) -> bool:
        """Whether one that stands before `owner` and was not heard yet may turn out to have `name`."""
        for service in self.services:
            if service is owner:
                return False
            config = service.config
            prefix = config.prefix if config.prefix is not None else f"{config.name}__"
            named = kind == "resources" or name.startswith(prefix) or any(name == shown for _, shown in config.aliases)
            if named and service.offers.shown_to(client) is None and not service.is_down(client):
                return True
        return False

    def build(self, client: ClientView) -> View:
        sources = []
        settled = True
        for service in self.services:
            offer = service.offers.shown_to(client)
            if offer is None:
                settled = settled and service.is_down(client)
            else:
                sources.append(_source(service, offer))
        view = View(sources, len(self.services), _INFO)
        if settled:
            # Only now is known which servers keep sessions, on which the key depends.
            _keep(self._ready_views, _MAX_VIEWS, self._view_key(client), view)
        for collision in self._collisions.untold(view.collisions):
            _log.warning("catalogue %s", collision)
        return view


def _keep(views: dict[str, View], most: int, key: str, view: View) -> None:
    if len(views) >= most:
        views.clear()
    views[key] = view


def service_of(handle: object) -> Service:
    """Whose route it is: routes know their backend as an opaque handle."""
    assert isinstance(handle, Service)
    return handle


def unknown(kind: str, name: str) -> TidegateError:
    """What a client is told of a name that it has no use of, whether or not it exists."""
    if kind == "resources":
        return UnknownResource(f"Resource not found: `{name}`", data={"uri": name})
    noun = "tool" if kind == "tools" else "prompt"
    return _UNKNOWN[kind](f"Unknown {noun}: `{name}`")


def _tool_tasks(offer: Offer) -> Literal["", "session", "extension"]:
    if offer.keeps_session:
        return "session" if runs_tools(offer.capabilities) else ""
    return "extension" if declares_extension(offer.capabilities) else ""


def _source(service: Service, offer: Offer) -> Source:
    listing = offer.listing
    return Source(
        config=service.config,
        handle=service,
        entries={kind: found.entries for kind, found in listing.kinds.items()},
        hints={kind: (found.ttl_ms, found.scope) for kind, found in listing.kinds.items()},
        capabilities=offer.capabilities,
        server_info=offer.server_info,
        instructions=offer.instructions,
        tool_tasks=_tool_tasks(offer),
    )
