"""The four cells of the table, and the roads through a gateway on which each is tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from fronts import Front, client_transport
from gateway_process import Gateway
from houses import House, WayOut
from mcp import Client
from person import Era, Person

SDK_TEST = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
"""`pytestmark` of a module with SDK clients: what 2026-07-28 deprecates still has to be carried."""


@dataclass(frozen=True)
class Road:
    client: Era
    way_in: Front
    way_out: WayOut
    server: Era

    @property
    def cell(self) -> str:
        """As `abilities.CELLS` has it."""
        return f"{self.client}-{self.server}"

    @property
    def bridged(self) -> bool:
        return self.client != self.server

    def __str__(self) -> str:
        return f"{self.client}>{self.way_in}>{self.way_out}>{self.server}"


WAYS: tuple[tuple[Front, WayOut], ...] = (("http", "http"), ("tcp", "stdio"))
"""Both kinds of framing on either side; every transport is tried in `tests/interaction` and `tests/ecosystem`."""
ERAS: tuple[Era, ...] = ("session", "stateless")
ROADS = [Road(client, way_in, way_out, server) for server in ERAS for client in ERAS for way_in, way_out in WAYS]


def on_roads(
    *, client: Era | None = None, server: Era | None = None, bridged: bool | None = None
) -> pytest.MarkDecorator:
    """Parametrizes `visit` with every road that fits."""
    fitting = [
        road
        for road in ROADS
        if client in (None, road.client) and server in (None, road.server) and bridged in (None, road.bridged)
    ]
    return pytest.mark.parametrize("_visit", fitting, indirect=True, ids=str)


@dataclass
class Visit:
    """A connected client and who is behind it."""

    road: Road
    house: House
    client: Client
    person: Person

    @property
    def transport(self) -> Any:
        """For another client on the same road."""
        return reached(self.road.way_in, self.house.gateway)


def reached(way_in: Front, gateway: Gateway) -> Any:
    """What an SDK client takes as its server."""
    return client_transport(way_in, gateway) if way_in == "http" else _patient(way_in, gateway)


@asynccontextmanager
async def _patient(way_in: Front, gateway: Gateway) -> AsyncIterator[tuple[Any, Any]]:
    """A message may still come in while the client, which has closed its own end already, leaves."""
    try:
        async with client_transport(way_in, gateway) as streams:
            yield streams
    except* anyio.BrokenResourceError:
        pass


@asynccontextmanager
async def visiting(road: Road, house: House) -> AsyncIterator[Visit]:
    person = Person()
    async with person.client(reached(road.way_in, house.gateway), road.client) as client:
        yield Visit(road, house, client, person)
