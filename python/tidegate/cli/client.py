"""The command line's own MCP client: synchronous, stateless era, one request at a time.

Used by the verbs `tools`, `call`, `resources` and `prompts`; `reach.py` makes it, `wires.py` carries its messages.
A request that is interrupted is cancelled before the interruption goes on (2026-07-28, basic/patterns/cancellation).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol

from tidegate import __version__
from tidegate.cli.raw_json import Raw, elements, encode_object, members
from tidegate.cli.wires import LinkBroken, Outgoing, Wire
from tidegate.errors import TidegateError, UpstreamTimeout
from tidegate.protocol.meta_keys import (
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    HEADER_NAME,
    LOG_LEVEL,
    PROGRESS_TOKEN,
    PROTOCOL_VERSION,
    TOKEN,
)
from tidegate.protocol.methods import LIST_METHOD, LIST_RESULT_KEY
from tidegate.protocol.param_headers import encode_value
from tidegate.protocol.revisions import LATEST_MODERN

_MAX_PAGES: Final = 1000
_CLIENT_INFO: Final = {"name": "tidegate-cli", "version": __version__}


class Listener(Protocol):
    """Whoever wants to know what happens between a request and its answer."""

    def began(self) -> None:
        """A request is under way, for as long as it takes."""

    def told(self, method: str, params: dict[str, Any]) -> None:
        """A notification came."""

    def end(self) -> None:
        """The request is over, in whichever way."""


class RpcError(TidegateError):
    """The gateway, or the server behind it, answered with a JSON-RPC error."""

    slug = "rpc"

    def __init__(self, code: int, message: str, data: object) -> None:
        super().__init__(message, data=data)
        self.rpc_code = code


@dataclass(frozen=True)
class Reply:
    """The result of a request."""

    text: Raw
    """As it came."""
    value: dict[str, Any]


class Client:
    """One link to the gateway. Close it, or use it as a context."""

    def __init__(
        self,
        wire: Wire,
        *,
        token: str | None,
        timeout_s: float,
        capabilities: Mapping[str, object],
        log_level: str | None = None,
        listener: Listener,
    ) -> None:
        self._wire = wire
        self._token = token if not wire.carries_token else None
        self._timeout_s = timeout_s
        self._capabilities = capabilities
        self._log_level = log_level
        self._listener = listener
        self._last_id = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wire.close()

    def request(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        progress: bool = False,
    ) -> Reply:
        """Asks and waits. Values of `params` may be `Raw`; `name` is what HTTP calls `Mcp-Name`.

        Raises: RpcError, LinkBroken, NoDaemon, UpstreamTimeout.
        """
        self._last_id += 1
        meta: dict[str, object] = {
            PROTOCOL_VERSION: LATEST_MODERN,
            CLIENT_INFO: _CLIENT_INFO,
            CLIENT_CAPABILITIES: dict(self._capabilities),
        }
        if self._log_level is not None:
            meta[LOG_LEVEL] = self._log_level
        if progress:
            meta[PROGRESS_TOKEN] = self._last_id
        token, self._token = self._token, None
        if token is not None:
            meta[TOKEN] = token
        body = encode_object([*(params or {}).items(), ("_meta", meta)])
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": body}
        named = [(HEADER_NAME, encode_value(name))] if name is not None else []
        outgoing = Outgoing(self._last_id, method, encode_object(message.items()), LATEST_MODERN, [*named, *headers])
        self._listener.began()
        try:
            with closing(self._wire.exchange(outgoing, self._timeout_s)) as incoming:
                for text in incoming:
                    reply = self._read(text, outgoing.id)
                    if reply is not None:
                        return reply
        except KeyboardInterrupt:
            self._wire.cancel(outgoing, "interrupted from the keyboard")
            raise
        except UpstreamTimeout:
            self._wire.cancel(outgoing, "the client's time is over")
            raise
        finally:
            self._listener.end()
        raise LinkBroken("the gateway closed the connection")

    def list_all(self, kind: str) -> list[Reply]:
        """Every entry of a catalogue list (tools, resources, templates, prompts), all pages of it."""
        entries: list[Reply] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = self.request(LIST_METHOD[kind], {} if cursor is None else {"cursor": cursor})
            listed = page.value.get(LIST_RESULT_KEY[kind])
            if not isinstance(listed, list):
                raise LinkBroken(f"the answer to `{LIST_METHOD[kind]}` has no list in it")
            for text, value in zip(elements(members(page.text)[LIST_RESULT_KEY[kind]]), listed, strict=True):
                if isinstance(value, dict):
                    entries.append(Reply(text, value))
            following = page.value.get("nextCursor")
            if not isinstance(following, str) or following == cursor:
                break
            cursor = following
        return entries

    def _read(self, text: str, request_id: int) -> Reply | None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LinkBroken(f"what came is no JSON: {error}") from error
        if not isinstance(message, dict):
            raise LinkBroken("what came is no JSON-RPC message")
        method = message.get("method")
        if isinstance(method, str):
            params = message.get("params")
            if "id" not in message:
                self._listener.told(method, params if isinstance(params, dict) else {})
            return None
        refusal = message.get("error")
        if isinstance(refusal, dict) and message.get("id") in (request_id, None):
            code = refusal.get("code")
            raise RpcError(code if isinstance(code, int) else 0, str(refusal.get("message", "")), refusal.get("data"))
        result = message.get("result")
        if message.get("id") != request_id:
            return None
        if not isinstance(result, dict):
            raise LinkBroken("the answer has neither a result nor an error")
        return Reply(members(text)["result"], result)
