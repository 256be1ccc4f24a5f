"""Speaks MCP for a set of models: lines in, lines out, 2026-07-28 and nothing older, for the gateway is who asks.

Who calls it: `worker.py`, with the baton of `turns.py`. Below it: `calls.py`, which has what is called computed. It
keeps nothing between requests but the calls in flight. The lists never change, so a subscription is acknowledged for
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from tidegate import __version__
from tidegate.errors import (
    DepthExceeded,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ModelFailed,
    NoMemory,
    ParseError,
    TidegateError,
    TooLarge,
    UnsupportedProtocolVersion,
)
from tidegate.models.task import Answer, BadInput, Json, Tool
from tidegate.models.worker.calls import Calls
from tidegate.models.worker.failing import named
from tidegate.models.worker.model_set import ModelSet
from tidegate.models.worker.resource_links import LinksToRead, responses_of
from tidegate.protocol.meta_keys import (
    CLIENT_CAPABILITIES,
    PROGRESS_TOKEN,
    PROTOCOL_VERSION,
    SERVER_INFO,
    SUBSCRIPTION_ID,
)

REVISION: Final = "2026-07-28"

_LIST_TTL_MS: Final = 3_600_000
"""What a worker offers changes only with the worker."""
_MAX_DIGITS: Final = 1000
"""Of an integer."""
_MAX_SHOWN: Final = 128
"""Characters of what a client sent, in words back to it."""

Send = Callable[[bytes], None]
"""One message, without its newline."""


class Dialogue:
    """The one conversation of a worker."""

    def __init__(
        self, models: ModelSet, calls: Calls, send: Send, *, line_bytes: int, result_bytes: int, depth: int
    ) -> None:
        self._models = models
        self._calls = calls
        self._send = send
        self._line_bytes = line_bytes
        self._result_bytes = result_bytes
        self._depth = depth
        self._meta = _encoded({SERVER_INFO: {"name": models.name, "version": __version__}})
        self._listed: bytes | None = None

    def receive(self, line: bytes | None) -> None:
        """One message; None for one that was too long. Never raises."""
        try:
            self._receive(line)
        except MemoryError:
            # Nobody can tell any more whose it was; the gateway's deadline answers for it.
            self._refuse(None, NoMemory("no memory is left for this message"))
        except TidegateError as error:
            self._refuse(None, error)

    def _receive(self, line: bytes | None) -> None:
        if line is None:
            raise TooLarge(f"the message is longer than {self._line_bytes} bytes, or than memory has room for")
        message = self._parsed(line)
        if not isinstance(message, dict):
            raise InvalidRequest("a message must be a JSON object")
        request_id = message.get("id")
        readable = isinstance(request_id, str | int) and not isinstance(request_id, bool)
        method, params = message.get("method"), message.get("params", {})
        if not isinstance(method, str):
            if "result" in message or "error" in message:
                return  # nothing was ever asked of the client
            self._refuse(request_id if readable else None, InvalidRequest("`method` must be a string"))
        elif message.get("jsonrpc") != "2.0":
            self._refuse(request_id if readable else None, InvalidRequest('`jsonrpc` must be "2.0"'))
        elif "id" not in message:
            if method == "notifications/cancelled" and isinstance(params, dict):
                self._calls.cancel(params.get("requestId"))
        elif not readable:
            raise InvalidRequest("`id` must be a string or an integer")
        else:
            self._request(request_id, method, params, len(line))

    def _request(self, request_id: Any, method: str, params: object, size: int) -> None:
        try:
            if not isinstance(params, dict):
                raise InvalidParams("`params` must be an object")
            if method == "ping":
                self._result(request_id, b'"resultType":"complete"')
                return
            meta = _checked_meta(method, params)
            if method == "server/discover":
                self._result(request_id, self._discovered())
            elif method == "tools/list":
                if params.get("cursor") is not None:
                    raise InvalidParams("unknown `cursor`")
                self._result(request_id, self._tools())
            elif method == "tools/call":
                self._call(request_id, params, meta, size)
            elif method == "subscriptions/listen":
                self._acknowledge(request_id, params)
            else:
                raise MethodNotFound(f"Method not found: `{method[:_MAX_SHOWN]}`")
        except TidegateError as error:
            self._refuse(request_id, error)
        except BadInput as bad:
            self._result(request_id, _said_bad(bad))
        except MemoryError:
            self._refuse(request_id, NoMemory(f"no memory is left for a message of {size} bytes"))

    def _parsed(self, line: bytes) -> object:
        try:
            message = _decoded(line.decode("utf-8"))
        except RecursionError:
            raise DepthExceeded("the message is nested too deeply") from None
        except ValueError:  # UnicodeDecodeError, JSONDecodeError
            raise ParseError("the message is not JSON") from None
        if line.count(b"[") + line.count(b"{") > self._depth and _is_deeper(message, self._depth):
            raise DepthExceeded(f"the message is nested deeper than {self._depth}")
        return message

    # -- what is answered at once -------------------------------------------------------------------------------

    def _discovered(self) -> bytes:
        found: Json = {"supportedVersions": [REVISION], "capabilities": {"tools": {}}}
        if self._models.refused:
            found["instructions"] = "Not served: " + "; ".join(str(error) for error in self._models.refused)
        return _encoded(found)[1:-1] + _HINTS

    def _tools(self) -> bytes:
        """Raises: ModelRefused, when there is nothing but models that are refused."""
        if self._listed is None:
            tools = [_listed(tool) for tool in self._models.tools()]
            if not tools and self._models.refused:
                raise self._models.refused[0]
            self._listed = b'"tools":' + _encoded(tools) + _HINTS
        return self._listed

    def _acknowledge(self, request_id: int | str, params: Json) -> None:
        if not isinstance(params.get("notifications"), dict):
            raise InvalidParams("`notifications` must be an object")
        self._notify(
            "notifications/subscriptions/acknowledged", {"_meta": {SUBSCRIPTION_ID: request_id}, "notifications": {}}
        )

    # -- calls ----------------------------------------------------------------------------------------------------

    def _call(self, request_id: int | str, params: Json, meta: Json, size: int) -> None:
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str):
            raise InvalidParams("`name` must be a string")
        if not isinstance(arguments, dict):
            raise InvalidParams("`arguments` must be an object")
        token = meta.get(PROGRESS_TOKEN)
        if not isinstance(token, str | int) or isinstance(token, bool):
            token = None
        self._calls.begin(request_id, name, arguments, responses_of(params, arguments), token, size)

    def encoded(self, came: Answer | BadInput | LinksToRead | TidegateError, model: str) -> bytes:
        """What a call came to, as the member of its answer. On the computing thread."""
        try:
            if isinstance(came, TidegateError):
                return _encoded_error(named(model, came))
            if isinstance(came, LinksToRead):
                return self._member(_encoded({"resultType": "input_required", "inputRequests": came.requests})[1:-1])
            if isinstance(came, BadInput):
                return self._member(_said_bad(came))
            member = self._member(_said(came))
        except (ValueError, TypeError, RecursionError) as error:
            return _encoded_error(ModelFailed(f"model `{model}` failed: its answer is not JSON: {str(error)[:200]}"))
        except MemoryError:
            return _encoded_error(NoMemory(f"no memory is left for the answer of model `{model}`"))
        if len(member) + _MAX_SHOWN > self._result_bytes:
            return _encoded_error(
                ModelFailed(
                    f"model `{model}` failed: its answer has {len(member)} bytes, more than {self._result_bytes}"
                )
            )
        return member

    def answer(self, request_id: int | str, member: bytes) -> None:
        """What `encoded` made, to one that waited for it."""
        self._send(b'{"jsonrpc":"2.0","id":%b,%b}' % (_encoded(request_id), member))

    def refuse(self, request_id: int | str, error: TidegateError) -> None:
        self._refuse(request_id, error)

    def tell_progress(self, token: int | str, done: float, total: float | None, message: str) -> None:
        params: Json = {PROGRESS_TOKEN: token, "progress": done}
        if total is not None:
            params["total"] = total
        if message:
            params["message"] = message
        self._notify("notifications/progress", params)

    # -- bytes ----------------------------------------------------------------------------------------------------

    def _member(self, members: bytes) -> bytes:
        return b'"result":{%b,"_meta":%b}' % (members, self._meta)

    def _result(self, request_id: int | str, members: bytes) -> None:
        self.answer(request_id, self._member(members))

    def _refuse(self, request_id: Any, error: TidegateError) -> None:
        self._send(b'{"jsonrpc":"2.0","id":%b,%b}' % (_encoded(request_id), _encoded_error(error)))

    def _notify(self, method: str, params: Json) -> None:
        self._send(_encoded({"jsonrpc": "2.0", "method": method, "params": params}))


_HINTS: Final = b',"resultType":"complete","ttlMs":%d,"cacheScope":"public"' % _LIST_TTL_MS


def _checked_meta(method: str, params: Json) -> Json:
    """Raises: InvalidParams, UnsupportedProtocolVersion."""
    meta = params.get("_meta")
    version = meta.get(PROTOCOL_VERSION) if isinstance(meta, dict) else None
    if method == "initialize" and version is None:
        asked = params.get("protocolVersion")
        raise UnsupportedProtocolVersion(asked[:64] if isinstance(asked, str) else "", (REVISION,))
    if not isinstance(meta, dict) or not isinstance(version, str):
        raise InvalidParams(f"`_meta` must carry `{PROTOCOL_VERSION}`, a string")
    if version != REVISION:
        raise UnsupportedProtocolVersion(version[:64], (REVISION,))
    if not isinstance(meta.get(CLIENT_CAPABILITIES), dict):
        raise InvalidParams(f"`_meta` must carry `{CLIENT_CAPABILITIES}`, an object")
    return meta


def _listed(tool: Tool) -> Json:
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": {
            "readOnlyHint": tool.read_only,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    }


def _said(answer: Answer) -> bytes:
    content: list[Json] = [{"type": "text", "text": answer.text}, *answer.content]
    return b'"resultType":"complete","content":%b,"structuredContent":%b' % (
        _encoded(content),
        _encoded(answer.structured),
    )


def _said_bad(bad: BadInput) -> bytes:
    return b'"resultType":"complete","content":%b,"isError":true' % _encoded([{"type": "text", "text": str(bad)}])


def _encoded_error(error: TidegateError) -> bytes:
    """As the gateway writes its own; what a model failed of is named in `data`."""
    body: Json = {"code": error.code, "message": str(error)}
    data = error.data
    if data is None and isinstance(error, ModelFailed | NoMemory):
        data = {"reason": error.slug}
    if data is not None:
        body["data"] = data
    return b'"error":' + _encoded(body)


def _no_constant(name: str) -> object:
    raise ValueError(f"`{name}` is not JSON")


def _decoded(text: str) -> object:
    """Raises: ValueError, RecursionError."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer of thousands of digits, which Python does not read. It is JSON, and who sent it waits.
        return json.loads(text, parse_constant=_no_constant, parse_int=_integer)


def _integer(digits: str) -> int | float:
    """What has more digits than any model takes is as good as infinite."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""Made once: `json.loads` and `json.dumps` make one for each call that wants anything special."""


def _is_deeper(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(inner for inner in item.values() if isinstance(inner, dict | list))
            elif isinstance(item, list):
                below.extend(inner for inner in item if isinstance(inner, dict | list))
        if not below:
            return False
        level = below
    return True


def _encoded(value: object) -> bytes:
    """Raises: ValueError, TypeError."""
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate survives only as an escape
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
