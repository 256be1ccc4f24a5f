"""`make soak`, or `python tests/soak/soak_day.py`: a day in ten minutes.

200,000 calls through the real daemon, by clients of both eras over HTTP, TCP, a unix socket and `tidegate connect` that
come and go, cancel, disconnect in the middle, subscribe and are asked things, while servers are killed, hang, flood
and are away. Ever so often everybody leaves, and the daemon is looked at. At the end it must hold what it held after
the warm-up: memory (at most 1 MB more), descriptors, tasks, children, sessions, everything; and every call to a
server to which nothing happened must have been answered. Exits with 1 when not.

Loopback only. Load for one and a half processors; a table on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from soak_house import STEADY, WILD, SoakHouse
from soak_watch import MIB, Look, grown, growth_bytes, look, table
from soak_wires import ConnectWire, Gone, HttpWire, LineWire, Wire

MOST_GROWTH_BYTES = 1_000_000
WARM_UP = 0.3
"""The part of all calls before memory is judged: caches, pools and the allocator have found their size."""
SETTLE_S = 25.0
"""Everything that ends by time does so within this, except the idle ends in `LAST_SETTLE_S`."""
LAST_SETTLE_S = 130.0
"""Idle connections to servers, over HTTP and of clients' own, are closed after a minute; looked for twice as often."""
Json = Any


class Pace:
    """Hands out turns at an even rate; whoever comes late is not waited for."""

    def __init__(self, calls: int, per_s: float) -> None:
        self.left = calls
        self.done = 0
        self._every_s = 1 / per_s
        self._next_s = 0.0

    async def turn(self) -> bool:
        """False when there are no calls left."""
        if self.left <= 0:
            return False
        self.left -= 1
        now_s = time.monotonic()
        self._next_s = max(self._next_s + self._every_s, now_s - 1)
        if self._next_s > now_s:
            await asyncio.sleep(self._next_s - now_s)
        return True


