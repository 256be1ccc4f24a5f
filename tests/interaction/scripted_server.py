"""An MCP server in the test's own event loop that says exactly what the test wants, in either era, on any transport.

`ScriptedServer` answers what every server must (greeting, lists) from a table; everything else waits in `calls`
until the test answers it. A server on stdio is the same object: `stdio_relay.py`, the child process, passes its
streams on to a unix socket.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from heard import Heard, Json, within

from tidegate.config.snapshot import Backend

MODERN = "2026-07-28"
SESSION = "2025-11-25"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
RELAY = str(Path(__file__).with_name("stdio_relay.py"))


def dump(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def tool(name: str, **more: Json) -> bytes:
    return dump({"name": name, "inputSchema": {"type": "object"}, **more})


class Channel:
    """One connection or session that the gateway has with the server."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.capabilities: Json = {}
        """Of the client, as its `initialize` said."""
        self.version = ""
        self.closed = asyncio.Event()
        self._asked: dict[str, asyncio.Future[Json]] = {}

    def send(self, raw: bytes, about: Received | None = None, *, last: bool = False) -> None:
        """Says one message. `about` is the request it belongs to, of which it may be the `last`."""
        raise NotImplementedError

    def hang_up(self) -> None:
        raise NotImplementedError

    def notify(self, method: str, params: Json = None, about: Received | None = None) -> None:
        body: Json = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            body["params"] = params
        self.send(dump(body), about)

    def ask(self, method: str, params: Json, about: Received | None = None) -> asyncio.Future[Json]:
        """The message that answers a request made of the client."""
        own_id = f"ask-{len(self._asked) + 1}"
        future = self._asked[own_id] = asyncio.get_running_loop().create_future()
        self.send(dump({"jsonrpc": "2.0", "id": own_id, "method": method, "params": params}), about)
        return future

    def receive(self, raw: bytes, received: Received) -> None:
        message = received.message
        self.server.heard.add(received)
        if received.method == "" and "id" in message:
            future = self._asked.get(message["id"])
            if future is not None and not future.done():
                future.set_result(message)
        elif "id" in message:
            self.server.serve(received)


class Received:
    """One message from the gateway."""

    def __init__(self, channel: Channel, raw: bytes, headers: dict[str, str] | None = None) -> None:
        self.channel = channel
        self.raw = raw
        self.headers = headers or {}
        self.message: Json = json.loads(raw)
        self.method: str = self.message.get("method", "")
        self.params: Json = self.message.get("params", {})
        self.gone = asyncio.Event()
        """Its HTTP response was closed by the gateway."""
        self.http: object = None

    @property
    def id(self) -> Json:
        return self.message.get("id")

    @property
    def token(self) -> Json:
        return self.params.get("_meta", {}).get("progressToken")

    def reply(self, result: Json | bytes) -> None:
        raw = result if isinstance(result, bytes) else dump(result)
        self.say(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(self.id), raw), last=True)

    def fail(self, code: int, message: str, data: Json = None) -> None:
        error = {"code": code, "message": message} | ({"data": data} if data is not None else {})
        self.say(dump({"jsonrpc": "2.0", "id": self.id, "error": error}), last=True)

    def say(self, raw: bytes, *, last: bool = False) -> None:
        self.channel.send(raw, self, last=last)

    def notify(self, method: str, params: Json) -> None:
        self.channel.notify(method, params, self)

    def progress(self, value: float) -> None:
        self.notify("notifications/progress", {"progressToken": self.token, "progress": value, "total": 10})

    def ask(self, method: str, params: Json) -> asyncio.Future[Json]:
        return self.channel.ask(method, params, self)

    def text(self, text: str) -> None:
        """Answers a `tools/call`."""
        self.reply(self.channel.server.complete({"content": [{"type": "text", "text": text}]}))


