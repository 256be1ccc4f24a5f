"""The two ends of a lane for `instructions.py`: an MCP client and an MCP server of either era, as plain as can be.

They run on threads of the benchmark's own process. Both send each message in one write, so that the gateway between
them never sees one call in a single read and the next in two.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from dataclasses import dataclass
from typing import Any, BinaryIO

from wire import ARGUMENTS, CLIENT, META, SESSION, STATELESS, TOKEN

ABILITIES: dict[str, Any] = {"sampling": {}, "elicitation": {}, "roots": {}}
RESULT = '"content":[{"type":"text","text":"hello from the bench"}],"isError":false'
TOOL = '{"name":"echo","description":"Says what it is told.","inputSchema":{"type":"object"}}'
PATIENCE_S = 240
"""For one answer: under callgrind everything takes some fifty times as long, on a busy machine twice that."""


@dataclass(frozen=True)
class Lane:
    client: str
    server: str
    transport: str
    asks: bool = False
    middle: str = ""
    """nginx, forwarder, slow lane, guarded, guarded slow lane; or the gateway as it is."""

    @property
    def name(self) -> str:
        left, right = (("stateless" if era == STATELESS else "session") for era in (self.client, self.server))
        middle = f" → {self.middle}" if self.middle else ""
        return f"{self.transport}: {left}{', asks' if self.asks else ''}{middle} → {right}"

    @property
    def guarded(self) -> bool:
        return self.middle.startswith("guarded")

    @property
    def bridged(self) -> bool:
        return self.client != self.server


# -- the server ---------------------------------------------------------------------------------------------------


def answer(era: str, line: bytes) -> bytes:
    """The answer to one message; empty for a notification."""
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        return b""
    complete = '"resultType":"complete",' if era == STATELESS else ""
    cached = ',"ttlMs":600000,"cacheScope":"public"' if era == STATELESS else ""
    own = '"capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}'
    results = {
        "tools/call": f"{{{complete}{RESULT}}}",
        "tools/list": f'{{{complete}"tools":[{TOOL}]{cached}}}',
        "ping": "{}",
        "server/discover" if era == STATELESS else "initialize": (
            f'{{{complete}"supportedVersions":["{STATELESS}"],{own}{cached}}}'
            if era == STATELESS
            else f'{{"protocolVersion":"{SESSION}",{own}}}'
        ),
    }
    found = results.get(message["method"])
    tail = f'"result":{found}' if found is not None else '"error":{"code":-32601,"message":"Method not found"}'
    return f'{{"jsonrpc":"2.0","id":{json.dumps(message["id"])},{tail}}}'.encode()


def serve_lines(era: str, peer: socket.socket) -> None:
    for line in peer.makefile("rb"):
        told = answer(era, line)
        if told:
            peer.sendall(told + b"\n")


def serve_http(era: str, peer: socket.socket) -> None:
    """Head and body of an answer leave in one write: the gateway must not see a call now in one read, now in two."""
    stream = peer.makefile("rb")
    while True:
        head = read_head(stream)
        if not head:
            return
        length = re.search(rb"(?i)\ncontent-length:\s*(\d+)", head)
        body = stream.read(int(length[1])) if length else b""
        told = answer(era, body) if head.startswith(b"POST") else b""
        if not head.startswith(b"POST"):
            status = b"405 Method Not Allowed"
        else:
            status = b"200 OK\r\nContent-Type: application/json" if told else b"202 Accepted"
        if b'"initialize"' in body and era == SESSION:
            status += b"\r\nMcp-Session-Id: one"
        peer.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(told), told))


def read_head(stream: BinaryIO) -> bytes:
    head = b""
    for line in stream:
        head += line
        if line in (b"\r\n", b"\n"):
            break
    return head


class Server:
    """An MCP server of one era on a free loopback port, a thread a connection."""

    def __init__(self, era: str, transport: str) -> None:
        self._serve = serve_lines if transport == "TCP" else serve_http
        self._era = era
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._attend, args=(peer,), daemon=True).start()

    def _attend(self, peer: socket.socket) -> None:
        try:
            self._serve(self._era, peer)
        except OSError:
            pass  # the gateway has gone
        finally:
            peer.close()

    def close(self) -> None:
        self._socket.close()


# -- the client ---------------------------------------------------------------------------------------------------


class Client:
    """One connection, one call at a time."""

    def __init__(self, lane: Lane, port: int) -> None:
        self._lane = lane
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._session = ""
        capabilities = ABILITIES if lane.asks else {}
        params: dict[str, Any] = {"name": "echo", "arguments": ARGUMENTS}
        if lane.client == STATELESS:
            params["_meta"] = META | {"io.modelcontextprotocol/clientCapabilities": capabilities}
        else:
            greeting = {"protocolVersion": SESSION, "capabilities": capabilities, "clientInfo": CLIENT}
            self._exchange(self._packed("initialize", greeting, 0))
            self._exchange(self._packed("notifications/initialized", None, None))
        self._call = self._packed("tools/call", params, 7)

    def calls(self, count: int) -> None:
        for _ in range(count):
            told = self._exchange(self._call)
            if b"hello from the bench" not in told:
                raise RuntimeError(f"{self._lane.name} is answered {told[:300]!r}")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def _packed(self, method: str, params: dict[str, Any] | None, own_id: int | None) -> bytes:
        message = {"jsonrpc": "2.0", **({} if own_id is None else {"id": own_id}), "method": method}
        body = json.dumps(message | ({} if params is None else {"params": params}), separators=(",", ":")).encode()
        if self._lane.transport == "TCP":
            return body + b"\n"
        headers = {
            "Host": f"127.0.0.1:{self._port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Content-Length": str(len(body)),
        }
        if self._lane.guarded:
            headers["Authorization"] = f"Bearer {TOKEN}"
        if self._lane.client == STATELESS:
            headers |= {"MCP-Protocol-Version": STATELESS, "Mcp-Method": method, "Mcp-Name": "echo"}
        elif self._session:
            headers |= {"MCP-Protocol-Version": SESSION, "Mcp-Session-Id": self._session}
        head = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body

    def _exchange(self, packed: bytes) -> bytes:
        self._socket.sendall(packed)
        if self._lane.transport == "TCP":
            return self._stream.readline() if b'"id":' in packed else b""
        response = http.client.HTTPResponse(self._socket, method="POST")
        response.begin()
        self._session = response.getheader("Mcp-Session-Id") or self._session
        body = response.read()
        response.close()
        return body