class Day:
    """One soak."""

    def __init__(self, house: SoakHouse, dice: random.Random, *, clients: int, connects: bool = True) -> None:
        self.house = house
        self.dice = dice
        self.clients = clients
        self.connects = connects
        self.outcomes: Counter[str] = Counter()
        self.broken: list[str] = []
        """What should not have happened to a call of a steady server."""
        self.seconds: list[float] = []
        """That the calls to steady servers took."""
        self.visits = 0
        self.done = 0

    # -- clients ------------------------------------------------------------------------------------------------

    def _wire(self) -> Wire:
        dice = self.dice
        era = dice.choice(("session", "modern"))
        askable = dice.random() < 0.15
        kind = dice.choices(("http", "tcp", "unix", "connect"), (40, 25, 34, 1 if self.connects else 0))[0]
        if kind == "http":
            return HttpWire(self.house.http, era, askable=askable)
        if kind == "connect":
            return ConnectWire(self.house.unix, era, askable=askable)
        return LineWire(self.house.tcp if kind == "tcp" else self.house.unix, era, askable=askable)

    async def client(self, pace: Pace) -> None:
        """One visitor after the other, each with some calls."""
        while pace.left > 0:
            wire = self._wire()
            self.visits += 1
            try:
                await wire.start()
                if self.dice.random() < 0.3:
                    await self._subscribe(wire)
                for _ in range(self.dice.randrange(5, 80)):
                    if not await pace.turn():
                        break
                    await self._call(wire)
                    self.done += 1
                if self.dice.random() < 0.2:
                    # Leaves in the middle of a call.
                    await wire.begin("tools/call", self._tool("wild", "slow", s=0.5))
            except (Gone, TimeoutError, OSError) as error:
                self.outcomes[f"lost: {type(error).__name__}"] += 1
            finally:
                with suppress(Gone, OSError):
                    await wire.leave(politely=self.dice.random() < 0.5)

    @staticmethod
    def _tool(backend: str, name: str, **arguments: Json) -> Json:
        return {"name": f"{backend}__{name}", "arguments": arguments}

    async def _subscribe(self, wire: Wire) -> None:
        if wire.era == "session":
            await wire.request("resources/subscribe", {"uri": f"soak://{self.dice.choice(STEADY + WILD)}"})
        else:
            wanted = {"toolsListChanged": True, "resourceSubscriptions": ["soak://steady", "soak://wild"]}
            await wire.begin("subscriptions/listen", {"notifications": wanted})

    async def _call(self, wire: Wire) -> None:
        dice = self.dice
        wild = dice.choice(WILD)
        what = dice.choices(
            (
                "steady",
                "wild",
                "list",
                "read",
                "slow",
                "cancel",
                "hang",
                "ask",
                "change",
                "oops",
                "moan",
                "flood",
                "die",
            ),
            (700, 180, 20, 20, 20, 20, 6, 10, 3, 4, 0.3, 0.7, 0.5),
        )[0]
        if what == "steady":
            await self._steady(wire)
        elif what == "list":
            self._count(what, await wire.request("tools/list"))
        elif what == "read":
            self._count(what, await wire.request("resources/read", {"uri": f"soak://{wild}"}))
        elif what in ("cancel", "hang"):
            name = "hang" if what == "hang" else "slow"
            await wire.request_and_cancel("tools/call", self._tool(wild, name, s=0.3), dice.uniform(0, 0.2))
            self.outcomes[what] += 1
        elif what == "slow":
            params = self._tool(wild, "slow", s=0.1)
            self._count(what, await wire.request("tools/call", params, meta={"progressToken": "t"}))
        elif what == "ask":
            await self._asked(wire, self._tool(wild, "ask"))
        else:
            name = "echo" if what == "wild" else what
            self._count(what, await wire.request("tools/call", self._tool(wild, name, n=1)))

    async def _steady(self, wire: Wire) -> None:
        number = self.dice.randrange(1 << 30)
        name = self.dice.choice(STEADY)
        began_s = time.monotonic()
        answer = await wire.request("tools/call", self._tool(name, "echo", n=number))
        self.seconds.append(time.monotonic() - began_s)
        content = answer.get("result", {}).get("content") or [{}]
        if content[0].get("text") == json.dumps({"n": number}):
            self.outcomes["steady: answered"] += 1
        else:
            self.outcomes["steady: NOT answered"] += 1
            self.broken.append(f"{name}, {wire.era}, {type(wire).__name__}: {json.dumps(answer)[:300]}")

    async def _asked(self, wire: Wire, params: Json) -> None:
        answer = await wire.request("tools/call", params)
        result = answer.get("result", {})
        if result.get("resultType") == "input_required":
            if self.dice.random() < 0.3:
                self.outcomes["ask: left open"] += 1
                return
            given = {key: {"action": "accept", "content": {"sure": True}} for key in result["inputRequests"]}
            more = {"inputResponses": given, "requestState": result.get("requestState")}
            answer = await wire.request("tools/call", {**params, **more})
        self._count("ask", answer)

    def _count(self, what: str, answer: Json) -> None:
        if "error" in answer:
            self.outcomes[f"{what}: error {answer['error']['code']}"] += 1
        else:
            self.outcomes[f"{what}: answered"] += 1

    # -- one stretch of the day ---------------------------------------------------------------------------------

    async def stretch(self, calls: int, per_s: float, *, faults_every_s: float, reloads: bool) -> None:
        pace = Pace(calls, per_s)
        weather = asyncio.ensure_future(self.house.weather(self.dice, faults_every_s, reloads=reloads))
        try:
            await asyncio.gather(*(self.client(pace) for _ in range(self.clients)))
        finally:
            weather.cancel()
            with suppress(asyncio.CancelledError):
                await weather

    async def look(self) -> Look:
        return await asyncio.to_thread(look, self.house.pid, self.house.admin, self.done)

    async def settled(self, base: Look | None, bound_s: float) -> Look:
        """A look once nobody is there, and nothing is held beyond `base`; the last one, if that does not come."""
        deadline_s = time.monotonic() + bound_s
        while True:
            found = await self.look()
            empty = found.sessions == found.in_flight == found.listeners == found.suspended == found.connections == 0
            if (empty and (base is None or not grown(base, found))) or time.monotonic() > deadline_s:
                return found
            await asyncio.sleep(0.25)

    async def touch_everything(self) -> None:
        """Every server is started and asked once, so that the base has them all."""
        for era in ("session", "modern"):
            wire = LineWire(self.house.unix, era, askable=False)
            await wire.start()
            for name in (*STEADY, *WILD):
                await wire.request("tools/call", self._tool(name, "echo", n=1))
            await wire.leave(politely=True)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


