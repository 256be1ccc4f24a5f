"""Plays traffic to a real gateway and writes down what both sides of it see, step by step."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from gateway import House, house
from heard import until, within
from odd_server import OddServer
from traffic import MODERN, SESSION, Drop, Kind, Release, Send, Settle, Step, Traffic

from relay_modes import put_in_force
from tidegate.control.telemetry.metrics import Metrics

NAMES = ("one", "two")


@dataclass
class Account:
    """What one gateway made of it."""

    seen: list[dict[str, list[object]]] = field(default_factory=list)
    """For each step: who saw what."""
    counted: dict[tuple[str, ...], int] = field(default_factory=dict)
    left: dict[str, object] = field(default_factory=dict)
    """When everybody has gone."""
    relayed: int = 0
    promoted: int = 0


class Wire(asyncio.Protocol):
    """A client's connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.data = b""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    def take(self) -> list[object]:
        data, self.data = self.data, b""
        return [data, self.ended] if data or self.ended else []


class Player:
    """One client, over all its connections."""

    def __init__(self, kind: Kind, home: House) -> None:
        self.kind = kind
        self._home = home
        self.session = b""
        self.wire = Wire()
        self.general: Wire | None = None

    async def connect(self) -> Wire:
        where = self._home.tcp if self.kind.transport == "tcp" else self._home.http.split("/")[2]
        host, _, port = where.rpartition(":")
        wire = Wire()
        await within(asyncio.get_running_loop().create_connection(lambda: wire, host, int(port)))
        return wire

    async def greet(self, of: Player | None) -> None:
        self.wire = await self.connect()
        if self.kind.modern:
            return
        if of is not None:
            self.session = of.session
            return
        message = (
            b'{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"%b","capabilities":{},'
            b'"clientInfo":{"name":"raw","version":"1"}}}' % self.kind.revision.encode()
        )
        told = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
        if self.kind.transport == "tcp":
            self.say(message + b"\n")
            await until(lambda: b"hello" in self.wire.data)
            self.say(told + b"\n")
            return
        head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self.say(head + b"Content-Length: %d\r\n\r\n" % len(message) + message)
        await until(lambda: b'"hello"' in self.wire.data)
        found = re.search(rb"mcp-session-id: ([^\r]+)", self.wire.data, re.IGNORECASE)
        assert found is not None, self.wire.data
        self.session = found[1]
        self.wire.data = b""
        self.say(head + b"Mcp-Session-Id: %b\r\nContent-Length: %d\r\n\r\n" % (self.session, len(told)) + told)
        await until(lambda: b" 202 " in self.wire.data)
        self.general = await self.connect()
        self.general.transport.write(  # type: ignore[union-attr]
            b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nMcp-Session-Id: %b\r\n\r\n"
            % self.session
        )
        await until(lambda: b"event-stream" in cast(Wire, self.general).data)

    def say(self, data: bytes) -> None:
        if self.wire.transport is not None and not self.wire.ended:
            self.wire.transport.write(data.replace(SESSION, self.session or b"none"))

    async def leave(self, *, half: bool) -> None:
        if self.wire.transport is not None and not self.wire.ended:
            if half:
                self.wire.transport.write_eof()
            else:
                self.wire.transport.close()


