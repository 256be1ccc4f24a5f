"""What clients follow: open `subscriptions/listen` streams, and the resources of sessions, watched at their servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from tidegate.config.snapshot import Limits
from tidegate.errors import Overloaded, TidegateError, Unauthorized
from tidegate.pipeline.calls import Calls
from tidegate.pipeline.catalogues import Catalogues, service_of, unknown
from tidegate.pipeline.changes import Changes
from tidegate.pipeline.era.modern import Listener, StatelessExchange
from tidegate.pipeline.era.session import Session
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.policy.admission import Admission
from tidegate.pipeline.principal import Principal
from tidegate.pipeline.route.catalog import View
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot

_log = logging.getLogger("tidegate.serve")

_WATCHED_S: Final = 0.5
"""How long the first word on a listening stream waits until all servers watch the resources."""


class Subscriptions:
    """The subscriptions of one gateway's clients."""

    def __init__(
        self, limits: Limits, catalogues: Catalogues, changes: Changes, calls: Calls, admission: Admission
    ) -> None:
        self._limits = limits
        self._catalogues = catalogues
        self._changes = changes
        self._calls = calls
        self._admission = admission
        self._followed: dict[tuple[Session | Listener, str], tuple[Service, Slot]] = {}
        self.streams: dict[Exchange, Listener] = {}

    def __len__(self) -> int:
        """Open streams."""
        return len(self.streams)

    def ended(self, exchange: Exchange) -> bool:
        """Whether the exchange that ended was a stream."""
        listener = self.streams.pop(exchange, None)
        if listener is None:
            return False
        self._changes.remove(listener)
        for uri in listener.uris:
            self._let_go(listener, uri)
        return True

    def session_ended(self, session: Session) -> None:
        self._changes.remove(session)
        for key in [key for key in self._followed if key[0] is session]:
            self._let_go(session, key[1])

    def close(self) -> None:
        """Ends every stream."""
        for listener in list(self.streams.values()):
            listener.close()

    def take_up(self, limits: Limits) -> None:
        """Other bounds, and other rights, from now on: streams of callers that are no more end."""
        self._limits = limits
        for exchange in list(self.streams):
            if exchange.principal.revoked:
                exchange.failed(Unauthorized("the token of this request is not valid any more"))
        for who, uri in list(self._followed):
            if not _principal_of(who).may_use("resources", uri):
                if isinstance(who, Session):
                    who.followed.discard(uri)
                else:
                    who.uris -= {uri}
                self._let_go(who, uri)

    def services_gone(self, gone: Collection[Service]) -> None:
        """What was followed there is followed wherever it is led now."""
        self._lead_again([key for key, (service, _) in self._followed.items() if service in gone])

    def slot_gone(self, gone: Slot) -> None:
        """The same, when a server turned out to be of the other era."""
        self._lead_again([key for key, (_, slot) in self._followed.items() if slot is gone])

    def _lead_again(self, keys: Collection[tuple[Session | Listener, str]]) -> None:
        for who, uri in keys:
            del self._followed[(who, uri)]
            client = who.client if isinstance(who, Session) else who.exchange.client
            self._catalogues.with_view(client, partial(self._follow_again, who, client, uri), _ignore)

    def _follow_again(self, who: Session | Listener, client: ClientView, uri: str, view: View) -> None:
        if not who.ended:
            self._follow(who, client, uri, None, view, _nobody_waits)

    def list_changed(self, principals: Collection[Principal] | None) -> None:
        """Tells streams that lists changed: those of `principals`, or all of them."""
        for exchange, listener in list(self.streams.items()):
            if principals is None or exchange.principal in principals:
                for kind in ("tools", "prompts", "resources"):
                    listener.list_changed(kind)

    def listen(self, exchange: Exchange) -> None:
        """Serves `subscriptions/listen`."""
        assert isinstance(exchange, StatelessExchange)

        def open_stream(view: View) -> None:
            if exchange.done:
                return
            try:
                if len(self.streams) >= self._limits.sessions:
                    raise Overloaded(f"the gateway has {self._limits.sessions} subscriptions open, its limit")
                listener = Listener(exchange, view)
            except TidegateError as error:
                exchange.failed(error)
                return
            self._changes.add(listener, exchange.client)
            self._catalogues.attend(exchange.client)
            self.streams[exchange] = listener
            # It may stay open for ever: it is a stream, not work in flight.
            self._admission.leave()
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

        self._catalogues.with_view(exchange.client, open_stream, exchange.failed)

    def _let_go(self, who: Session | Listener, uri: str, *, refused: bool = False) -> None:
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
                exchange.failed(unknown("resources", uri))
                return
        fail = exchange.failed if exchange is not None else _ignore

        def answer() -> None:
            if exchange is not None:
                exchange.answer_result(b"{}")

        self._catalogues.with_view(
            client, lambda view: self._follow(session, client, uri, exchange, view, answer), fail
        )

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
        route = view.route("resources", uri)
        sole = view.sole()
        handle = route.handle if route is not None else sole.handle if sole is not None else None
        if handle is None:
            if exchange is not None:
                exchange.failed(unknown("resources", uri))
            then()
            return
        service = service_of(handle)

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
            self._calls.send(exchange, Target(service, uri, []))

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


def _nobody_waits() -> None:
    """The client was told long ago that it follows."""


def _principal_of(who: Session | Listener) -> Principal:
    return who.principal if isinstance(who, Session) else who.exchange.principal


def _ignore(error: TidegateError) -> None:
    _log.info("not_followed error=%s", error)
