"""`python benches/faults.py [--quick]`: what calls to one backend cost while another one goes wrong.

The faults are rows of `tests/faults`; needs `rustc` and the built gateway. For each fault, in turn, for a few rounds:
eight callers call the bad backend while it is well, and then while it is not; meanwhile `line_load`, a process of its
own, calls the native `echo_server` through the same gateway. Writes `record/DATE-faults.md`. It measures, and judges
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "faults"), str(TESTS / "interaction")]

from children_house import HOSTILE, command  # noqa: E402 - behind the path above
from clients import StreamClient  # noqa: E402
from engines import build, echo_server, python_path, tcp_port  # noqa: E402
from faulty_http import Asked, FaultyHttp  # noqa: E402
from http_faults import FAULTS  # noqa: E402
from machine import HERE, machine_line, need, surroundings  # noqa: E402
from processes import WORK, Process, announced  # noqa: E402
from wire import EXPECTED, message  # noqa: E402

CALL = message("tools/call", "good__echo", {"path": "/var/log/syslog"})
CONNECTIONS = 2
CALLERS = 8
PAUSE_S = 0.01
TIMEOUT_S = 0.5
ANSWERS = (
    "resets at once", "closes in a chunk", "cuts its stream", "says nothing", "drips the body", "500", "401", "404",
    "503", "broken JSON", "a body without end", "an event without end", "comments without end", "notices without end",
)  # fmt: skip
CHILDREN = ("hangs", "floods-endless", "floods-notices", "noisy", "exits", "exits-50", "forks", "half-line")
"""Rows of `tests/faults` that are measured."""
NEVER_WELL = "exits"


@dataclass(frozen=True)
class Row:
    """One fault of one backend."""

    name: str
    backend: str
    tool: str
    break_down: Callable[[], None] = lambda: None
    heal: Callable[[], None] = lambda: None
    well: str = "echo"
    """The tool that is called while all is well."""
    server: FaultyHttp | None = None


def http_rows(era: str) -> list[Row]:
    """A server each: what went wrong with one leaves it tried again later and later."""

    def row(name: str, act: Callable[[FaultyHttp, Asked], None], *only: str) -> Row:
        server = FaultyHttp(era)
        backend = f"{era}{len(rows)}"
        return Row(
            f"{era}: {name}",
            backend,
            "echo",
            lambda: server.break_down(lambda asked: act(server, asked), only),
            server.heal,
            server=server,
        )

    def forgets(server: FaultyHttp, asked: Asked) -> None:
        if asked.rpc == "tools/call" and server.asked["tools/call"] % 20 == 0:
            server.sessions.clear()
        server.serve(asked)

    rows: list[Row] = []
    for fault in FAULTS:
        if fault.name in ANSWERS and era in fault.eras:
            # One after the other: the name of a backend is its place in the list.
            rows += [row(fault.name, lambda _, asked, act=fault.act: act(asked), "tools/call")]  # type: ignore[misc]
    rows.append(row("resets everything", lambda _, asked: asked.reset()))
    rows.append(row("says nothing to anything", lambda _, asked: None))
    if era == "session":
        rows.append(row("forgets its sessions again and again", forgets))
    return rows


def child_rows() -> list[Row]:
    return [Row(f"child: {HOSTILE[name]}", name, "misbehave") for name in CHILDREN]


async def call_on(client: StreamClient, tool: str, outcomes: dict[str, int]) -> None:
    """Until it is cancelled."""
    while True:
        reply = await client.tool(tool).reply()
        kind = "answered" if "result" in reply.message else "errors"
        outcomes[kind] = outcomes.get(kind, 0) + 1
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def calling(address: str, tool: str, outcomes: dict[str, int]) -> AsyncIterator[None]:
    clients = [StreamClient(address, "modern") for _ in range(CALLERS)]
    tasks = []
    try:
        for client in clients:
            await client.start()
            tasks.append(asyncio.ensure_future(call_on(client, tool, outcomes)))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            client.close()


async def until_well(address: str, tool: str) -> None:
    client = StreamClient(address, "modern")
    await client.start()
    async with asyncio.timeout(60):
        while "result" not in (await client.tool(tool).reply()).message:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.1)
    client.close()


async def load(port: int, seconds: float) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        WORK / "line_load", str(port), str(CONNECTIONS), str(seconds), CALL, EXPECTED, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    found: dict[str, Any] = json.loads(said)
    return found


async def measure(row: Row, address: str, seconds: float, rounds: int) -> dict[str, Any]:
    """The best round of each counts: a noisy neighbour disturbs one, a gateway that stalls all of them."""
    port = int(address.rpartition(":")[2])
    cells: dict[str, list[dict[str, Any]]] = {"well": [], "ill": []}
    outcomes: dict[str, int] = {}
    for at in range(rounds):
        # A child that hangs stays as it is until a person ends it: each round has its own.
        backend = row.backend if row.server is not None else f"{row.backend}{at}"
        if row.backend != NEVER_WELL:
            await until_well(address, f"{backend}__{row.well}")
        async with calling(address, f"{backend}__{row.well}", {}):
            cells["well"].append(await load(port, seconds))
        row.break_down()
        try:
            async with calling(address, f"{backend}__{row.tool}", outcomes):
                cells["ill"].append(await load(port, seconds))
        finally:
            row.heal()
    best = {name: min(found, key=lambda cell: cell["p99_us"]) for name, found in cells.items()}
    every = cells["well"] + cells["ill"]
    return {
        "fault": row.name,
        "well": best["well"],
        "ill": best["ill"],
        "ratio": best["ill"]["p99_us"] / best["well"]["p99_us"],
        "calls": sum(cell["requests"] for cell in every),
        "unanswered": sum(cell["errors"] for cell in every),
        "bad": outcomes,
    }


async def measure_all(seconds: float, rounds: int, only: str) -> list[dict[str, Any]]:
    rows = [*http_rows("modern"), *http_rows("session"), *child_rows()]
    rows = [row for row in rows if only in row.name]
    good, good_port = echo_server("tcp")
    tables = [f'[backends.good]\ntcp = "127.0.0.1:{good_port}"\nmax_in_flight = 4096\n']
    for row in rows:
        if row.server is not None:
            await row.server.start()
            where = {row.backend: f'url = "{row.server.url}"'}
        else:
            where = {f"{row.backend}{at}": f"command = {command(row.backend)}" for at in range(rounds)}
        tables += [f"[backends.{name}]\n{line}\ncall_timeout_s = {TIMEOUT_S}\n" for name, line in where.items()]
    file = WORK / "faults.toml"
    file.write_text("[limits]\nrate_per_s = 0\nresult_bytes = 4_000_000\ndrain_s = 0.2\n" + "".join(tables))
    flags = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--unix", "", "--admin", ""]
    daemon = Process(
        sys.executable, "-m", "tidegate", "serve", "--config", file, *flags, says=True, environment=python_path()
    )
    try:
        address = f"127.0.0.1:{tcp_port(daemon)}"
        assert announced(daemon)["ready"]
        found = []
        for row in rows:
            found.append(await measure(row, address, seconds, rounds))
            print(line(found[-1]), flush=True)
        return found
    finally:
        daemon.end()
        good.end()
        for row in rows:
            if row.server is not None:
                row.server.stop()


def line(cell: dict[str, Any]) -> str:
    bad = cell["bad"]
    share = "100 %" if not cell["unanswered"] else f"{100 * (1 - cell['unanswered'] / cell['calls']):.3f} %"
    return (
        f"| {cell['fault']} | {cell['calls']:,} | {share} | {cell['well']['p99_us']} | {cell['ill']['p99_us']} | "
        f"{cell['ratio']:.2f} | {cell['well']['p50_us']} | {cell['ill']['p50_us']} | {bad.get('errors', 0):,} | "
        f"{bad.get('answered', 0):,} |"
    )


def report(found: list[dict[str, Any]], machine: dict[str, Any], seconds: float, rounds: int) -> str:
    worst = max(found, key=lambda cell: cell["ratio"])
    over = [cell["fault"] for cell in found if cell["ratio"] > 2]
    unanswered, calls = sum(cell["unanswered"] for cell in found), sum(cell["calls"] for cell in found)
    rows = "\n".join(line(cell) for cell in found)
    return f"""# Calls to one backend while another goes wrong, measured

