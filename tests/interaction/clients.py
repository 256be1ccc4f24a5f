"""Raw clients of every kind: what they send is written by the test, byte by byte where it matters.

One face for all: `begin` a request and await its `Pending`, or `call` for both; what servers say meanwhile is in
`notices` and `questions`. Era and transport are independent, as far as the transport exists in that era.
"""

from __future__ import annotations

import asyncio
import json
from typing import cast

from heard import Heard, Json, within
from http_wire import HttpConnection, Response
from scripted_server import dump

from tidegate.pipeline.codec import MsgpackSplitter, json_to_msgpack

MODERN = "2026-07-28"
SESSION = "2025-11-25"
PREFIX = "io.modelcontextprotocol/"
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Reply:
    """An answer, as bytes and as values."""

    def __init__(self, raw: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.raw = raw
        self.status = status
        self.headers = headers or {}
        self.message: Json = json.loads(raw)

    @property
    def result(self) -> Json:
        assert "result" in self.message, self.raw
        return self.message["result"]

    @property
    def error(self) -> Json:
        assert "error" in self.message, self.raw
        return self.message["error"]

    @property
    def text(self) -> str:
        return str(self.result["content"][0]["text"])


class Pending:
    """A request that was sent."""

    def __init__(self, own_id: Json) -> None:
        self.id = own_id
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.notices: Heard[Json] = Heard()
        """What came on the request's own HTTP stream."""
        self.http: HttpConnection | None = None

    async def reply(self) -> Reply:
        return await within(self.answer)


class Client:
    """A client of one era; subclasses bring the transport."""

    def __init__(self, era: str, capabilities: Json = None, token: str = "", revision: str = "") -> None:
        self.era = era
        self.capabilities = capabilities if capabilities is not None else {}
        self.token = token
        self.revision = revision or (MODERN if era == "modern" else SESSION)
        self.notices: Heard[Json] = Heard()
        self.questions: Heard[Json] = Heard()
        """Requests that servers make of the client."""
        self.stray: Heard[Reply] = Heard()
        """Answers to nothing that was asked: also errors with id null."""
        self.pending: dict[Json, Pending] = {}
        self.initialized: Json = None
        self._next_id = 0

    async def start(self) -> None:
        """Connects, and greets in the era that greets."""
        await self.connect()
        if self.era == "session":
            params = {
                "protocolVersion": self.revision,
                "capabilities": self.capabilities,
                "clientInfo": {"name": "raw", "version": "1"},
            }
            self.initialized = (await self.call("initialize", params)).result
            await self.after_initialize()
            self.notify("notifications/initialized")
            await self.settle()

    async def connect(self) -> None: ...

    async def after_initialize(self) -> None: ...

    async def settle(self) -> None:
        """Until what was sent has been taken in."""
        await self.call("ping")

    def close(self) -> None:
        raise NotImplementedError

    # -- sending --------------------------------------------------------------------------------------------------

    def meta(self, more: Json = None) -> Json:
        meta = dict(more or {})
        if self.era == "modern":
            meta[PREFIX + "protocolVersion"] = self.revision
            meta[PREFIX + "clientCapabilities"] = self.capabilities
        return meta

    def compose(self, own_id: Json, method: str, params: Json | bytes = None, meta: Json = None) -> bytes:
        raw = params if isinstance(params, bytes) else dump(params if params is not None else {})
        added = self.meta(meta)
        if added:
            raw = raw[:-1] + (b"," if len(raw) > 2 else b"") + b'"_meta":' + dump(added) + b"}"
        return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (dump(own_id), dump(method), raw)

    def begin(self, method: str, params: Json | bytes = None, *, meta: Json = None, own_id: Json = None) -> Pending:
        if own_id is None:
            self._next_id += 1
            own_id = self._next_id
        pending = self.pending[own_id] = Pending(own_id)
        self.send_request(self.compose(own_id, method, params, meta), pending)
        return pending

    async def call(self, method: str, params: Json | bytes = None, *, meta: Json = None) -> Reply:
        return await self.begin(method, params, meta=meta).reply()

    def tool(self, name: str, arguments: Json = None, *, meta: Json = None) -> Pending:
        return self.begin("tools/call", {"name": name, "arguments": arguments or {}}, meta=meta)

    async def names(self, method: str = "tools/list", member: str = "tools", key: str = "name") -> list[str]:
        """Every page of a list."""
        found: list[str] = []
        params: Json = {}
        while True:
            result = (await self.call(method, params)).result
            found += [entry[key] for entry in result[member]]
            if "nextCursor" not in result:
                return found
            params = {"cursor": result["nextCursor"]}

    def cancel(self, pending: Pending) -> None:
        self.notify("notifications/cancelled", {"requestId": pending.id})

    def notify(self, method: str, params: Json = None) -> None:
        body: Json = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            body["params"] = params
        self.send_other(dump(body))

    def answer(self, question: Json, result: Json) -> None:
        self.send_other(dump({"jsonrpc": "2.0", "id": question["id"], "result": result}))

    def send_request(self, raw: bytes, pending: Pending) -> None:
        raise NotImplementedError

    def send_other(self, raw: bytes) -> None:
        raise NotImplementedError

    # -- receiving --------------------------------------------------------------------------------------------------

    def take(self, raw: bytes, pending: Pending | None = None, response: Response | None = None) -> None:
        message = json.loads(raw)
        if isinstance(message, dict) and "method" in message:
            if "id" in message:
                self.questions.add(message)
            else:
                self.notices.add(message)
                if pending is not None:
                    pending.notices.add(message)
            return
        reply = Reply(raw, response.status if response else 200, response.headers if response else None)
        found = pending or (self.pending.get(message["id"]) if isinstance(message, dict) else None)
        if found is None or found.answer.done():
            self.stray.add(reply)
        else:
            found.answer.set_result(reply)


class StreamClient(Client, asyncio.Protocol):
    """TCP or a unix socket, as lines or as MessagePack."""

    def __init__(self, where: str, era: str, *, packed: bool = False, **more: Json) -> None:
        super().__init__(era, **more)
        self._where = where
        self._packed = packed
        self._rest = b""
        self._splitter = MsgpackSplitter(1 << 26, 64)
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._where.startswith("/"):
            await within(loop.create_unix_connection(lambda: self, self._where))
        else:
            host, _, port = self._where.rpartition(":")
            await within(loop.create_connection(lambda: self, host, int(port)))

    def meta(self, more: Json = None) -> Json:
        meta = super().meta(more)
        if self.token:
            meta["dev.tidegate/token"] = self.token
        return meta

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        if self._packed:
            lines: list[bytes | None] = self._splitter.feed(data)
        else:
            *whole, self._rest = (self._rest + data).split(b"\n")
            lines = [*whole]
        for line in lines:
            assert line is not None
            self.take(line)

    def send_raw(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def send_request(self, raw: bytes, pending: Pending) -> None:
        self.send_other(raw)

    def send_other(self, raw: bytes) -> None:
        self.send_raw(json_to_msgpack(raw) if self._packed else raw + b"\n")

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class HttpClient(Client):
    """Streamable HTTP of either era; one connection a request."""

    def __init__(self, where: str, era: str, *, listens_at_once: bool = True, **more: Json) -> None:
        super().__init__(era, **more)
        self.where = where
        self.session = ""
        self.listens_at_once = listens_at_once
        """Within a session: its stream is opened with it."""
        self.connections: list[HttpConnection] = []
        self.general: HttpConnection | None = None

    def headers(self, raw: bytes = b"") -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if self.era == "modern":
            message = json.loads(raw) if raw else {}
            headers["mcp-protocol-version"] = self.revision
            if "method" in message:
                headers["mcp-method"] = message["method"]
                named = NAMED_BY.get(message["method"])
                if named is not None and named in message["params"]:
                    headers["mcp-name"] = message["params"][named]
        elif self.session:
            headers["mcp-session-id"] = self.session
            headers["mcp-protocol-version"] = self.revision
        return headers

    def open(self, method: str, headers: dict[str, str], body: bytes, pending: Pending | None) -> HttpConnection:
        """Sends one HTTP request on a connection of its own."""
        connection = HttpConnection(
            self.where, method, headers, body, lambda raw, response: self.take(raw, pending, response)
        )
        self.connections.append(connection)
        connection.begin()
        return connection

    async def after_initialize(self) -> None:
        reply = self.pending[1].answer.result()
        self.session = reply.headers["mcp-session-id"]
        if self.listens_at_once:
            await self.listen()

    async def listen(self) -> None:
        """Opens the stream of the session."""
        headers = {**self.headers(), "accept": "text/event-stream"}
        self.general = self.open("GET", headers, b"", None)
        await within(self.general.started.wait())

    def send_request(self, raw: bytes, pending: Pending) -> None:
        pending.http = self.open("POST", self.headers(raw), raw, pending)

    def send_other(self, raw: bytes) -> None:
        self.open("POST", self.headers(raw), raw, None)

    async def settle(self) -> None:
        await within(self.connections[-1].ended.wait())
        await super().settle()

    def cancel(self, pending: Pending) -> None:
        if self.era == "modern":
            assert pending.http is not None
            pending.http.close()
        else:
            super().cancel(pending)

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class SseClient(Client):
    """HTTP+SSE, 2024-11-05."""

    def __init__(self, where: str, era: str = "session", **more: Json) -> None:
        super().__init__(era, revision="2024-11-05", **more)
        self._root = where.removesuffix("/mcp")
        self._stream: HttpConnection | None = None
        self._posts: list[HttpConnection] = []

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    async def connect(self) -> None:
        headers = {"accept": "text/event-stream", **self._headers()}
        self._stream = HttpConnection(f"{self._root}/sse", "GET", headers, b"", lambda raw, _: self.take(raw))
        self._stream.begin()
        await within(self._stream.told.wait())

    def send_request(self, raw: bytes, pending: Pending) -> None:
        self.send_other(raw)

    def send_other(self, raw: bytes) -> None:
        assert self._stream is not None
        headers = {"content-type": "application/json", **self._headers()}
        post = HttpConnection(self._root + self._stream.endpoint, "POST", headers, raw, lambda raw, _: None)
        self._posts.append(post)
        post.begin()

    async def settle(self) -> None:
        await within(self._posts[-1].ended.wait())
        await super().settle()

    def close(self) -> None:
        for connection in (self._stream, *self._posts):
            if connection is not None:
                connection.close()
