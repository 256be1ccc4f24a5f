"""Random traffic, good and bad, as a list of steps that can be played to any gateway. One seed, one list."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from odd_server import ASIDES, ENDINGS

MODERN = "2026-07-28"
SESSION = b"@SESSION@"
"""Stands for the client's session in what is sent."""
_PREFIX = "io.modelcontextprotocol/"


@dataclass(frozen=True)
class Kind:
    """A client: how it connects and what it speaks."""

    transport: str
    revision: str
    shares: int = -1
    """Number of another client, whose session it uses."""

    @property
    def modern(self) -> bool:
        return self.revision == MODERN


@dataclass(frozen=True)
class Send:
    """These bytes, a piece at a time."""

    client: int
    pieces: tuple[bytes, ...]


@dataclass(frozen=True)
class Release:
    """The server ends a call that it has held."""

    server: int
    which: int
    way: str


@dataclass(frozen=True)
class Settle:
    """The gateway's relay gives up all its calls."""


@dataclass(frozen=True)
class Drop:
    """A client goes away, and comes again on another connection."""

    client: int
    half: bool


Step = Send | Release | Settle | Drop


@dataclass
class Traffic:
    """All that happens in one house."""

    eras: tuple[str, ...]
    ways: tuple[str, ...]
    kinds: tuple[Kind, ...]
    steps: list[Step] = field(default_factory=list)


KINDS = (
    Kind("http", MODERN),
    Kind("http", MODERN),
    Kind("http", "2025-11-25"),
    Kind("http", "2025-06-18"),
    Kind("http", "2025-03-26"),
    Kind("tcp", MODERN),
    Kind("tcp", MODERN),
    Kind("tcp", "2025-11-25"),
    Kind("tcp", "2025-06-18"),
    Kind("tcp", "2025-03-26"),
)
IDS = (b"1", b"2", b"3", b"7", b'"a"', b'"1"', b"-4", b'"\\u0061"', b"0", b"12345678901234567890", b"1.5", b"null")


def traffic(seed: int, length: int = 30) -> Traffic:
    chance = random.Random(seed)
    count = chance.choice((1, 1, 1, 2))
    ways = tuple(chance.choice(("tcp", "tcp", "unix", "http")) for _ in range(count))
    kinds = [chance.choice(KINDS) for _ in range(chance.choice((1, 2, 2, 3)))]
    # Mostly there is somebody who needs no bridge.
    likely = "modern" if kinds[0].modern else "session"
    eras = tuple(likely if chance.random() < 0.8 else chance.choice(("modern", "session")) for _ in range(count))
    for number, kind in enumerate(list(kinds)):
        if kind.transport == "http" and not kind.modern and chance.random() < 0.4:
            kinds.append(Kind("http", kind.revision, number))
    made = Traffic(eras, ways, tuple(kinds))
    author = _Author(chance, made)
    while len(made.steps) < length:
        made.steps.append(author.step())
    return made