class ScriptedServer:
    """What the test says the server is."""

    def __init__(self, era: str, name: str = "one", *, tools: tuple[bytes, ...] = (tool("echo"),)) -> None:
        self.era = era
        self.name = name
        self.offers: dict[str, list[bytes]] = {
            "tools": list(tools),
            "prompts": [dump({"name": "greet"})],
            "resources": [dump({"uri": f"test://{name}/a", "name": "a"})],
            "resourceTemplates": [dump({"uriTemplate": f"test://{name}/item/{{id}}", "name": "item"})],
        }
        self.page_entries = 1_000_000
        self.capabilities: Json = {
            "tools": {"listChanged": True},
            "prompts": {"listChanged": True},
            "resources": {"listChanged": True, "subscribe": True},
            "logging": {},
            "completions": {},
        }
        self.heard: Heard[Received] = Heard()
        self.calls: Heard[Received] = Heard()
        """Requests that the test has to answer."""
        self.channels: list[Channel] = []
        self.listens: list[Received] = []
        """Open `subscriptions/listen` requests."""
        self.silent: set[str] = set()
        """Methods that are left to the test, although there is an answer here."""
        self._taken = 0
        self._closers: list[Callable[[], None]] = []

    # -- answering ----------------------------------------------------------------------------------------------

    def complete(self, result: Json) -> Json:
        return {"resultType": "complete", **result} if self.era == "modern" else result

    def serve(self, received: Received) -> None:
        method = received.method
        if method in self.silent:
            self.calls.add(received)
        elif method == "initialize":
            self._initialize(received)
        elif method == "server/discover":
            self._discover(received)
        elif method in LISTS:
            self._list(received, LISTS[method])
        elif method in ("ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
            received.reply({})
        elif method == "subscriptions/listen":
            self.listens.append(received)
            received.notify(
                "notifications/subscriptions/acknowledged",
                {
                    "notifications": received.params["notifications"],
                    "_meta": {"io.modelcontextprotocol/subscriptionId": received.id},
                },
            )
        else:
            self.calls.add(received)

    def _initialize(self, received: Received) -> None:
        if self.era != "session":
            received.fail(-32601, "no sessions here")
            return
        received.channel.capabilities = received.params["capabilities"]
        received.channel.version = received.params["protocolVersion"]
        received.reply(
            {
                "protocolVersion": received.params["protocolVersion"],
                "capabilities": self.capabilities,
                "serverInfo": {"name": self.name, "version": "1", "x-unknown": [1.0]},
                "instructions": f"how to use {self.name}",
            }
        )

    def _discover(self, received: Received) -> None:
        if self.era != "modern":
            received.fail(-32601, "unknown method")
            return
        received.reply(
            {
                "resultType": "complete",
                "supportedVersions": [MODERN],
                "capabilities": self.capabilities,
                "instructions": f"how to use {self.name}",
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": self.name, "version": "1"}},
            }
        )

    def _list(self, received: Received, member: str) -> None:
        entries = self.offers[member]
        start = int(received.params.get("cursor", "p0")[1:])
        end = start + self.page_entries
        raw = b'{"' + member.encode() + b'":[' + b",".join(entries[start:end]) + b"]"
        if end < len(entries):
            raw += b',"nextCursor":"p%d"' % end
        if self.era == "modern":
            raw += b',"resultType":"complete","ttlMs":5000,"cacheScope":"public"'
        received.reply(raw + b"}")

    async def next_call(self, method: str = "") -> Received:
        """The next request that waits for the test's answer."""
        received = await self.calls.wait(lambda item: not method or item.method == method, skip=self._taken)
        self._taken = self.calls.items.index(received) + 1
        return received

    async def wait_heard(self, method: str, skip: int = 0) -> Received:
        return await self.heard.wait(lambda item: item.method == method, skip=skip)

    @property
    def running(self) -> int:
        """Its children, or connections, that are there."""
        return sum(not channel.closed.is_set() for channel in self.channels)

    def said(self, method: str) -> list[Received]:
        return [item for item in self.heard if item.method == method]

    # -- speaking by itself ---------------------------------------------------------------------------------------

    def announce(self, method: str, params: Json = None) -> None:
        """Says something that belongs to no request, to everyone who listens."""
        if self.era == "session":
            for channel in self.channels:
                if not channel.closed.is_set():
                    channel.notify(method, params)
            return
        for listen in self.listens:
            if not listen.gone.is_set():
                tagged = {**(params or {}), "_meta": {"io.modelcontextprotocol/subscriptionId": listen.id}}
                listen.notify(method, tagged)

    # -- transports -----------------------------------------------------------------------------------------------

    async def listen(self, transport: str, folder: Path, **fields: Json) -> Backend:
        """Opens the server on `transport`; the configuration by which the gateway finds it."""
        loop = asyncio.get_running_loop()
        if transport in ("http", "sse"):
            from scripted_http import HttpBackendProtocol

            server = await loop.create_server(lambda: HttpBackendProtocol(self), "127.0.0.1", 0)
            self._closers.append(server.close)
            host, port = server.sockets[0].getsockname()[:2]
            path = "/mcp" if transport == "http" else "/sse"
            return Backend(name=self.name, transport=transport, url=f"http://{host}:{port}{path}", **fields)
        if transport == "tcp":
            server = await loop.create_server(lambda: StreamChannel(self), "127.0.0.1", 0)
            self._closers.append(server.close)
            host, port = server.sockets[0].getsockname()[:2]
            return Backend(name=self.name, transport="tcp", address=f"{host}:{port}", **fields)
        path = str(folder / f"{self.name}.backend")
        server = await loop.create_unix_server(lambda: StreamChannel(self), path)
        self._closers.append(server.close)
        if transport == "unix":
            return Backend(name=self.name, transport="unix", address=path, **fields)
        command = (sys.executable, "-I", "-S", RELAY, path)
        return Backend(name=self.name, transport="stdio", command=command, **fields)

    def close(self) -> None:
        for close in self._closers:
            close()
        for channel in list(self.channels):
            channel.hang_up()

    async def wait_channels(self, count: int) -> list[Channel]:
        """Until the gateway has greeted the server `count` times."""
        method = "initialize" if self.era == "session" else "server/discover"
        seen = 0

        def enough(item: Received) -> bool:
            nonlocal seen
            seen += item.method == method
            return seen >= count

        await within(self.heard.wait(enough))
        return self.channels


class StreamChannel(Channel, asyncio.Protocol):
    """Newline-delimited JSON-RPC."""

    def __init__(self, server: ScriptedServer) -> None:
        super().__init__(server)
        self._rest = b""
        self.transport: asyncio.Transport | None = None
        self._requests: dict[str, Received] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.channels.append(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.receive(line, Received(self, line))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.transport = None

    def send(self, raw: bytes, about: Received | None = None, *, last: bool = False) -> None:
        if self.transport is not None:
            self.transport.write(raw + b"\n")

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()
