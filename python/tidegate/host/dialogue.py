"""Speaks MCP for a `HostServer`: one JSON-RPC message in, at most one out, in both eras at once.

Who calls it: the gateway's `builtin` backend (on a worker thread, since the facts read sysfs) and `__main__`
on stdio. Below it: `server.py`. It never does I/O of its own and keeps one thing only, the revision a legacy
`initialize` settled on; a request that carries its revision in `_meta` (2026-07-28, basic, "Per-request protocol
fields") is served without looking at that. The lists never change, so a subscription is acknowledged for nothing
and stays silent until its client ends it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Final

from tidegate.errors import (
    INTERNAL_ERROR,
    RESOURCE_NOT_FOUND,
    DepthExceeded,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    TidegateError,
    TooLarge,
    UnknownResource,
    UnknownTool,
    UnsupportedProtocolVersion,
)
from tidegate.host.server import HostServer

LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions with an `initialize` handshake, oldest first."""
MODERN: Final = ("2026-07-28",)
"""Revisions in which every request stands for itself."""
BATCHING: Final = "2025-03-26"
"""The one revision whose servers must take JSON-RPC batches."""
TOLD_AS_RESULT: Final = "2025-11-25"
"""From here on wrong arguments are a tool result a model can read, before they are a protocol error."""

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""The gateway's own default bound on a message, so that whatever passes there gets an answer with its id."""
BATCH: Final = 64
"""Messages in one batch."""
LIST_TTL_MS: Final = 3_600_000
"""The lists are the same for the life of the process; an hour is for the one after an upgrade."""

Json = dict[str, Any]


class HostDialogue:
    """One client's conversation. Thread-safe; messages may be handled concurrently."""

    def __init__(self, server: HostServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._revision: str | None = None
        self._legacy: dict[str, Callable[[Json, str], Json]] = {
            "ping": lambda params, revision: {},
            **self._shared_methods(),
        }
        self._modern: dict[str, Callable[[Json, str], Json]] = {
            "server/discover": self._discover,
            **self._shared_methods(),
        }

    @property
    def revision(self) -> str | None:
        """What a legacy `initialize` settled on; None before one, and for modern clients always."""
        with self._lock:
            return self._revision

    def receive(self, line: bytes) -> bytes | None:
        """Answers one message (without its newline); None when nothing is to be sent. Never raises."""
        try:
            message = _parse(line)
        except TidegateError as error:
            return _encode(_refusal(None, error))
        if isinstance(message, list):
            return self._receive_batch(message)
        answer = self._answer(message)
        return None if answer is None else _encode(answer)

    def _receive_batch(self, messages: list[object]) -> bytes | None:
        if self.revision != BATCHING:
            return _encode(_refusal(None, InvalidRequest(f"Batches are part of revision {BATCHING} only")))
        if not 1 <= len(messages) <= BATCH:
            return _encode(_refusal(None, InvalidRequest(f"A batch holds 1 to {BATCH} messages")))
        answers = [answer for message in messages if (answer := self._answer(message)) is not None]
        return _encode(answers) if answers else None

    def _answer(self, message: object) -> Json | None:
        if not isinstance(message, dict):
            return _refusal(None, InvalidRequest("A message must be a JSON object"))
        request_id = message.get("id")
        readable = isinstance(request_id, str | int) and not isinstance(request_id, bool)
        if message.get("jsonrpc") != "2.0":
            return _refusal(request_id if readable else None, InvalidRequest('`jsonrpc` must be "2.0"'))
        method = message.get("method")
        if not isinstance(method, str):
            if "result" in message or "error" in message:
                return None  # nothing was ever asked of the client
            return _refusal(request_id if readable else None, InvalidRequest("`method` must be a string"))
        if "id" not in message:
            return None  # no notification changes anything here
        if not readable:
            return _refusal(None, InvalidRequest("`id` must be a string or an integer"))
        try:
            params = message.get("params", {})
            if not isinstance(params, dict):
                raise InvalidParams("`params` must be an object")
            return self._serve(request_id, method, params)
        except TidegateError as error:
            return _refusal(request_id, error, legacy=not _is_modern(message.get("params")))
        except Exception as error:  # a client must get an answer, and its connection must live
            return _internal(request_id, error)

    def _serve(self, request_id: object, method: str, params: Json) -> Json:
        if method == "initialize":
            return _result(request_id, self._initialize(params))
        if _is_modern(params):
            return self._serve_modern(request_id, method, params)
        revision = self.revision
        if revision is None and method != "ping":
            raise InvalidParams(f"Before `initialize`, `_meta` must carry `{META_VERSION}` and `{META_CAPABILITIES}`")
        serve = self._legacy.get(method)
        if serve is None:
            raise MethodNotFound(f"Method not found: `{method[:128]}`")
        return _result(request_id, serve(params, revision or LEGACY[0]))

    def _serve_modern(self, request_id: object, method: str, params: Json) -> Json:
        meta = params["_meta"]
        version = meta[META_VERSION]
        if not isinstance(version, str):
            raise InvalidParams(f"`{META_VERSION}` must be a string")
        if version not in MODERN:
            raise UnsupportedProtocolVersion(version[:64], (*MODERN, *reversed(LEGACY)))
        if not isinstance(meta.get(META_CAPABILITIES), dict):
            raise InvalidParams(f"`_meta` must carry `{META_CAPABILITIES}`, an object")
        if method == "subscriptions/listen":
            return _acknowledgement(request_id, params)
        serve = self._modern.get(method)
        if serve is None:
            raise MethodNotFound(f"Method not found: `{method[:128]}`")
        result = serve(params, version)
        hints: Json = {}
        if method == "resources/read":
            # whoever may read the box is decided in front of us, so no cache may hand it to somebody else
            hints = {"ttlMs": self._server.ttl_ms(params["uri"]), "cacheScope": "private"}
        elif method != "tools/call":
            hints = {"ttlMs": LIST_TTL_MS, "cacheScope": "public"}
        return _result(
            request_id,
            {"resultType": "complete", **result, **hints, "_meta": {META_SERVER: self._server.server_info}},
        )

    def _shared_methods(self) -> dict[str, Callable[[Json, str], Json]]:
        server = self._server
        return {
            "tools/list": lambda params, revision: _whole_list(params, {"tools": server.tools()}),
            "tools/call": self._call,
            "resources/list": lambda params, revision: _whole_list(params, {"resources": server.resources()}),
            "resources/templates/list": lambda params, revision: _whole_list(
                params, {"resourceTemplates": server.resource_templates()}
            ),
            "resources/read": lambda params, revision: server.read(_string(params, "uri")),
        }

    def _initialize(self, params: Json) -> Json:
        asked = _string(params, "protocolVersion")
        revision = asked if asked in LEGACY else LEGACY[-1]
        with self._lock:
            self._revision = revision
        return {
            "protocolVersion": revision,
            "capabilities": self._server.capabilities,
            "serverInfo": self._server.server_info,
            "instructions": self._server.instructions,
        }

    def _discover(self, params: Json, revision: str) -> Json:
        return {
            "supportedVersions": list(MODERN),
            "capabilities": self._server.capabilities,
            "instructions": self._server.instructions,
        }

    def _call(self, params: Json, revision: str) -> Json:
        name = _string(params, "name")
        arguments = params.get("arguments", {})
        if not isinstance(arguments, dict):
            raise InvalidParams("`arguments` must be an object")
        try:
            return self._server.call(name, arguments)
        except UnknownTool:
            raise
        except InvalidParams as error:
            if revision < TOLD_AS_RESULT:
                raise
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}