class _Author:
    def __init__(self, chance: random.Random, made: Traffic) -> None:
        self._chance = chance
        self._kinds = made.kinds
        self._servers = len(made.eras)
        # Each client has habits: a relay is there for those who repeat themselves.
        self._habits = [self._habit(kind) for kind in made.kinds]
        self._next = [10] * len(made.kinds)

    def _habit(self, kind: Kind) -> dict[str, object]:
        chance = self._chance
        return {
            "tool": self._tool(),
            "coding": chance.choice((b"", b"", b"gzip", b"zstd, gzip;q=0.5")),
            "accept": chance.choice((b"application/json, text/event-stream",) * 4 + (b"*/*", b"application/json")),
            "length last": chance.random() < 0.5,
            "meta": chance.choice((b"", b"", b',"vendor/x":1.0', b',"traceparent":"00-1-2-01"')),
            "capabilities": chance.choice((b"{}", b"{}", b'{"elicitation":{}}')),
        }

    def _tool(self) -> str:
        tool = self._chance.choice(("echo", "echo", "echo", "other"))
        return tool if self._servers == 1 else f"{self._chance.choice(('one', 'two'))}__{tool}"

    def step(self) -> Step:
        chance = self._chance
        dice = chance.random()
        if dice < 0.07:
            return Release(chance.randrange(self._servers), chance.randrange(4), chance.choice(ENDINGS))
        if dice < 0.10:
            return Settle()
        client = chance.randrange(len(self._kinds))
        if dice < 0.13:
            return Drop(client, chance.random() < 0.3)
        data = b"".join(self._unit(client) for _ in range(chance.choice((1,) * 8 + (2, 2, 3))))
        return Send(client, self._pieces(data))

    def _pieces(self, data: bytes) -> tuple[bytes, ...]:
        chance = self._chance
        head, blank, body = data.partition(b"\r\n\r\n")
        if body and chance.random() < 0.25:
            # As many clients do it.
            return (head + blank, body)
        if chance.random() < 0.75 or len(data) < 2:
            return (data,)
        cuts = sorted(chance.sample(range(1, len(data)), min(chance.choice((1, 1, 2, 5)), len(data) - 1)))
        return tuple(data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True))

    # -- one request, or what pretends to be one ------------------------------------------------------------------

    def _unit(self, client: int) -> bytes:
        kind = self._kinds[client]
        message = self._message(client)
        if kind.transport == "tcp":
            return message.replace(b"\n", b" ") + self._chance.choice((b"\n",) * 8 + (b"\r\n", b"\n\n"))
        return self._request(client, message)

    def _message(self, client: int) -> bytes:
        chance = self._chance
        dice = chance.random()
        if dice < 0.72:
            return self._spelled(self._call(client))
        if dice < 0.78:
            cancelled = chance.choice((*IDS[:6], b"%d" % (self._next[client] - 1)))
            return b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%b}}' % cancelled
        if dice < 0.80:
            return b'{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}'
        if dice < 0.82:
            return b'{"jsonrpc":"2.0","id":"tidegate-1","result":{}}'
        if dice < 0.86:
            return self._other(client)
        if dice < 0.90:
            return b"[" + self._call(client) + b"," + self._call(client) + b"]"
        return self._broken(self._call(client))

    def _id(self, client: int) -> bytes:
        if self._chance.random() < 0.25:
            return self._chance.choice(IDS)
        self._next[client] += 1
        return b"%d" % self._next[client]

    def _meta(self, client: int) -> bytes:
        chance = self._chance
        habit = self._habits[client]
        parts = []
        if self._kinds[client].modern:
            version = chance.choice((MODERN,) * 30 + ("2025-11-25", "2099-01-01"))
            parts.append(b'"%bprotocolVersion":"%b"' % (_PREFIX.encode(), version.encode()))
            parts.append(b'"%bclientCapabilities":%b' % (_PREFIX.encode(), habit["capabilities"]))
            if chance.random() < 0.1:
                parts.append(b'"%blogLevel":"%b"' % (_PREFIX.encode(), chance.choice((b"debug", b"error"))))
        if chance.random() < 0.08:
            parts.append(b'"progressToken":%b' % chance.choice((b"1", b'"t"')))
        more = habit["meta"] if chance.random() < 0.8 else chance.choice((b',"a":[1, 2]', b',"dev.tidegate/token":"x"'))
        assert isinstance(more, bytes)
        return b"{" + (b",".join(parts) + more).lstrip(b",") + b"}"

    def _call(self, client: int) -> bytes:
        chance = self._chance
        method = chance.choice(("tools/call",) * 8 + ("prompts/get", "resources/read"))
        doing = chance.choice(ENDINGS)
        if chance.random() < 0.15:
            aside = chance.choice(ASIDES)
            doing = chance.choice((f"{aside}+{doing}", f"{doing}+{aside}", f"{doing}+{doing}"))
        if chance.random() < 0.12:
            doing = "hold"
        more = chance.choice((b"",) * 6 + (b',"task":{}', b',"x":"task"', b',"n":1E+2'))
        arguments = b'"arguments":{"do":"%b"%b}' % (doing.encode(), more if b'task":' not in more else b"")
        outside = more if b'task":' in more else b""
        if method == "tools/call":
            tool = self._habits[client]["tool"] if chance.random() < 0.85 else self._tool()
            named = b'"name":"%b"' % str(tool).encode()
        elif method == "prompts/get":
            named = b'"name":"%b"' % (b"greet" if self._servers == 1 else b"one__greet")
        else:
            named = b'"uri":"%b"' % chance.choice((b"test://one/a", b"test://one/item/3", b"none:x"))
        params = [named, arguments + outside]
        meta = self._meta(client)
        if meta != b"{}":
            params.append(b'"_meta":' + meta)
        if chance.random() < 0.1:
            chance.shuffle(params)
        members = [
            b'"jsonrpc":"2.0"',
            b'"id":' + self._id(client),
            b'"method":"%b"' % method.encode(),
            b'"params":{%b}' % b",".join(params),
        ]
        if chance.random() < 0.05:
            chance.shuffle(members)
        if chance.random() < 0.03:
            members.append(chance.choice((b'"x":1', b'"id":1', b'"method":"ping"', b'"result":{}')))
        return b"{" + b",".join(members) + b"}"

    def _other(self, client: int) -> bytes:
        method = self._chance.choice(("ping", "tools/list", "odd/method", "tools/list", "completion/complete"))
        meta = self._meta(client)
        return b'{"jsonrpc":"2.0","id":%b,"method":"%b","params":{"_meta":%b}}' % (
            self._id(client),
            method.encode(),
            meta,
        )

    def _spelled(self, message: bytes) -> bytes:
        """The same, written in another way."""
        dice = self._chance.random()
        if dice < 0.90:
            return message
        if dice < 0.93:
            try:
                return json.dumps(json.loads(message), indent=self._chance.choice((None, 2))).encode()
            except ValueError:
                return message
        if dice < 0.96:
            return message.replace(b'"method"', b'"\\u006dethod"').replace(b'"name"', b'"n\\u0061me"')
        if dice < 0.98:
            return message.replace(b"protocolVersion", b"protocol\\u0056ersion")
        return b" " + message.replace(b":", b" : ", 3) + b"\t"

    def _broken(self, message: bytes) -> bytes:
        chance = self._chance
        dice = chance.random()
        if dice < 0.3:
            return message[: chance.randrange(len(message))]
        if dice < 0.6:
            at = chance.randrange(len(message))
            return message[:at] + bytes([chance.choice(b'{}[]",:x\\\xff0 ')]) + message[at + 1 :]
        if dice < 0.7:
            return message.replace(b'"2.0"', b'"1.0"')
        if dice < 0.8:
            return message.replace(b'"params":{', b'"params":[{', 1)
        return chance.choice((b"{}", b"[]", b"null", b"", b"\xff\xfe", b'{"jsonrpc":"2.0"}', b"[" * 200))

    # -- HTTP -------------------------------------------------------------------------------------------------------

    def _request(self, client: int, body: bytes) -> bytes:
        chance = self._chance
        kind, habit = self._kinds[client], self._habits[client]
        coding, accept = habit["coding"], habit["accept"]
        assert isinstance(coding, bytes)
        assert isinstance(accept, bytes)
        fields = [
            b"Host: 127.0.0.1",
            b"Content-Type: application/json",
            b"Accept: " + (accept if chance.random() < 0.97 else b"text/html"),
        ]
        if coding:
            fields.append(b"Accept-Encoding: " + coding)
        if kind.modern:
            fields += self._mirrored(body)
        else:
            fields.append(b"Mcp-Session-Id: " + (SESSION if chance.random() < 0.97 else b"unknown"))
            if chance.random() < 0.9:
                fields.append(b"MCP-Protocol-Version: " + kind.revision.encode())
        length = b"Content-Length: %d" % len(body)
        start = b"POST /mcp HTTP/1.1"
        dice = chance.random()
        if dice < 0.08:
            odd = chance.choice(
                (
                    b"Origin: http://localhost",
                    b"Origin: http://evil.example",
                    b"Connection: close",
                    b"Connection: keep-alive",
                    b"Expect: 100-continue",
                    b"X-Odd: " + bytes([chance.choice(b"abc")]),
                    b"Content-Length: 5",
                    b"Transfer-Encoding: chunked",
                    b"Authorization: Bearer x",
                    b"X-Bad : 1",
                    b"Content-Encoding: gzip",
                    b"Upgrade: h2c",
                    b" folded",
                )
            )
            fields.insert(chance.randrange(len(fields) + 1), odd)
        elif dice < 0.10:
            start = chance.choice(
                (b"POST /mcp HTTP/1.0", b"GET /mcp HTTP/1.1", b"DELETE /mcp HTTP/1.1", b"PUT /mcp HTTP/1.1",
                 b"POST /x HTTP/1.1", b"POST http://127.0.0.1/mcp HTTP/1.1",
                 b"POST /mcp?a=b HTTP/1.1", b"OPTIONS /mcp HTTP/1.1")
            )  # fmt: skip
            if start.startswith((b"GET", b"DELETE", b"OPTIONS")):
                body, length = b"", b"Content-Length: 0"
        elif dice < 0.12:
            length = chance.choice(
                (b"Content-Length: %d" % (len(body) + 1), b"content-length: 0%d" % len(body), b"Content-Length: -1")
            )
        elif dice < 0.14:
            length = b"Transfer-Encoding: chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif dice < 0.15:
            del fields[0]
        elif dice < 0.16:
            fields = [each.lower() if SESSION not in each else each for each in fields]
        if habit["length last"]:
            fields.append(length)
        else:
            fields.insert(1, length)
        return b"\r\n".join((start, *fields)) + b"\r\n\r\n" + body

    def _mirrored(self, body: bytes) -> list[bytes]:
        """What the headers of the stateless era repeat of the body, if that can be read."""
        chance = self._chance
        method, name = "tools/call", str(self._habits[0]["tool"])
        try:
            message = json.loads(body)
            method = message["method"]
            params = message["params"]
            name = params.get("name") or params.get("uri") or ""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        fields = [b"MCP-Protocol-Version: " + MODERN.encode(), f"Mcp-Method: {method}".encode()]
        if name:
            fields.append(f"Mcp-Name: {name}".encode())
        if chance.random() < 0.04:
            del fields[chance.randrange(len(fields))]
        return [each for each in fields if b"\n" not in each and b"\r" not in each]
