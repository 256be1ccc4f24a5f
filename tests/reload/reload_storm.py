"""Must-show: reloads while clients call. `python tests/reload/reload_storm.py --reloads 200 --clients 64`

A real daemon with two backends that no reload touches (a child on stdio and a server on TCP), and others that come, go
and change with every reload. Clients of both eras, over HTTP, TCP and a unix socket, call the two all the while; some
calls take long enough to be on their way when a reload happens. After each reload, at once: what it removed is
unknown, what it added answers. At the end: how many calls there were, how many failed, and how long they took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path += [str(Path(__file__).resolve().parent.parent / "interaction"), str(Path(__file__).resolve().parent)]

from clients import Client
from living_daemon import Living, living
from plain_server import PLAIN_SERVER, PlainTcp

ROADS = (("modern", "http"), ("session", "http"), ("modern", "tcp"), ("session", "tcp"), ("session", "unix"))
PAUSE_S = 0.02
LONG_S = 0.4
TOKENLESS = "[limits]\nrate_per_s = 0\ndrain_s = 2\n"


@dataclass
class Storm:
    """What came of it."""

    calls: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What a reload did not put into force when it was answered."""
    waits_ms: list[float] = field(default_factory=list)
    """Of short calls."""
    reloads_s: list[float] = field(default_factory=list)
    left: dict[str, Any] = field(default_factory=dict)
    """What the daemon held at the end."""

    def summary(self) -> dict[str, Any]:
        waits = sorted(self.waits_ms)
        reloads = sorted(self.reloads_s)
        return {
            "reloads": len(reloads),
            "calls": self.calls,
            "failed": len(self.failed),
            "wrong": len(self.wrong),
            "call_ms": {name: round(waits[int(part * (len(waits) - 1))], 1) for name, part in PARTS.items()},
            "reload_s": {name: round(reloads[int(part * (len(reloads) - 1))], 3) for name, part in PARTS.items()},
            **self.left,
        }


PARTS = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def configuration(number: int, steady: str, flighty: list[str]) -> str:
    """That of reload `number`: the two steady backends as always, the others in another mixture each time."""
    text = f'{TOKENLESS}in_flight = {1000 + number}\n[backends.still]\ntcp = "{steady}"\n'
    text += f"[backends.child]\ncommand = {json.dumps(PLAIN_SERVER)}\n"
    if number % 2:
        text += f'[backends.guest]\ntcp = "{flighty[number % len(flighty)]}"\n'
    if number % 3:
        text += f"[backends.other]\ncommand = {json.dumps([*PLAIN_SERVER, str(number // 6)])}\n"
    text += f'[backends.filtered]\ntcp = "{flighty[0]}"\n' + ('exclude = ["echo"]\n' if number % 4 < 2 else "")
    return text


async def storm(daemon: Living, steady: str, flighty: list[str], reloads: int, clients: int) -> Storm:
    found = Storm()
    callers = [await daemon.join(*ROADS[number % len(ROADS)]) for number in range(clients)]
    watcher = await daemon.join("modern", "tcp")
    pids: set[str] = set()
    stopped = False

    async def call_on(client: Client, number: int) -> None:
        times = number
        while not stopped:
            times += 1
            name = ("still__echo", "child__echo")[times % 2]
            # One in eight is on its way for so long that a reload comes in between.
            long = times % 8 == 0
            began_s = time.perf_counter()
            text = f"{number}-{times}"
            try:
                reply = await client.tool(name, {"text": text, "delay_s": LONG_S if long else 0}).reply()
                answered, _, pid = reply.text.partition(" ")
                if answered != text:
                    found.failed.append(f"{name}: another's answer: {reply.text}")
                if name == "child__echo":
                    pids.add(pid)
            except Exception as error:
                found.failed.append(f"{name}: {type(error).__name__}: {error}")
            found.calls += 1
            if not long:
                found.waits_ms.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(PAUSE_S)

    calling = [asyncio.ensure_future(call_on(client, number)) for number, client in enumerate(callers)]
    for number in range(1, reloads + 1):
        daemon.write(configuration(number, steady, flighty))
        began_s = time.perf_counter()
        status, told = await daemon.post()
        found.reloads_s.append(time.perf_counter() - began_s)
        if status != 200 or told["result"] != "applied":
            found.wrong.append(f"reload {number}: {told}")
        for name, there in (
            ("guest__echo", number % 2),
            ("other__echo", number % 3),
            ("filtered__echo", number % 4 >= 2),
        ):
            reply = (await watcher.tool(name).reply()).message
            known = "result" in reply
            unknown = reply.get("error", {}).get("message") == f"Unknown tool: `{name}`"
            if not (known if there else unknown):
                found.wrong.append(f"reload {number}: {name} should {'' if there else 'not '}be there: {reply}")
    stopped = True
    await asyncio.gather(*calling)
    if len(pids) != 1:
        found.wrong.append(f"the untouched child ran in {len(pids)} processes")
    found.wrong += [line for line in daemon.log if "Traceback" in line]
    for _ in range(200):
        held = await daemon.status()
        if not held["retiring"]:
            break
        await asyncio.sleep(0.05)
    found.left = {
        "generation": held["configuration"]["generation"],
        "retiring": held["retiring"],
        "sessions": held["sessions"],
        **held_by(daemon.process.pid),
    }
    return found


async def run(reloads: int, clients: int) -> Storm:
    steady, *flighty = [PlainTcp() for _ in range(3)]
    for server in (steady, *flighty):
        await server.start()
    addresses = [server.address for server in flighty]
    try:
        async with living(configuration(0, steady.address, addresses), "--no-watch") as daemon:
            return await storm(daemon, steady.address, addresses, reloads, clients)
    finally:
        for server in (steady, *flighty):
            server.stop()


def held_by(pid: int) -> dict[str, Any]:
    """What the kernel says that the daemon has."""
    process = Path(f"/proc/{pid}")
    children = [child for task in (process / "task").iterdir() for child in (task / "children").read_text().split()]
    pages = int((process / "statm").read_text(encoding="ascii").split()[1])
    return {
        "children": len(children),
        "descriptors": sum(1 for _ in (process / "fd").iterdir()),
        "memory_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--clients", type=int, default=64)
    args = parser.parse_args()
    found = asyncio.run(run(args.reloads, args.clients))
    print(json.dumps(found.summary(), indent=2))
    for line in [*found.failed[:20], *found.wrong[:20]]:
        print(line)
    return 1 if found.failed or found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
