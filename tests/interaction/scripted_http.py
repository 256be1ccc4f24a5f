"""The HTTP side of a scripted server: Streamable HTTP in both eras, and HTTP+SSE of 2024-11-05.

A request is answered by JSON, or by an event stream as soon as something is said before the answer.
"""

from __future__ import annotations

import asyncio
from typing import cast

from scripted_server import Channel, Received, ScriptedServer, dump


class HttpChannel(Channel):
    """A session of the server, or all of a stateless one."""

    def __init__(self, server: ScriptedServer, key: str) -> None:
        super().__init__(server)
        self.key = key
        self.general: HttpBackendProtocol | None = None
        self.early: list[bytes] = []
        self.legacy = False
        server.channels.append(self)

    def send(self, raw: bytes, about: Received | None = None, *, last: bool = False) -> None:
        http = about.http if about is not None else None
        if isinstance(http, HttpBackendProtocol) and not self.legacy:
            if last:
                http.finish(raw)
            else:
                http.event(raw)
        elif self.general is not None:
            self.general.event(raw)
        else:
            self.early.append(raw)

    def attach(self, stream: HttpBackendProtocol) -> None:
        self.general = stream
        for raw in self.early:
            stream.event(raw)
        self.early = []

    def hang_up(self) -> None:
        self.closed.set()
        if self.general is not None and self.general.transport is not None:
            self.general.transport.close()


class HttpBackendProtocol(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._streaming = False
        self._received: Received | None = None
        self.extra: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._received is not None:
            self._received.gone.set()

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
            self._request(method, target, headers, rest[:length])

    def _request(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self._streaming = False
        self.extra = {}
        server = self.server
        channels = {channel.key: channel for channel in server.channels if isinstance(channel, HttpChannel)}
        if target == "/sse" and method == "GET":
            channel = HttpChannel(server, f"legacy-{len(channels)}")
            channel.legacy = True
            self._start()
            self._chunk(f"event: endpoint\ndata: /messages?key={channel.key}\n\n".encode())
            channel.attach(self)
            return
        if target.startswith("/messages"):
            self.respond(202, b"")
            channel = channels[target.partition("=")[2]]
            channel.receive(body, Received(channel, body, headers))
            return
        key = headers.get("mcp-session-id", "")
        if method == "GET":
            if server.era == "session" and key in channels:
                self._start()
                channels[key].attach(self)
            else:
                self.respond(405, b"")
            return
        if method == "DELETE":
            if key in channels:
                channels[key].closed.set()
            self.respond(200 if key in channels else 404, b"")
            return
        if key in channels:
            found = channels[key]
        elif server.era == "session" and b'"initialize"' in body:
            found = HttpChannel(server, f"s{len(channels) + 1}")
            self.extra = {"mcp-session-id": found.key}
        elif server.era == "modern":
            found = channels.get("") or HttpChannel(server, "")
        else:
            self.respond(400, dump({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no session"}}))
            return
        received = Received(found, body, headers)
        if not received.method or "id" not in received.message:
            self.respond(202, b"")
        else:
            self._received = received
            received.http = self
        found.receive(body, received)

    # -- answering ----------------------------------------------------------------------------------------------

    def respond(self, status: int, body: bytes) -> None:
        if self.transport is None:
            return
        more = "".join(f"{name}: {value}\r\n" for name, value in self.extra.items())
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        self._received = None
        self.transport.write(head.encode() + body)

    def _start(self) -> None:
        if self.transport is not None and not self._streaming:
            self._streaming = True
            more = "".join(f"{name}: {value}\r\n" for name, value in self.extra.items())
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{more}\r\n"
            self.transport.write(head.encode())

    def _chunk(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def event(self, raw: bytes) -> None:
        self._start()
        self._chunk(b"event: message\ndata: " + raw + b"\n\n")

    def finish(self, raw: bytes) -> None:
        if not self._streaming:
            self.respond(200, raw)
            return
        self.event(raw)
        self._received = None
        if self.transport is not None:
            self.transport.write(b"0\r\n\r\n")
