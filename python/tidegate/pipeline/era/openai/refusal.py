"""Errors in OpenAI's shape, `{"error": {"message", "type", "code", "param"}}`, with the status that clients go by."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tidegate.errors import (
    INVALID_PARAMS,
    InvalidParams,
    Overloaded,
    RateLimited,
    Retry,
    TidegateError,
    Unauthorized,
    UpstreamBusy,
    UpstreamError,
)
from tidegate.pipeline.era.inner import ServerSaid
from tidegate.pipeline.era.openai.parameters import BadParameter
from tidegate.pipeline.era.streams import JSON
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.peer import HttpPost

_RETRY_AFTER: Final = ("retry-after", "1")
"""Seconds, as of `era/wire.py`."""
_CODES: Final = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "unknown_model": "model_not_found",
}
"""Where programs know a word for it; else it is our own."""
_SAID: Final = {INVALID_PARAMS: InvalidParams, RateLimited.code: RateLimited, Overloaded.code: UpstreamBusy}
"""A server's error by its code, as the class of ours that says the same."""


def refuse(request: HttpPost, error: TidegateError) -> None:
    kind = kind_of(error)
    headers = [JSON]
    if kind.retry is Retry.SAME_REPLICA:
        headers.append(_RETRY_AFTER)
    if kind is Unauthorized:
        headers.append(("www-authenticate", 'Bearer realm="tidegate"'))
    request.respond(kind.status, headers, json_bytes(shape_of(error)))


def shape_of(error: TidegateError) -> dict[str, Any]:
    kind = kind_of(error)
    blame = "requests" if kind.status == 429 else "server_error" if kind.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": str(error),
            "type": blame,
            "code": _CODES.get(kind.slug, kind.slug),
            "param": error.param if isinstance(error, BadParameter) else None,
        }
    }


def kind_of(error: TidegateError) -> type[TidegateError]:
    """What the error counts as: its own class, or that of what a server said in our words."""
    if not isinstance(error, ServerSaid):
        return type(error)
    slug = error.data.get("reason") if isinstance(error.data, dict) else None
    known = _failures().get(slug) if isinstance(slug, str) else None
    if known is not None:
        return known
    return _SAID.get(error.said_code, UpstreamError)


@cache
def _failures() -> dict[str, type[TidegateError]]:
    """What may go wrong behind the gateway, by slug."""
    found: dict[str, type[TidegateError]] = {}
    kinds: list[type[TidegateError]] = [UpstreamError, Overloaded]
    while kinds:
        kind = kinds.pop()
        found.setdefault(kind.slug, kind)
        kinds.extend(kind.__subclasses__())
    return found