class Play:
    """One gateway, from its first client to its last."""

    def __init__(self, home: House, servers: Sequence[OddServer], kinds: Sequence[Kind], patience: int) -> None:
        self._home = home
        self._servers = servers
        self._patience = patience
        self.players = [Player(kind, home) for kind in kinds]
        self._heard = [0] * len(servers)
        self._streams: dict[tuple[int, bytes], int] = {}

    def _activity(self) -> int:
        wires = [player.wire for player in self.players] + [p.general for p in self.players if p.general is not None]
        return sum(len(wire.data) + wire.ended for wire in wires) + sum(len(each.heard) for each in self._servers)

    async def quiet(self, turns: int | None = None) -> None:
        """Until nothing has happened for many turns of the loop; on loopback what is written has arrived by then."""
        still, before = 0, self._activity()
        while still < (turns or self._patience):
            await asyncio.sleep(0 if self._patience < 100 else 0.0005)
            now = self._activity()
            still = still + 1 if now == before else 0
            before = now

    async def greet(self) -> None:
        for player in self.players:
            kind = player.kind
            await player.greet(self.players[kind.shares] if kind.shares >= 0 else None)
        for player in self.players:
            await self._warm(player)
        await self.quiet()
        self.take()

    async def _warm(self, player: Player) -> None:
        """So that what this client may use is connected, and what it is shown is known."""
        for meta in (b"{}", b'{"elicitation":{}}') if player.kind.modern else (b"",):
            words = b'{"io.modelcontextprotocol/protocolVersion":"%b","io.modelcontextprotocol/clientCapabilities":%b}'
            added = b',"_meta":' + words % (MODERN.encode(), meta) if meta else b""
            listed = b'{"jsonrpc":"2.0","id":"w","method":"tools/list","params":{"x":1%b}}' % added
            player.wire.data = b""
            if player.kind.transport == "tcp":
                player.say(listed + b"\n")
            else:
                head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                if player.kind.modern:
                    head += b"MCP-Protocol-Version: %b\r\nMcp-Method: tools/list\r\n" % MODERN.encode()
                else:
                    head += b"Mcp-Session-Id: @SESSION@\r\n"
                player.say(head + b"Content-Length: %d\r\n\r\n" % len(listed) + listed)
            await until(lambda: b'"id":"w"' in player.wire.data)

    async def step(self, step: Step) -> None:
        if isinstance(step, Send):
            player = self.players[step.client]
            if player.wire.ended:
                player.wire = await player.connect()
            for piece in step.pieces[:-1]:
                player.say(piece)
                await self.quiet(4)
            player.say(step.pieces[-1])
        elif isinstance(step, Release):
            self._servers[step.server].release(step.which, step.way)
        elif isinstance(step, Settle):
            self._home.daemon.gateway.relay.settle()
        else:
            assert isinstance(step, Drop)
            await self.players[step.client].leave(half=step.half)
        await self.quiet()

    def take(self) -> dict[str, list[object]]:
        """What came since the last time, by who got it."""
        seen: dict[str, list[object]] = {}
        for number, player in enumerate(self.players):
            for name, wire in (("client", player.wire), ("general", player.general)):
                if wire is not None:
                    found = wire.take()
                    if found:
                        seen[f"{name} {number}"] = [self._normal(found[0], number), *found[1:]]
        for number, server in enumerate(self._servers):
            new = server.heard.items[self._heard[number] :]
            self._heard[number] += len(new)
            if new:
                seen[f"server {number}"] = [
                    (
                        server.channels.index(item.channel),
                        item.raw,
                        {name: value for name, value in item.headers.items() if name != "host"},
                    )
                    for item in new
                ]
        return seen

    def _normal(self, data: object, client: int) -> bytes:
        """Sessions have random names; the numbers of their streams are nobody's business."""
        assert isinstance(data, bytes)
        for number, player in enumerate(self.players):
            if player.session:
                data = data.replace(player.session, b"S%d" % number)

        def renamed(match: re.Match[bytes]) -> bytes:
            key = client, match[3]
            stream = self._streams.setdefault(key, len(self._streams))
            return b"#\r\n%bid: %d/%b\n" % (match[2], stream, match[4])

        data = re.sub(rb"127\.0\.0\.1:\d{4,5}\b", b"127.0.0.1:PORT", data)
        data = re.sub(rb"content-length: \d+(?=.{1,300}127\.0\.0\.1:PORT)", b"content-length: N", data, flags=re.DOTALL)
        return re.sub(rb"([0-9a-f]{1,6})\r\n((?:event: \w+\n)?)id: (\d+)-(\d+)\n", renamed, data)


async def play(made: Traffic, mode: str, patience: int = 40) -> Account:
    """`mode`: of `relay_modes`. `patience`: turns of the loop in which nothing happens, before the next step."""
    account = Account()
    with pytest.MonkeyPatch.context() as patch:
        relays = put_in_force(mode, patch)
        servers = [OddServer(era, name) for era, name in zip(made.eras, NAMES, strict=False)]
        async with house(*servers, transport=made.ways) as home:
            gateway = home.daemon.gateway
            playing = Play(home, servers, made.kinds, patience)
            await playing.greet()
            metrics = Metrics(home.daemon.events)
            for step in made.steps:
                await playing.step(step)
                account.seen.append(playing.take())
            for player in playing.players:
                for wire in (player.wire, player.general):
                    if wire is not None and wire.transport is not None:
                        wire.transport.close()
            await playing.quiet()
            account.seen.append(playing.take())
            gateway.relay.settle()
            account.counted = dict(Counter({key: each.count for key, each in metrics._requests.items()}))
            account.left = {
                "in flight": gateway.admission.in_flight,
                "relayed": gateway.relay.native.in_flight,
                "held": [len(server.held) for server in servers],
            }
            account.promoted = relays.promoted
            account.relayed = gateway.relay.native.relayed
    return account


def difference(one: Account, other: Account, made: Traffic) -> str:
    """Where two accounts of the same traffic first part; empty if they do not."""
    for number, (mine, theirs) in enumerate(zip(one.seen, other.seen, strict=True)):
        if mine != theirs:
            step = made.steps[number] if number < len(made.steps) else "the end"
            who = sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))
            lines = [f"step {number}: {step!r:.1500}"]
            for name in who:
                lines += [f"  {name}", f"    {mine.get(name)!r:.1500}", f"    {theirs.get(name)!r:.1500}"]
            return "\n".join(lines)
    if one.counted != other.counted:
        return f"counted {one.counted!r}\n    and {other.counted!r}"
    if one.left != other.left:
        return f"left {one.left!r} and {other.left!r}"
    return ""
