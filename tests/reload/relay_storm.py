"""Must-show: a reload with 10,000 calls in flight. `python tests/reload/relay_storm.py --streams 160 --posts 400`

A real daemon, servers and clients in processes of their own; calls take 0.2 to 6 s, so that some are in the relay and
others were taken over by the slow lane. While they are in flight, the configuration changes: the tool is removed, moved
to another backend, its server replaced, the token revoked, the rate lowered, the relay turned off, a host disallowed.
Servers log each call they read, clients each call they make, both by the monotonic clock of the machine.

What must hold: a call that was sent after `POST /reload` had answered is decided by the new configuration, at the
client and at the servers. On each connection to a server, none that the new configuration forbids comes behind one
that was sent after the answer. Every call is answered once, and those that were accepted before are not lost.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path += [str(Path(__file__).resolve().parent.parent / "interaction"), str(Path(__file__).resolve().parent)]

import living_daemon
from living_daemon import Living, living

HERE = Path(__file__).resolve().parent
TIMED = (sys.executable, str(HERE / "timed_daemon.py"))
HOST = "gate.example.org"
TOKENS = ("token-of-x-" + "x" * 32, "token-of-y-" + "y" * 32)
RATE = 50
Json = Any


@dataclass(frozen=True)
class Size:
    """How much is in flight, and for how long."""

    streams: int = 160
    width: int = 60
    posts: int = 400
    delay_s: tuple[float, float] = (0.2, 6.0)
    before_s: float = 7.0
    after_s: float = 1.5


@dataclass(frozen=True)
class Call:
    """As `relay_load.py` has it."""

    number: int
    way_in: str
    token: str
    tool: str
    sent_ns: int
    answered_ns: int
    answer: str

    @property
    def well(self) -> bool:
        return self.answer.endswith(f" {self.number}") and not self.answer.startswith("!")


@dataclass(frozen=True)
class Change:
    """From one configuration to another. `expected`: how the answer to a call begins that is sent after it."""

    before: Callable[[Place], str]
    after: Callable[[Place], str]
    expected: Callable[[Call], str]
    forbidden: Callable[[str, Call], bool] = lambda server, call: False
    """Whether this server may not hear of this call any more."""
    ended: Callable[[Call], bool] = lambda call: False
    """Whether a call in flight may end with an error, because whoever made it may make none."""
    tokens: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Place:
    """Where servers log, and what they speak."""

    folder: Path
    era: str

    def backend(self, name: str, more: str = "", server: str = "") -> str:
        words = [sys.executable, "-S", str(HERE / "holding_server.py"), self.era, server or name]
        words.append(str(self.folder / f"{server or name}.log"))
        return f'[backends.{name}]\nprefix = ""\nmax_in_flight = 30000\ncommand = {json.dumps(words)}\n{more}'

    def settings(self, rate: str = "rate_per_s = 0\n", top: str = "", listen: str = "") -> str:
        return f"{top}[listen]\n{listen}[limits]\n{rate}in_flight = 60000\nconnections = 4096\ndrain_s = 15\n"


def _clients(*tokens: str) -> str:
    digests = {token[9]: hashlib.sha256(token.encode()).hexdigest() for token in tokens}
    return "".join(f'[clients.{name}]\ntoken_sha256 = "{digest}"\n' for name, digest in digests.items())


CHANGES: dict[str, Change] = {
    "removed": Change(
        lambda place: place.settings() + place.backend("a"),
        lambda place: place.settings() + place.backend("a", 'exclude = ["job"]\n'),
        lambda call: "! Unknown tool: `job`" if call.tool == "job" else "a ",
        lambda server, call: call.tool == "job",
    ),
    "moved": Change(
        lambda place: (
            place.settings() + place.backend("a") + place.backend("b", 'start = "at_once"\nexclude = ["job", "keep"]\n')
        ),
        lambda place: (
            place.settings()
            + place.backend("a", 'exclude = ["job"]\n')
            + place.backend("b", 'start = "at_once"\nexclude = ["keep"]\n')
        ),
        lambda call: "b " if call.tool == "job" else "a ",
        lambda server, call: server == "a" and call.tool == "job",
    ),
    "replaced": Change(
        lambda place: place.settings() + place.backend("a"),
        lambda place: place.settings() + place.backend("a", server="a2"),
        # While the new one starts, 1,024 requests may wait for it.
        lambda call: "! too many requests wait" if call.answer.startswith("!") else "a2 ",
        lambda server, call: server == "a",
    ),
    "revoked": Change(
        lambda place: place.settings() + place.backend("a") + _clients(*TOKENS),
        lambda place: place.settings() + place.backend("a") + _clients(TOKENS[1]),
        lambda call: "! " if call.token == TOKENS[0] else "a ",
        lambda server, call: call.token == TOKENS[0],
        lambda call: call.token == TOKENS[0],
        TOKENS,
    ),
    "slower": Change(
        lambda place: place.settings() + place.backend("a"),
        lambda place: place.settings(f"rate_per_s = {RATE}\nburst = {RATE}\n") + place.backend("a"),
        lambda call: "! more than 50 requests" if call.answer.startswith("!") else "a ",
    ),
    "relay off": Change(
        lambda place: place.settings() + place.backend("a"),
        lambda place: place.settings(top="relay = false\n") + place.backend("a"),
        lambda call: "a ",
    ),
    "host": Change(
        lambda place: place.settings(listen=f'allowed_hosts = ["{HOST}"]\n') + place.backend("a"),
        lambda place: place.settings() + place.backend("a"),
        lambda call: f"! `Host: {HOST}` is not allowed" if call.way_in == "http" else "a ",
        lambda server, call: call.way_in == "http",
    ),
}


@dataclass
class Storm:
    """What came of one change."""

    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    after: int = 0
    """Calls sent after the answer."""
    in_flight: int = 0
    """When the reload was asked for."""
    relayed: int = 0
    """Of these, in the relay."""
    most_relayed: int = 0
    """Done by the relay, or in it, when the reload had been answered."""
    reload_s: float = 0.0
    late: int = 0
    """Calls that were sent before the answer, and read by a server after it that the new configuration forbids."""
    late_ms: float = 0.0
    stood_ms: dict[str, float] = field(default_factory=dict)
    """The longest of each kind of step."""


async def storm(name: str, era: str, size: Size) -> Storm:
    change = CHANGES[name]
    found = Storm()
    with tempfile.TemporaryDirectory(prefix="tg-storm-") as folder:
        place = Place(Path(folder), era)
        living_daemon.TIDEGATE, usual = TIMED, living_daemon.TIDEGATE
        try:
            async with living(change.before(place), "--no-watch") as daemon:
                record = place.folder / "record"
                ack_ns = await _under_load(change, place, size, daemon, record, found)
                relayed = (await daemon.status())["relay"]["relayed_total"]
            if name == "relay off" and relayed > found.most_relayed:
                found.wrong.append(f"{relayed} calls were relayed, at most {found.most_relayed} before it was off")
            _note_steps(daemon.log, found)
        finally:
            living_daemon.TIDEGATE = usual
        told = json.loads(record.read_text(encoding="utf-8"))
        found.wrong += told["extra"]
        _judge(name, change, [Call(*call) for call in told["calls"]], place, ack_ns, found)
    return found


async def _under_load(change: Change, place: Place, size: Size, daemon: Living, record: Path, found: Storm) -> int:
    """When the reload had been answered."""
    load = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "relay_load.py"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert load.stdin is not None
    assert load.stdout is not None
    where = str(daemon.ready["http"][0]).removeprefix("http://").removesuffix("/mcp")
    plan = {
        "era": place.era, "tcp": daemon.ready["tcp"][0], "http": where, "streams": size.streams, "width": size.width,
        "posts": size.posts, "tokens": change.tokens, "tools": ["job", "keep"], "delay_s": size.delay_s,
        "host": HOST if "allowed_hosts" in change.before(place) else where, "record": str(record),
    }  # fmt: skip
    load.stdin.write(json.dumps(plan).encode() + b"\n")
    try:
        async with asyncio.timeout(60):
            assert await load.stdout.readline() == b"ready\n"
        await _enough_in_flight(size, daemon)
        daemon.write(change.after(place))
        status = await daemon.status()
        found.in_flight, found.relayed = status["in_flight"], status["relay"]["in_flight"]
        began_s = time.perf_counter()
        code, told = await daemon.post()
        ack_ns = time.monotonic_ns()
        found.reload_s = time.perf_counter() - began_s
        relay = (await daemon.status())["relay"]
        found.most_relayed = relay["relayed_total"] + relay["in_flight"]
        if code != 200 or told["result"] != "applied":
            found.wrong.append(f"the reload: {told}")
        await asyncio.sleep(size.after_s)
    finally:
        load.stdin.close()
        async with asyncio.timeout(60):
            await load.wait()
    return ack_ns


async def _enough_in_flight(size: Size, daemon: Living) -> None:
    """Until nearly all that the clients want is in flight, and has been for a while."""
    wanted = 0.98 * (size.streams * size.width + size.posts)
    ends_s = time.monotonic() + 4 * size.before_s
    begins_s = time.monotonic() + size.before_s
    while time.monotonic() < ends_s:
        status = await daemon.status()
        if time.monotonic() >= begins_s and status["in_flight"] >= wanted:
            return
        await asyncio.sleep(0.05)


def _note_steps(log: list[str], found: Storm) -> None:
    for line in log:
        if line.startswith("stood "):
            _, step, ms = line.split()
            found.stood_ms[step] = max(found.stood_ms.get(step, 0.0), float(ms))
        elif "Traceback" in line or "Error" in line:
            found.wrong.append(line)


def _judge(name: str, change: Change, calls: list[Call], place: Place, ack_ns: int, found: Storm) -> None:
    found.calls = len(calls)
    passed = 0
    for call in calls:
        if not call.answer:
            found.wrong.append(f"lost: {call}")
        elif call.sent_ns > ack_ns:
            found.after += 1
            passed += call.well
            expected = change.expected(call)
            if not call.answer.startswith(expected) or (not expected.startswith("!") and not call.well):
                found.wrong.append(f"after the answer: {call}")
        elif not call.well and not (change.ended(call) or call.answer.startswith(change.expected(call))):
            found.wrong.append(f"before the answer: {call}")
    last_s = (max((call.sent_ns for call in calls), default=ack_ns) - ack_ns) / 1e9
    if name == "slower" and passed > RATE + RATE * (last_s + found.reload_s + 0.5):
        found.wrong.append(f"{passed} calls passed in {last_s} s")
    for log in place.folder.glob("*.log"):
        _judge_log(log, change, calls, ack_ns, found)


def _judge_log(log: Path, change: Change, calls: list[Call], ack_ns: int, found: Storm) -> None:
    seen: set[int] = set()
    newer = False
    """A call was read that was sent after the answer: what comes behind it was decided after it, too."""
    for line in log.read_text(encoding="ascii").splitlines():
        stamp, _, number_text = line.split()
        call = calls[int(number_text)]
        if call.number in seen:
            found.wrong.append(f"twice at {log.stem}: {call}")
        seen.add(call.number)
        newer = newer or call.sent_ns > ack_ns
        if change.forbidden(log.stem, call):
            if newer:
                found.wrong.append(f"let through to {log.stem}: {call}")
            if int(stamp) > ack_ns:
                found.late += 1
                found.late_ms = max(found.late_ms, (int(stamp) - ack_ns) / 1e6)


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=Size.streams)
    parser.add_argument("--width", type=int, default=Size.width)
    parser.add_argument("--posts", type=int, default=Size.posts)
    parser.add_argument("--eras", nargs="+", default=["session", "modern"])
    parser.add_argument("--changes", nargs="+", default=list(CHANGES))
    args = parser.parse_args()
    size = Size(args.streams, args.width, args.posts)
    failed = False
    for era in args.eras:
        for name in args.changes:
            found = await storm(name, era, size)
            failed = failed or bool(found.wrong)
            row = {key: value for key, value in vars(found).items() if key != "wrong"}
            print(json.dumps({"change": name, "era": era, "wrong": len(found.wrong), **row}), flush=True)
            for line in found.wrong[:10]:
                print("  ", line)
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
