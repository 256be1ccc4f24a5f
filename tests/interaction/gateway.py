"""The real `Daemon` in the test's own event loop, with listeners on free loopback ports."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from clients import Client, HttpClient, SseClient, StreamClient
from heard import Json, within
from scripted_server import ScriptedServer

from tidegate.config.snapshot import Backend, Filter, Limits, Listen, Sampling, Snapshot
from tidegate.config.snapshot import Client as TokenOwner
from tidegate.daemon import Daemon, Tasks
from tidegate.pipeline.filtering.filters import Load
from tidegate.storage.documents import Documents

CLIENTS = {"session": ("http", "sse", "tcp", "unix", "packed"), "modern": ("http", "tcp", "unix", "packed")}
BACKENDS = {"session": ("stdio", "http", "sse", "tcp", "unix"), "modern": ("stdio", "http", "tcp", "unix")}

EVERY_ROAD = [(era, client, backend) for era in CLIENTS for client in CLIENTS[era] for backend in BACKENDS[era]]
"""Era × client transport × backend transport."""
SOME_ROADS = [
    ("session", "http", "stdio"),
    ("session", "http", "http"),
    ("session", "sse", "sse"),
    ("session", "tcp", "http"),
    ("session", "unix", "tcp"),
    ("session", "packed", "stdio"),
    ("modern", "http", "http"),
    ("modern", "http", "stdio"),
    ("modern", "tcp", "http"),
    ("modern", "unix", "tcp"),
    ("modern", "packed", "stdio"),
]
"""Every transport on either side, and both kinds of framing against each other."""


@dataclass
class House:
    """A running gateway, its servers, and the clients that were let in."""

    daemon: Daemon
    servers: Sequence[ScriptedServer]
    clients: list[Client]
    folder: Path

    @property
    def server(self) -> ScriptedServer:
        return self.servers[0]

    @property
    def http(self) -> str:
        return str(self.daemon.addresses["http"][0])  # type: ignore[index]

    @property
    def tcp(self) -> str:
        return str(self.daemon.addresses["tcp"][0])  # type: ignore[index]

    @property
    def unix(self) -> str:
        return str(self.daemon.addresses["unix"])

    async def client(self, transport: str, era: str, **more: Json) -> Client:
        """A client that has greeted the gateway."""
        client: Client
        if transport == "http":
            client = HttpClient(self.http, era, **more)
        elif transport == "sse":
            client = SseClient(self.http, **more)
        elif transport == "unix":
            client = StreamClient(self.unix, era, **more)
        else:
            client = StreamClient(self.tcp, era, packed=transport == "packed", **more)
        self.clients.append(client)
        await within(client.start())
        return client

    async def http_client(self, era: str, **more: Json) -> HttpClient:
        client = await self.client("http", era, **more)
        assert isinstance(client, HttpClient)
        return client

    async def stream_client(self, transport: str, era: str, **more: Json) -> StreamClient:
        client = await self.client(transport, era, **more)
        assert isinstance(client, StreamClient)
        return client


@asynccontextmanager
async def house(
    *servers: ScriptedServer,
    transport: str | Sequence[str] = "tcp",
    limits: Limits | None = None,
    owners: Sequence[TokenOwner] = (),
    backends: Sequence[Backend] = (),
    fields: Sequence[Json] = (),
    documents: Documents | None = None,
    filters: Sequence[Filter] = (),
    load: Load | None = None,
    sampling: Sampling | None = None,
) -> AsyncIterator[House]:
    """A gateway in front of `servers`; `fields` are further settings of each one's backend. `documents`: what an
    earlier one remembered. `load`: how plugins of `filters` are loaded, if not in a sandbox.
    """
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder = Path(name)
        transports = [transport] * len(servers) if isinstance(transport, str) else transport
        opened = []
        for index, server in enumerate(servers):
            more = fields[index] if index < len(fields) else {}
            opened.append(await server.listen(transports[index], folder, **more))
        snapshot = Snapshot(
            listen=Listen(http=("127.0.0.1:0",), tcp=("127.0.0.1:0",), unix=str(folder / "tg.sock")),
            limits=limits or Limits(rate_per_s=0, drain_s=0.0),
            backends=(*opened, *backends),
            clients=tuple(owners),
            filters=tuple(filters),
            sampling=sampling or Sampling(),
        )
        async with anyio.create_task_group() as group:
            daemon = Daemon(snapshot, Tasks(group), documents=documents)
            if load is not None:
                daemon.gateway.filters.load = load
            await daemon.listen()
            built = House(daemon, servers, [], folder)
            try:
                yield built
            finally:
                for client in built.clients:
                    client.close()
                for server in servers:
                    server.close()
                with anyio.CancelScope(shield=True):
                    await within(daemon.aclose())
                group.cancel_scope.cancel()
