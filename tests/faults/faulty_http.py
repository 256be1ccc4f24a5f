"""An MCP server over HTTP that works, until a test gives it a fault; then its answers go wrong in that one way.

Era "modern" is 2026-07-28, "session" Streamable HTTP with sessions, "sse" HTTP+SSE of 2024-11-05. It runs in the
test's event loop and counts what it was made to do.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

Json = Any
MODERN = "2026-07-28"
TOOLS = [
    {"name": "echo", "inputSchema": {"type": "object"}},
    {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "put", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": False, "idempotentHint": True}},
]
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Asked:
    """One HTTP request, and every way to answer it."""

    def __init__(self, server: FaultyHttp, road: _Road, method: str, target: str, headers: dict[str, str], body: bytes):
        self.server = server
        self.road = road
        self.method = method
        self.target = target
        self.headers = headers
        self.message: Json = json.loads(body) if body else {}
        self.streaming = False

    @property
    def rpc(self) -> str:
        """The JSON-RPC method; empty for what is no request."""
        return str(self.message.get("method", "")) if "id" in self.message else ""

    # -- bytes ------------------------------------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        if self.road.transport is not None:
            self.road.transport.write(data)

    def close(self) -> None:
        """In order: what was written still arrives."""
        if self.road.transport is not None:
            self.road.transport.close()

    def reset(self) -> None:
        """RST, once the peer has had the time to read what was said."""
        transport = self.road.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    def later(self, delay_s: float, step: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, step)

    def head(self, status: str, *fields: str) -> None:
        self.say("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode())

    # -- answers ----------------------------------------------------------------------------------------------------

    def respond(self, status: str, body: bytes = b"", *fields: str, kind: str = "application/json") -> None:
        self.head(status, f"content-type: {kind}", f"content-length: {len(body)}", *fields)
        self.say(body)

    def stream(self, *fields: str) -> None:
        self.streaming = True
        self.head("200 OK", "content-type: text/event-stream", "transfer-encoding: chunked", *fields)

    def event(self, data: bytes, own_id: str = "", name: str = "") -> None:
        lines = (f"event: {name}\n" if name else "") + (f"id: {own_id}\n" if own_id else "")
        self.chunk(lines.encode() + b"data: " + data + b"\n\n")

    def chunk(self, data: bytes) -> None:
        self.say(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        self.say(b"0\r\n\r\n")

    def answer(self) -> bytes:
        """The right one."""
        return dump({"jsonrpc": "2.0", "id": self.message["id"], **self.server.outcome(self)})


Fault = Callable[[Asked], None]


class _Road(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: FaultyHttp) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.roads.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.server.roads.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, rest = self._buffer.split(b"\r\n\r\n", 1)
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            method, target, _ = first.split(" ")
            self.server.take(Asked(self.server, self, method, target, headers, rest[:length]))


class FaultyHttp:
    """The server. `fault` is what goes wrong, with requests whose JSON-RPC method is in `only` (empty: with all)."""

    def __init__(self, era: str) -> None:
        self.era = era
        self.fault: Fault | None = None
        self.only: frozenset[str] = frozenset()
        self.ran: Counter[str] = Counter()
        """How often each tool did its work."""
        self.asked: Counter[str] = Counter()
        """How often each method was asked for; `GET` and `DELETE` under their own names."""
        self.opened = 0
        self.roads: set[_Road] = set()
        self.sessions: set[str] = set()
        self.standing: list[Asked] = []
        """Open event streams that belong to no request."""
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{'sse' if self.era == 'sse' else 'mcp'}"

    async def start(self) -> None:
        """Listens, on the port it had before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Road(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listens no more, and cuts what is open."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Ends every connection and forgets every session, as a restart does."""
        for road in list(self.roads):
            if road.transport is not None:
                road.transport.abort()
        self.sessions.clear()
        self.standing.clear()

    def break_down(self, fault: Fault, only: tuple[str, ...] = ()) -> None:
        self.fault, self.only = fault, frozenset(only)

    def heal(self) -> None:
        self.fault, self.only = None, frozenset()

    # -- serving ----------------------------------------------------------------------------------------------------

    def take(self, asked: Asked) -> None:
        self.asked[asked.rpc or asked.method] += 1
        if self.fault is not None and (not self.only or asked.rpc in self.only):
            self.fault(asked)
        else:
            self.serve(asked)

    def serve(self, asked: Asked) -> None:
        if self.era == "sse":
            self._serve_older(asked)
        elif asked.method == "POST":
            self._post(asked)
        elif self.era == "session" and asked.headers.get("mcp-session-id") in self.sessions:
            if asked.method == "DELETE":
                self.sessions.discard(asked.headers["mcp-session-id"])
                asked.respond("200 OK")
            else:
                asked.stream()
                self.standing.append(asked)
        else:
            asked.respond("404 Not Found" if self.era == "session" else "405 Method Not Allowed")

    def _post(self, asked: Asked) -> None:
        own = asked.headers.get("mcp-session-id")
        if self.era == "session" and asked.rpc != "initialize" and own not in self.sessions:
            self.refuse_session(asked)
        elif not asked.rpc:
            asked.respond("202 Accepted")
        elif asked.rpc == "subscriptions/listen" and self.era == "modern":
            asked.stream()
            mark = {SUBSCRIPTION: asked.message["id"]}
            params = {"notifications": asked.message["params"]["notifications"], "_meta": mark}
            method = "notifications/subscriptions/acknowledged"
            asked.event(dump({"jsonrpc": "2.0", "method": method, "params": params}))
            self.standing.append(asked)
        elif asked.rpc == "initialize" and self.era == "session":
            session = f"s{len(self.asked)}-{self.asked['initialize']}"
            self.sessions.add(session)
            asked.respond("200 OK", asked.answer(), f"mcp-session-id: {session}")
        else:
            asked.respond("200 OK", asked.answer())

    @staticmethod
    def refuse_session(asked: Asked) -> None:
        known = "mcp-session-id" in asked.headers
        error = {"code": -32001 if known else -32000, "message": "Session not found" if known else "no session"}
        asked.respond(
            "404 Not Found" if known else "400 Bad Request", dump({"jsonrpc": "2.0", "id": None, "error": error})
        )

    def _serve_older(self, asked: Asked) -> None:
        if asked.method == "GET" and asked.target == "/sse":
            asked.stream()
            asked.event(f"/messages?key={len(self.standing)}".encode(), name="endpoint")
            self.standing.append(asked)
        elif asked.method == "POST" and asked.target.startswith("/messages"):
            asked.respond("202 Accepted")
            if asked.rpc:
                self.standing[int(asked.target.partition("=")[2])].event(asked.answer(), name="message")
        else:
            asked.respond("404 Not Found")

    def outcome(self, asked: Asked) -> Json:
        method, params = asked.rpc, asked.message.get("params", {})
        stateless = {"resultType": "complete"} if self.era == "modern" else {}
        cached = {"ttlMs": 600_000, "cacheScope": "public"} if self.era == "modern" else {}
        capabilities = {"tools": {"listChanged": True}}
        if method == "server/discover" and self.era == "modern":
            return {"result": {**stateless, **cached, "supportedVersions": [MODERN], "capabilities": capabilities}}
        if method == "initialize" and self.era != "modern":
            version = params["protocolVersion"] if self.era == "session" else "2024-11-05"
            info = {"name": "bad", "version": "1"}
            return {"result": {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}}
        if method == "tools/list":
            return {"result": {**stateless, **cached, "tools": TOOLS}}
        if method == "tools/call":
            self.ran[params["name"]] += 1
            return {"result": {**stateless, "content": [{"type": "text", "text": f"did {params['name']}"}]}}
        if method == "ping" and self.era != "modern":
            return {"result": {}}
        return {"error": {"code": -32601, "message": "Method not found"}}
