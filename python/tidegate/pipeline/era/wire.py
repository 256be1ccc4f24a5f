"""Errors as bytes for a client: the one place where the error tree meets the wire."""

from __future__ import annotations

import logging
from typing import Final

from tidegate.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    RESOURCE_NOT_FOUND,
    Overloaded,
    RateLimited,
    Source,
    TidegateError,
    UnknownResource,
)
from tidegate.pipeline.json_text import json_bytes

_log = logging.getLogger("tidegate.wire")


def error_message(request_id: bytes | None, error: TidegateError, *, stateless: bool) -> tuple[bytes, int]:
    """A JSON-RPC error response and its code. `request_id` is a raw JSON token, None for null."""
    code = error.code
    if isinstance(error, UnknownResource) and not stateless:
        code = RESOURCE_NOT_FOUND
    body: dict[str, object] = {"code": code, "message": str(error)}
    data = error.data
    if code == INTERNAL_ERROR and (data is None or isinstance(data, dict)):
        # What tells apart the many errors that have the code of no error in particular. All other codes are names
        # themselves, and what belongs to those is for the specification to say.
        data = {"reason": error.slug, **(data or {})}
    if data is not None:
        body["data"] = data
    if error.source is Source.INTERNAL:
        _log.info("internal_error slug=%s error=%s", error.slug, error)
    encoded = json_bytes(body)
    return b'{"jsonrpc":"2.0","id":' + (request_id or b"null") + b',"error":' + encoded + b"}", code


def http_status(code: int | None) -> int:
    """The HTTP status of a stateless response (2026-07-28, transports/streamable-http)."""
    if code is None:
        return 200
    return _STATUS.get(code, 200)


def retry_after(code: int | None) -> tuple[tuple[str, str], ...]:
    """The header of a refusal that a client may try again in a moment; none for other answers."""
    return _RETRY_AFTER if code in _MOMENTARY else ()


_MOMENTARY: Final = (Overloaded.code, RateLimited.code)
_RETRY_AFTER: Final = (("retry-after", "1"),)
"""Seconds. A place among the requests in flight is free when any of them is answered."""
_STATUS = {
    -32700: 400,
    -32600: 400,
    -32601: 404,
    INVALID_PARAMS: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
    Overloaded.code: Overloaded.status,
    RateLimited.code: RateLimited.status,
}
