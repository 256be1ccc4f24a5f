"""Connects to a server of which it may not be known yet what it speaks, and learns that.

A server of the stateless era is probed, one of the session era greeted; a link that turns out to lead to the other kind
is not thrown away but kept for the slot that it fits, since a child may take seconds to start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tidegate.config.snapshot import Backend, Limits, Transport
from tidegate.errors import TidegateError, UpstreamClosed, UpstreamError, UpstreamProtocol
from tidegate.pipeline.exchange import ClientView, SessionPort
from tidegate.pipeline.own_answers.seam import Answers
from tidegate.pipeline.upstream.connection import Connection, ConnectionOwner
from tidegate.pipeline.upstream.following import Following
from tidegate.pipeline.upstream.link import Link
from tidegate.pipeline.upstream.listing import Listing
from tidegate.pipeline.upstream.lists import Lists
from tidegate.pipeline.upstream.negotiate import HandshakeRefused, handshake, probe
from tidegate.pipeline.upstream.slot import Slot

_HTTP_NOT_STREAMABLE: Final = (400, 404, 405)
"""Statuses that send a client on to the transport of 2024-11-05."""


class OpeningHost(ConnectionOwner, Protocol):
    """A service, as it is opened. What is found out is written into it."""

    name: str
    config: Backend
    slots: dict[str, Slot]
    stateless: bool | None
    keeps_session: bool | None
    transport: Transport
    following: Following
    lists: Lists

    @property
    def limits(self) -> Limits: ...

    @property
    def own_answers(self) -> Answers: ...

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...

    def make_link(self, backend: Backend, transport: str) -> Link: ...

    def slot_key(self, client: ClientView) -> str: ...

    def slot_for(self, client: ClientView) -> Slot: ...

    def common_slot(self, pool: str, replica: int) -> Slot: ...

    def others_agree(self, slot: Slot) -> bool:
        """Whether another replica is open, in the era as which `slot` takes the server."""

    def open_soon(self, slot: Slot) -> None: ...

    async def put(self, slot: Slot, connection: Connection, listing: Listing | None) -> None:
        """The connection is ready for `slot`."""

    def keep_failed(self, slot: Slot, error: BaseException) -> None:
        """A link that was found out for another slot could not be opened for this one."""


class Opening:
    """The way to one server."""

    def __init__(self, host: OpeningHost) -> None:
        self._host = host

    async def connect(self, slot: Slot) -> Connection | None:
        """A connection for `slot`, or None when the server turned out to need another slot."""
        host = self._host
        if host.transport == host.config.transport or host.others_agree(slot):
            return await self._connect(slot)
        try:
            return await self._connect(slot)
        except UpstreamError:
            # By what it was reached before it may not be reached any more.
            host.transport = host.config.transport
            return await self._connect(slot)

    async def _connect(self, slot: Slot) -> Connection | None:
        config = self._host.config
        if slot.pool == "stateless":
            connection = await self._linked(slot)
            try:
                if await probe(connection, config.probe_timeout_s):
                    self._host.stateless = True
                    return connection
            except UpstreamClosed:
                # Some old servers leave at a request they do not know.
                pass
            except BaseException:
                await connection.aclose()
                raise
            if self._host.others_agree(slot):
                await connection.aclose()
                raise UpstreamProtocol(
                    f"a replica of backend `{self._host.name}` did not answer as the others, which keep no sessions"
                )
            known = self._host.stateless, self._host.keeps_session
            self._host.stateless = False
            if self._host.keeps_session is False:
                # It was of the other era when it was last tried.
                self._host.keeps_session = None
            try:
                await self._keep(connection, self._next_slot(slot))
            except BaseException:
                if known[0]:
                    # One that answers neither way is in trouble, and of the era that it was of.
                    self._host.stateless, self._host.keeps_session = known
                raise
            return None
        transport = self._host.transport
        connection = await self._linked(slot)
        try:
            await handshake(connection, slot.client, config.start_timeout_s)
        except HandshakeRefused as refused:
            await connection.aclose()
            if transport == "http" and refused.data in _HTTP_NOT_STREAMABLE and self._host.stateless is not True:
                return await self._connect_older(slot, refused)
            if self._host.others_agree(slot):
                raise
            await self._try_stateless(slot, refused)
            return None
        except BaseException:
            await connection.aclose()
            raise
        self._host.keeps_session = True
        return connection

    async def _linked(self, slot: Slot) -> Connection:
        link = self._host.make_link(self._host.config.at(slot.replica), self._host.transport)
        session: SessionPort | None = slot.client.session if slot.client is not None else None
        connection = Connection(self._host.name, link, self._host, depth=self._host.limits.depth, session=session)
        connection.own_answers = self._host.own_answers
        try:
            await link.open(connection)
        except BaseException:
            # A stream that was begun, say.
            await connection.aclose()
            raise
        return connection

    def _next_slot(self, slot: Slot) -> Slot:
        """For whose link leads to a server of the session era: where those are served who wait for it."""
        client = slot.waiting[0][0] if slot.waiting else None
        if client is None or self._host.slot_key(client) == "shared":
            return self._host.common_slot("shared", slot.replica)
        own = self._host.slot_for(client)
        if not own.opening and own.connection is None:
            own.replica = slot.replica
        return own

    async def _keep(self, connection: Connection, slot: Slot) -> None:
        """The probed link belongs to a legacy server: it is greeted, for whoever waits first."""
        if connection.closed or slot.connection is not None or slot.opening or slot.closed:
            await connection.aclose()
            return
        slot.opening = True
        connection.session = slot.client.session if slot.client is not None else None
        try:
            await handshake(connection, slot.client, self._host.config.start_timeout_s)
            listing = await self._host.lists.read(connection)
        except HandshakeRefused as refused:
            if self._host.transport == "http" and refused.data in _HTTP_NOT_STREAMABLE:
                slot.opening = False
                if slot.waiting:
                    # It tries the older transport.
                    self._host.open_soon(slot)
                await connection.aclose()
                return
            self._host.stateless = None
            self._host.keep_failed(slot, refused)
            await connection.aclose()
            raise
        except BaseException as error:
            self._host.keep_failed(slot, error)
            await connection.aclose()
            raise
        slot.opening = False
        self._host.keeps_session = True
        await self._host.put(slot, connection, listing)

    async def _connect_older(self, slot: Slot, refused: TidegateError) -> Connection | None:
        before, self._host.transport = self._host.transport, "sse"
        connection = None
        try:
            connection = await self._linked(slot)
            await handshake(connection, slot.client, self._host.config.start_timeout_s)
        except BaseException as error:
            self._host.transport = before
            if connection is not None:
                await connection.aclose()
            if not isinstance(error, UpstreamError) or self._host.others_agree(slot):
                raise
            # One that has the older transport said there why not.
            await self._try_stateless(slot, refused if connection is None else error)
            return None
        # Another replica may have failed meanwhile.
        self._host.transport = "sse"
        self._host.keeps_session = True
        return connection

    async def _try_stateless(self, slot: Slot, refused: TidegateError) -> None:
        """A server that refused the handshake may keep no sessions. Raises: `refused`, if it is none of those."""
        if self._host.stateless is not True:
            connection = await self._linked(slot)
            try:
                if not await probe(connection, self._host.config.probe_timeout_s):
                    raise refused
            except BaseException:
                await connection.aclose()
                raise
            await self._keep_stateless(connection, self._host.common_slot("stateless", slot.replica))
        self._host.stateless = True
        self._host.keeps_session = False

    async def _keep_stateless(self, connection: Connection, slot: Slot) -> None:
        """The probed link serves every client of such a server."""
        if connection.closed or slot.connection is not None or slot.opening or slot.closed:
            await connection.aclose()
            return
        connection.session = None
        slot.opening = True
        try:
            await self._host.following.begin(slot, connection)
            listing = await self.hear_out(slot, connection)
        except BaseException as error:
            self._host.keep_failed(slot, error)
            raise
        slot.opening = False
        await self._host.put(slot, connection, listing)

    async def hear_out(self, slot: Slot, connection: Connection) -> Listing:
        """Reads what the server offers; one that cannot say it is not kept. Raises: UpstreamError."""
        try:
            return await self._host.lists.read(connection)
        except BaseException:
            self._host.spawn(connection.aclose, name=f"close {self._host.name}/{slot.serves}")
            raise