async def run(args: argparse.Namespace) -> int:
    dice = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        house = SoakHouse(Path(name), tuple(args.runner.split()))
        with house:
            day = Day(house, dice, clients=args.clients)
            await day.touch_everything()
            base = await day.settled(None, SETTLE_S)
            looks = [base]
            per_s = args.calls / (args.minutes * 60)
            for number in range(args.looks):
                calls = args.calls // args.looks
                await day.stretch(calls, per_s, faults_every_s=args.faults_every, reloads=args.reloads)
                last = number == args.looks - 1
                looks.append(await day.settled(base, LAST_SETTLE_S if last else SETTLE_S))
                print(progress(looks[-1], day), file=sys.stderr, flush=True)
            faults = dict(house.faults)
            log = house.log()
        return report(day, looks, faults, house.orphans, log)


def progress(seen: Look, day: Day) -> str:
    return (
        f"{seen.calls:>8,} calls by {day.visits:,} clients: {seen.rss_bytes / MIB:.2f} MiB, "
        f"{seen.descriptors} descriptors, {seen.children} children, {seen.sessions} sessions, {seen.tasks} tasks; "
        f"{len(day.broken)} broken promises"
    )


def report(day: Day, looks: list[Look], faults: dict[str, int], orphans: list[int], log: str) -> int:
    """Prints it all; the exit code."""
    warm = max(1, int(len(looks) * WARM_UP))
    judged = looks[warm:]
    growth = growth_bytes(judged)
    wrong = grown(looks[0], looks[-1])
    if looks[-1].threads > (most := max(each.threads for each in looks[:warm])):
        wrong.append(f"threads: at most {most} in the warm-up, {looks[-1].threads} at the end")
    if growth > MOST_GROWTH_BYTES:
        wrong.append(f"memory: {growth / 1e6:.2f} MB more over the calls after the warm-up")
    wrong += [f"a steady server's call was not answered: {each}" for each in day.broken[:10]]
    wrong += [f"process {pid} was left behind" for pid in orphans]
    if "Traceback" in log:
        wrong.append("the log has a traceback:\n" + log[log.index("Traceback") :][:3000])
    print(table(looks))
    print(f"\nGrowth of resident memory over the last {len(judged)} looks, straight line: {growth / 1e6:+.2f} MB.")
    print(f"Steady servers: {len(day.seconds):,} calls, p50 {percentile(day.seconds, 0.5) * 1e3:.1f} ms, ", end="")
    print(f"p99 {percentile(day.seconds, 0.99) * 1e3:.1f} ms, {len(day.broken)} not answered.")
    print(f"Clients: {day.visits:,}. Faults: {faults}.")
    print("Outcomes: " + ", ".join(f"{what} {number:,}" for what, number in sorted(day.outcomes.items())) + ".")
    for each in wrong:
        print(f"WRONG: {each}")
    print("nothing grew" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000, help="(default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="over which they are spread (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=32, help="at once (default: %(default)s)")
    parser.add_argument("--looks", type=int, default=12, help="pauses to measure in (default: %(default)s)")
    parser.add_argument("--faults-every", type=float, default=2.0, metavar="S", help="(default: %(default)s)")
    parser.add_argument("--no-reloads", dest="reloads", action="store_false", help="leave the configuration alone")
    parser.add_argument("--seed", type=int, default=1, help="of the dice (default: %(default)s)")
    parser.add_argument("--runner", default="-m tidegate", help="how Python starts the daemon (default: %(default)s)")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
