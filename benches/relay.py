"""`python benches/relay.py [--quick]`: the relay beside the slow lane, an nginx hop, a byte forwarder and no hop.

One interleaved run: every cell is measured in each round in turn, so a noisy neighbour disturbs all alike, and a ratio
is taken within a round. Printed are medians of ratios over the rounds, with their quartiles. Needs Debian's `wrk` and
`nginx-light` (`apt-get install -y nginx-light wrk`), `rustc`, and the built gateway. Loopback only. Writes
`record/DATE-relay.md` and `.json`; some eight minutes, `--quick` one and no record. It measures and never judges:
nothing here is a test. `BENCH_TREE=DIR` measures the gateway of another tree, built already.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from engines import (
    GUARDED,
    UNBUFFERED,
    build,
    echo_server,
    forwarder,
    gateway,
    has_relay,
    http_url,
    nginx,
    stdio_table,
    tcp_port,
)
from idle_clients import memory_per_client
from load import HttpLoad, Lane, LineLoad, PacedLoad, measure
from machine import HERE, need, surroundings
from processes import Process, children
from relay_report import kept_notes, report
from rounds import Cell, in_rounds
from wire import BIG, CALL, SESSION_CALL, TOKEN, http_session

SESSIONS = 64
"""Sessions of 2025-11-25 that 64 connections share."""


@dataclass(frozen=True)
class Door:
    """Where the load knocks, and whose CPU time counts."""

    engine: str
    url: str
    middle: list[int]


class Street:
    """All that runs during the measurement, each lane with processes of its own. What is idle takes no time."""

    def __init__(self, until: ExitStack) -> None:
        def keep(process: Process) -> Process:
            until.callback(process.end)
            return process

        # An engine, and the flags of a daemon that is it. Before the relay exists, every daemon is the slow lane.
        daemons: dict[str, list[str]] = {"relay": [], "slow lane": ["--no-relay"]} if has_relay() else {"slow lane": []}

        def doors(kind: str) -> tuple[Process, list[Door]]:
            """Direct, over the hops and over the daemons, to an HTTP backend of one era."""
            backend, port = echo_server(kind)
            keep(backend)
            url = f"http://127.0.0.1:{port}/mcp"
            (hop, hop_port), (pipe, pipe_port) = nginx(port), forwarder(port)
            keep(hop), keep(pipe)
            found = [
                Door("direct", url, []),
                Door("nginx", f"http://127.0.0.1:{hop_port}/mcp", children(hop.pid)),
                Door("forwarder", f"http://127.0.0.1:{pipe_port}/mcp", [pipe.pid]),
            ]
            for engine, flags in daemons.items():
                daemon = keep(gateway(f"{kind}_{engine[:4]}", f'url = "{url}"', *flags))
                found.append(Door(engine, http_url(daemon), [daemon.pid]))
            return backend, found

        self.backend, self.http = doors("http")
        hop, hop_port = nginx(int(self.backend.said), UNBUFFERED)
        keep(hop)
        self.unbuffered = Door("nginx, unbuffered", f"http://127.0.0.1:{hop_port}/mcp", children(hop.pid))
        self.session_backend, self.session = doors("http-session")
        self.guarded: list[Door] = []
        self.stdio: list[tuple[Door, Process]] = []
        for engine, flags in daemons.items():
            table = f'url = "{self.http[0].url}"'
            guarded = keep(gateway(f"guarded_{engine[:4]}", table, *flags, admin=True, config=GUARDED))
            self.guarded.append(Door(engine, http_url(guarded), [guarded.pid]))
            daemon = keep(gateway(f"stdio_{engine[:4]}", stdio_table(), *flags, tcp=True))
            self.stdio.append((Door(engine, http_url(daemon), [daemon.pid]), daemon))
        lines, self.line_port = echo_server("tcp")
        self.line_backend = keep(lines)
        self.line_pipe, self.line_pipe_port = forwarder(self.line_port)
        keep(self.line_pipe)


def small(url: str, token: str = "") -> HttpLoad:
    return HttpLoad(url, "tools/call", "echo", CALL, token)


def cells(street: Street, quick: bool) -> list[Cell]:
    """Of one round, without those at a fixed rate. wrk knows whole seconds."""
    ends = [street.backend.pid]
    guarded = {door.engine: door for door in street.guarded}
    found = []
    for door in street.http:
        found.append(Cell("call", door.engine, Lane("", small(door.url), door.middle, ends), 64, 1))
        if (twin := guarded.get(door.engine)) is not None:
            lane = Lane("", small(twin.url, TOKEN), twin.middle, ends)
            found.append(Cell("guarded", door.engine, lane, 64, 1))
    for door in street.session:
        sessions = tuple(http_session(door.url) for _ in range(SESSIONS))
        load = HttpLoad(door.url, "tools/call", "echo", SESSION_CALL, sessions=sessions)
        found.append(Cell("session", door.engine, Lane("", load, door.middle, [street.session_backend.pid]), 64, 1))
    for door, daemon in street.stdio:
        small(door.url)(1, 1)  # starts the child
        child = children(daemon.pid)
        found.append(Cell("stdio", door.engine, Lane("", small(door.url), door.middle, child), 64, 1))
        big = HttpLoad(door.url, "tools/call", "big", BIG)
        found.append(Cell("big_stdio", door.engine, Lane("", big, door.middle, child), 4, 1))
        lines = LineLoad(tcp_port(daemon), CALL)
        found.append(Cell("lines", door.engine, Lane("", lines, door.middle, child), 64, 1))
    for engine, port, middle in (
        ("direct", street.line_port, []),
        ("forwarder", street.line_pipe_port, [street.line_pipe.pid]),
    ):
        lane = Lane("", LineLoad(port, CALL), middle, [street.line_backend.pid])
        found.append(Cell("lines", engine, lane, 64, 1))
    for door in (*street.http, street.unbuffered):
        big = HttpLoad(door.url, "tools/call", "big", BIG)
        found.append(Cell("big", door.engine, Lane("", big, door.middle, ends), 4, 1))
    for door in street.http:
        alone = Lane("", PacedLoad(door.url, CALL).at(0), door.middle, ends)
        found.append(Cell("alone", door.engine, alone, 1, 0.3 if quick else 0.5, one_core=True))
        found.append(Cell("alone_free", door.engine, alone, 1, 0.3 if quick else 0.5))
    return found


def paced_cells(street: Street, rates: dict[str, float], quick: bool) -> list[Cell]:
    """At half of the least maximum all alike, and each at half of its own."""
    found = []
    for door in street.http:
        load = PacedLoad(door.url, CALL)
        for row, rate in (("paced", min(rates.values())), ("paced_own", rates[door.engine])):
            lane = Lane("", load.at(rate / 2), door.middle, [street.backend.pid])
            found.append(Cell(row, door.engine, lane, 8, 0.5 if quick else 1.5))
    return found


def maxima(street: Street, rounds: int) -> dict[str, float]:
    """Calls per second of a closed loop of eight connections."""
    found: dict[str, list[float]] = {door.engine: [] for door in street.http}
    for _ in range(rounds):
        for door in street.http:
            found[door.engine].append(measure(Lane("", PacedLoad(door.url, CALL).at(0)), 8, 0.5)["per_s"])
    return {engine: statistics.median(values) for engine, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not recorded")
    parser.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    parser.add_argument("--only", default="", metavar="ROWS", help="rows to measure, with commas between; not recorded")
    args = parser.parse_args()
    need("wrk", "nginx", "rustc")
    build()
    quick, only = args.quick, [word for word in args.only.split(",") if word]
    rounds = 1 if quick else args.rounds
    begun = time.monotonic()

    def told(words: str) -> None:
        print(f"{time.monotonic() - begun:4.0f} s: {words}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {"machine": surroundings(), "rounds": rounds}
    with ExitStack() as until:
        street = Street(until)
        told("all runs")
        all_cells = cells(street, quick)
        if not only or "paced" in only or "paced_own" in only:
            found["maxima"] = maxima(street, 1 if quick else 3)
            all_cells += paced_cells(street, found["maxima"], quick)
        all_cells = [cell for cell in all_cells if not only or cell.row in only]
        found["cells"] = in_rounds(all_cells, rounds, told)
    if not only or "memory" in only:
        found["memory"] = memory_per_client(500 if quick else 1000)
    found["machine"]["load_after"] = os.getloadavg()[0]
    found["took_s"] = round(time.monotonic() - begun)
    target = HERE / "record" / f"{found['machine']['date'][:10]}-relay.md"
    text = report(found, kept_notes(target))
    print(text)
    if not quick and not only:
        target.write_text(text)
        target.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