`python benches/faults.py` in one run, {machine["date"]}, commit {machine["commit"]}. {machine_line(machine)} Load of the
machine at the end: {os.getloadavg()[0]:.1f}.

`line_load` calls a native server over TCP, {CONNECTIONS} connections in a closed loop. {CALLERS} clients call the other
backend at the same time, each {PAUSE_S * 1000:g} ms after its last answer: first while it is well, then while it goes
wrong. {rounds} rounds of {seconds:g} s each in turn, the best of either counts: a noisy neighbour disturbs one round, a
gateway that stalls disturbs all. `call_timeout_s` of the bad ones is {TIMEOUT_S:g}. Load, gateway and all servers share the
cores.

Worst ratio of p99: {worst["ratio"]:.2f} ({worst["fault"]}). Over 2: {", ".join(over) if over else "none"}. Unanswered calls:
{unanswered} of {calls:,}.

| fault of the other backend | calls | answered | p99 µs, it is well | p99 µs, it is not | ratio | p50 µs | p50 µs | its callers heard errors | its answers |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""  # noqa: E501 - the head of a table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not recorded")
    parser.add_argument("--only", default="", help="rows with this in their name")
    arguments = parser.parse_args()
    quick = arguments.quick
    need("rustc")
    build()
    machine = surroundings()
    seconds, rounds = (0.5, 1) if quick else (1.0, 2)
    text = report(asyncio.run(measure_all(seconds, rounds, arguments.only)), machine, seconds, rounds)
    print(text)
    if not quick and not arguments.only:
        (HERE / "record" / f"{machine['date'][:10]}-faults.md").write_text(text)


if __name__ == "__main__":
    main()