def _parse(line: bytes) -> object:
    if len(line) > MESSAGE_BYTES:
        raise TooLarge(f"The message is longer than {MESSAGE_BYTES} bytes")
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise DepthExceeded("The message is nested too deeply") from None
    except ValueError:  # UnicodeDecodeError, JSONDecodeError, an integer of thousands of digits
        raise ParseError("The message is not JSON") from None


def _no_constant(name: str) -> object:
    raise ValueError(f"`{name}` is not JSON")


def _is_modern(params: object) -> bool:
    """Whether a request says its own revision, which no legacy one does."""
    meta = params.get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and META_VERSION in meta


def _string(params: Json, key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str):
        raise InvalidParams(f"`{key}` must be a string")
    return value


def _whole_list(params: Json, result: Json) -> Json:
    """Lists have one page, so no cursor was ever given out."""
    if params.get("cursor") is not None:
        raise InvalidParams("Unknown `cursor`")
    return result


def _acknowledgement(request_id: object, params: Json) -> Json:
    """Accepts a subscription for the nothing that can happen: no capability here announces changes."""
    if not isinstance(params.get("notifications"), dict):
        raise InvalidParams("`notifications` must be an object")
    return {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": {META_SUBSCRIPTION: request_id}, "notifications": {}},
    }


def _result(request_id: object, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _refusal(request_id: object, error: TidegateError, *, legacy: bool = False) -> Json:
    code = RESOURCE_NOT_FOUND if legacy and isinstance(error, UnknownResource) else error.code
    body: Json = {"code": code, "message": str(error)}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def _internal(request_id: object, error: Exception) -> Json:
    name = type(error).__name__
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": INTERNAL_ERROR, "message": f"Internal error: {name}"}}


def _encode(message: Json | list[Json]) -> bytes:
    try:
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate in an echoed id or URI survives only as an escape
        return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
