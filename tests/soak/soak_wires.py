"""Clients of the soak, as plain as can be: requests by id, over lines (TCP, unix, `tidegate connect`) and over HTTP.

One face for all: `request`, `notify`, `leave`. Questions of servers are answered at once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

MODERN = "2026-07-28"
SESSION = "2025-11-25"
KEY = "io.modelcontextprotocol/"
NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
SURE = {"action": "accept", "content": {"sure": True}}
PATIENCE_S = 60.0
Json = Any


class Gone(Exception):
    """The connection ended before the answer."""


class Wire:
    """One client of the gateway."""

    def __init__(self, era: str, *, askable: bool) -> None:
        self.era = era
        self.capabilities: Json = {"elicitation": {}} if askable else {}
        self.notices = 0
        self._ids = itertools.count(1)
        self._open: dict[int, asyncio.Future[Json]] = {}

    async def start(self) -> None:
        """Connects and greets."""
        await self.connect()
        if self.era == "session":
            facts = {"capabilities": self.capabilities, "clientInfo": {"name": "soak", "version": "1"}}
            await self.request("initialize", {"protocolVersion": SESSION, **facts})
            await self.notify("notifications/initialized")

    async def request(self, method: str, params: Json = None, *, meta: Json = None) -> Json:
        """The RESULT or ERROR message. Raises: Gone; TimeoutError, when nothing comes for a minute."""
        own_id, message = self.compose(method, params, meta)
        future = self._open[own_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.send_request(own_id, message)
                return await future
        finally:
            self._open.pop(own_id, None)

    async def request_and_cancel(self, method: str, params: Json, after_s: float) -> None:
        """Gives the request up after a while, as the protocol has it."""
        own_id, message = self.compose(method, params, None)
        future = self._open[own_id] = asyncio.get_running_loop().create_future()
        try:
            await self.send_request(own_id, message)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(future), after_s)
            await self.cancel(own_id)
        finally:
            self._open.pop(own_id, None)
            future.cancel()

    async def begin(self, method: str, params: Json) -> int:
        """A request whose answer nobody waits for."""
        own_id, message = self.compose(method, params, None)
        await self.send_request(own_id, message)
        return own_id

    def compose(self, method: str, params: Json, meta: Json) -> tuple[int, Json]:
        params = dict(params or {})
        if self.era == "modern":
            meta = {KEY + "protocolVersion": MODERN, KEY + "clientCapabilities": self.capabilities, **(meta or {})}
        if meta:
            params["_meta"] = meta
        own_id = next(self._ids)
        return own_id, {"jsonrpc": "2.0", "id": own_id, "method": method, "params": params}

    async def notify(self, method: str, params: Json = None) -> None:
        await self.send_other({"jsonrpc": "2.0", "method": method, "params": params or {}})

    async def cancel(self, own_id: int) -> None:
        await self.notify("notifications/cancelled", {"requestId": own_id})

    def take(self, message: Json) -> None:
        if "method" not in message:
            future = self._open.get(message.get("id"))
            if future is not None and not future.done():
                future.set_result(message)
        elif "id" not in message:
            self.notices += 1
        else:
            result = SURE if message["method"] == "elicitation/create" else {}
            self.reply({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def lost(self) -> None:
        for future in self._open.values():
            if not future.done():
                future.set_exception(Gone())

    async def connect(self) -> None: ...

    async def send_request(self, own_id: int, message: Json) -> None:
        await self.send_other(message)

    async def send_other(self, message: Json) -> None:
        raise NotImplementedError

    def reply(self, message: Json) -> None:
        """Answers a question, without waiting."""
        raise NotImplementedError

    async def leave(self, *, politely: bool) -> None:
        """Politely: a session over HTTP is ended by DELETE."""
        raise NotImplementedError


# -- lines ----------------------------------------------------------------------------------------------------------


class _Lines(asyncio.Protocol):
    """Splits what comes; also stdout of a process."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._rest = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._wire.take(json.loads(line))

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.lost()


class LineWire(Wire):
    """`where`: host:port, or a path."""

    def __init__(self, where: str, era: str, *, askable: bool) -> None:
        super().__init__(era, askable=askable)
        self._where = where
        self._lines = _Lines(self)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._where.startswith("/"):
            await loop.create_unix_connection(lambda: self._lines, self._where)
        else:
            host, _, port = self._where.rpartition(":")
            await loop.create_connection(lambda: self._lines, host, int(port))

    async def send_other(self, message: Json) -> None:
        self.reply(message)

    def reply(self, message: Json) -> None:
        if self._lines.transport.is_closing():
            raise Gone
        self._lines.transport.write(json.dumps(message).encode() + b"\n")

    async def leave(self, *, politely: bool) -> None:
        if self._lines.transport is not None:
            (self._lines.transport.close if politely else self._lines.transport.abort)()


class ConnectWire(Wire):
    """A host application's way: `tidegate connect` on its stdin and stdout."""

    def __init__(self, where: str, era: str, *, askable: bool) -> None:
        super().__init__(era, askable=askable)
        self._where = where
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        pipe, quiet = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        words = (sys.executable, "-m", "tidegate", "connect", "--unix", self._where)
        self._process = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, stderr=quiet, limit=1 << 24
        )
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.take(json.loads(line))
        self.lost()

    async def send_other(self, message: Json) -> None:
        self.reply(message)

    def reply(self, message: Json) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is not None:
            raise Gone
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def leave(self, *, politely: bool) -> None:
        process = self._process
        if process is None:
            return
        if politely and process.stdin is not None:
            process.stdin.close()
        elif process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.wait(), PATIENCE_S)
        if self._reader is not None:
            await self._reader


