"""Makes a server of both eras one of a single era, as if it had been written for nothing else.

    python era_filter.py --only session|stateless --http PORT           the everything-server over HTTP; prints the port
    python era_filter.py --only session|stateless --stdio COMMAND…      any stdio server

`session` serves 2025-11-25 and older, `stateless` 2026-07-28. A message of the other era is answered here and never
reaches the server. What each era says to the other one: specification 2026-07-28, basic/versioning, and "Backward
Compatibility" of both transports. Over stdio nothing but the standard library is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import IO, Any, Literal, TypeAlias

Only: TypeAlias = Literal["session", "stateless"]
Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

STATELESS = ["2026-07-28"]
SESSION = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
STATELESS_METHODS = ("server/discover", "subscriptions/listen")
"""Methods that no session revision has."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
SERVER_ERROR = -32000
"""What session servers put on a refused HTTP request; the code is theirs to choose."""


@dataclass(frozen=True)
class Refusal:
    """Why a message goes no further. Over HTTP `status` is 400 unless said otherwise."""

    code: int
    message: str
    data: dict[str, Any] | None = None
    status: int = 400

    def answer(self, identity: Any) -> bytes:
        """The JSON-RPC error, with the id of the request or null."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode()


def refusal(only: Only, message: Any) -> Refusal | None:
    """What a server of one era has against a message; `message` is any JSON value."""
    if not isinstance(message, dict):
        # Batches were part of one session revision; the server behind refuses them as it likes.
        return None if only == "session" else Refusal(INVALID_REQUEST, "not a JSON-RPC message")
    method, params = message.get("method"), message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    if only == "session":
        if method in STATELESS_METHODS:
            return Refusal(METHOD_NOT_FOUND, "Method not found")
        if version is not None:
            return Refusal(INVALID_REQUEST, "Server not initialized")
        return None
    if method is None:
        return Refusal(INVALID_REQUEST, "this server sends no requests, so nothing can be a response to one")
    if method == "initialize":
        asked = params.get("protocolVersion") if isinstance(params, dict) else None
        return Refusal(UNSUPPORTED_VERSION, _NO_HANDSHAKE, {"supported": STATELESS, "requested": asked})
    if "id" not in message:
        return None if method == "notifications/cancelled" else Refusal(INVALID_REQUEST, f"`{method}` is unknown here")
    if version is None:
        return Refusal(INVALID_PARAMS, f"`_meta` lacks `{VERSION_KEY}`", {"supported": STATELESS})
    if version not in STATELESS:
        return Refusal(UNSUPPORTED_VERSION, _NO_HANDSHAKE, {"supported": STATELESS, "requested": version})
    return None


_NO_HANDSHAKE = f"Unsupported protocol version: this server keeps no sessions and speaks {', '.join(STATELESS)}"


# ---- HTTP


def head_refusal(only: Only, method: str, version: str | None) -> Refusal | None:
    """What is wrong with the HTTP method or the `MCP-Protocol-Version` header."""
    if only == "session":
        if version is None or version in SESSION:
            return None
        spoken = ", ".join(SESSION)
        return Refusal(SERVER_ERROR, f"Bad Request: Unsupported protocol version (supported versions: {spoken})")
    if method != "POST":
        return Refusal(SERVER_ERROR, "Method Not Allowed", status=405)
    if version is None:
        return Refusal(HEADER_MISMATCH, f"no MCP-Protocol-Version header; {_NO_HANDSHAKE}", {"supported": STATELESS})
    if version not in STATELESS:
        return Refusal(UNSUPPORTED_VERSION, _NO_HANDSHAKE, {"supported": STATELESS, "requested": version})
    return None


class EraFilter:
    """ASGI: in front of a server of both eras."""

    def __init__(self, only: Only, server: App) -> None:
        self._only = only
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; its body is read whole before the server sees any of it."""
        if scope["type"] != "http":
            await self._server(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(receive) if scope["method"] == "POST" else b""
        try:
            message = json.loads(body) if body else None
        except ValueError:
            message = None
        found = head_refusal(self._only, scope["method"], headers.get(b"mcp-protocol-version"))
        if found is None and scope["method"] == "POST" and message is not None:
            found = refusal(self._only, message)
        if found is not None:
            await _refuse(found, message, send)
            return
        if self._only == "stateless":
            dropped = (b"mcp-session-id", b"last-event-id")
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in dropped]
        await self._server(scope, _replayed(body, receive) if scope["method"] == "POST" else receive, send)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        if event["type"] != "http.request" or not event.get("more_body"):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one event, then whatever else the connection tells (its end)."""
    pending = [body]

    async def next_event() -> Event:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return next_event


async def _refuse(found: Refusal, message: Any, send: Send) -> None:
    identity = message.get("id") if isinstance(message, dict) and "method" in message else None
    headers = [(b"content-type", b"application/json")]
    if found.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": found.answer(identity)})


def _serve_http(only: Only, port: int) -> None:
    from everything_server import application, listen

    listen(EraFilter(only, application()), port)


# ---- stdio


class StdioFilter:
    """Between our stdin and stdout and those of a child, line by line."""

    def __init__(self, only: Only, command: list[str]) -> None:
        self._only = only
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._writing = threading.Lock()

    def run(self) -> int:
        """Until both sides are at their end; the exit code of the child."""
        signal.signal(signal.SIGTERM, lambda number, frame: self._child.terminate())
        assert self._child.stdin is not None
        # A daemon thread: a child that dies must not wait for our stdin to end.
        threading.Thread(target=self._requests, args=[self._child.stdin], name="requests", daemon=True).start()
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._say(line)
        return self._child.wait()

    def _requests(self, to_child: IO[bytes]) -> None:
        try:
            for line in sys.stdin.buffer:
                if self._passes(line):
                    to_child.write(line)
                    to_child.flush()
            to_child.close()
        except BrokenPipeError:
            pass

    def _passes(self, line: bytes) -> bool:
        try:
            message = json.loads(line)
        except ValueError:
            return True
        found = refusal(self._only, message)
        if found is None:
            return True
        if isinstance(message, dict) and "method" in message and "id" in message:
            self._say(found.answer(message["id"]) + b"\n")
        return False

    def _say(self, line: bytes) -> None:
        with self._writing:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="A single-era server, for tests.")
    parser.add_argument("--only", choices=["session", "stateless"], required=True)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--http", metavar="PORT", type=int, help="the everything-server; 0: a free port")
    how.add_argument("--stdio", metavar="COMMAND", nargs=argparse.REMAINDER, help="a stdio server")
    options = parser.parse_args()
    if options.stdio is None:
        _serve_http(options.only, options.http)
        return 0
    code = StdioFilter(options.only, options.stdio).run()
    # A thread may be reading stdin for ever; an ordinary exit would wait for its lock.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
