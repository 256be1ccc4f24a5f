"""A gateway in front of one server of one era, as processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from everything import listening
from gateway_process import Gateway, backend, gateway
from journal import Journal
from person import Era

WayOut: TypeAlias = Literal["stdio", "http"]
LIMITS = "[limits]\nrate_per_s = 0\nsuspended_per_client = 200\n"
"""All tests of a house are one client to it, and some leave calls behind that wait for their answers."""


@dataclass(frozen=True)
class House:
    """A running gateway, the era of the server behind it, and the journal that server writes."""

    gateway: Gateway
    server: Era
    journal: Journal


def command(era: Era, transport: WayOut, journal: Journal) -> list[str]:
    script = Path(__file__).with_name(f"{era}_server.py")
    return [sys.executable, str(script), transport, str(journal.folder)]


@contextmanager
def server_table(era: Era, way_out: WayOut, journal: Journal, **fields: str) -> Iterator[str]:
    """The backend table of a server that runs, or will be run by the gateway."""
    if way_out == "stdio":
        yield backend("eras", command=command(era, "stdio", journal), **fields)
    else:
        with listening(command(era, "http", journal), {}, "/mcp") as url:
            yield backend("eras", url=url, **fields)


@contextmanager
def house(era: Era, way_out: WayOut, folder: Path, limits: str = LIMITS, more: str = "") -> Iterator[House]:
    """`more` is appended to the configuration."""
    journal = Journal(folder)
    with server_table(era, way_out, journal) as table, gateway(limits + table + more) as running:
        yield House(running, era, journal)


class Houses:
    """One house for each server era and transport, kept until the end of the run."""

    def __init__(self, stack: ExitStack, new_folder: Callable[[str], Path]) -> None:
        self._stack = stack
        self._new_folder = new_folder
        self._open: dict[tuple[Era, WayOut], House] = {}

    def open(self, era: Era, way_out: WayOut) -> House:
        if (era, way_out) not in self._open:
            folder = self._new_folder(f"{era}-{way_out}")
            self._open[era, way_out] = self._stack.enter_context(house(era, way_out, folder))
        return self._open[era, way_out]