# -- HTTP -----------------------------------------------------------------------------------------------------------


class HttpWire(Wire):
    """Streamable HTTP of either era. Connections that are free are used again."""

    def __init__(self, url: str, era: str, *, askable: bool) -> None:
        super().__init__(era, askable=askable)
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._session = ""
        self._free: list[_Http] = []
        self._busy: dict[int, _Http] = {}
        self._all: set[_Http] = set()
        self._general: asyncio.Task[None] | None = None
        self._readers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await super().start()
        if self.era == "session":
            self._general = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        with suppress(Gone, OSError):
            http = await self._connection()
            await http.send("GET", self._path, self._headers({}), b"")
            await self._read(http, 0)

    async def send_request(self, own_id: int, message: Json) -> None:
        http = await self._connection()
        self._busy[own_id] = http
        await http.send("POST", self._path, self._headers(message), json.dumps(message).encode())
        reader = asyncio.ensure_future(self._answer(http, own_id))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    async def _answer(self, http: _Http, own_id: int) -> None:
        try:
            await self._read(http, own_id)
        except (Gone, OSError):
            self._drop(http)
            future = self._open.get(own_id)
            if future is not None and not future.done():
                future.set_exception(Gone())
        finally:
            self._busy.pop(own_id, None)

    async def _read(self, http: _Http, own_id: int) -> None:
        """One response, and the connection back among the free ones."""
        headers = await http.receive(self.take)
        self._session = headers.get("mcp-session-id", self._session)
        if http.reusable:
            self._free.append(http)
        else:
            self._drop(http)
        future = self._open.get(own_id)
        if future is not None and not future.done():
            future.set_exception(Gone())

    async def send_other(self, message: Json) -> None:
        http = await self._connection()
        await http.send("POST", self._path, self._headers(message), json.dumps(message).encode())
        await self._read(http, 0)

    def reply(self, message: Json) -> None:
        sender = asyncio.ensure_future(self._send_quietly(message))
        self._readers.add(sender)
        sender.add_done_callback(self._readers.discard)

    async def _send_quietly(self, message: Json) -> None:
        with suppress(Gone, OSError):
            await self.send_other(message)

    async def cancel(self, own_id: int) -> None:
        if self.era == "session":
            await super().cancel(own_id)
        elif own_id in self._busy:
            self._drop(self._busy[own_id])

    async def _connection(self) -> _Http:
        while self._free:
            http = self._free.pop()
            if http.reusable:
                return http
            self._drop(http)
        http = _Http()
        self._all.add(http)
        await http.connect(str(self._host), int(self._port or 80))
        return http

    def _drop(self, http: _Http) -> None:
        self._all.discard(http)
        http.close()

    def _headers(self, message: Json) -> dict[str, str]:
        headers = {"accept": "application/json, text/event-stream" if message else "text/event-stream"}
        if message:
            headers["content-type"] = "application/json"
        method = message.get("method", "")
        if self.era == "session":
            if self._session:
                headers |= {"mcp-session-id": self._session, "mcp-protocol-version": SESSION}
            return headers
        headers |= {"mcp-protocol-version": MODERN, "mcp-method": method}
        if method in NAMED_BY:
            headers["mcp-name"] = message["params"][NAMED_BY[method]]
        return headers

    async def leave(self, *, politely: bool) -> None:
        if politely and self._session:
            with suppress(Gone, OSError, TimeoutError):
                http = await self._connection()
                await http.send("DELETE", self._path, self._headers({}), b"")
                await asyncio.wait_for(http.receive(self.take), PATIENCE_S)
        for http in list(self._all):
            self._drop(http)
        waiting = [task for task in (self._general, *self._readers) if task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=PATIENCE_S)


class _Http:
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.reusable = True
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, host: str, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection(host, port, limit=1 << 24)
        self._host = f"{host}:{port}"

    async def send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            raise Gone
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def receive(self, take: Callable[[Json], None]) -> dict[str, str]:
        """Every message of the response, as it comes. Returns its headers. Raises: Gone."""
        assert self._reader is not None
        self.reusable = False
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            if headers.get("transfer-encoding") == "chunked":
                await self._events(take)
            else:
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
                if body.startswith(b"{"):
                    message = json.loads(body)
                    if "jsonrpc" in message:
                        take(message)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Gone from error
        self.reusable = headers.get("connection", "") != "close"
        return headers

    async def _events(self, take: Callable[[Json], None]) -> None:
        assert self._reader is not None
        rest = b""
        while size := int(await self._reader.readline() or b"0", 16):
            rest += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            *events, rest = rest.split(b"\n\n")
            for event in events:
                data = b"".join(line[6:] for line in event.split(b"\n") if line.startswith(b"data: "))
                if data:
                    take(json.loads(data))
        await self._reader.readline()

    def close(self) -> None:
        self.reusable = False
        if self._writer is not None:
            self._writer.close()
