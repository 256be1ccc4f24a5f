"""A request's body as values. It is written anew for the tool, so nothing of it is passed on as bytes."""

from __future__ import annotations

from typing import Any, Final

from tidegate.errors import ParseError
from tidegate.pipeline.codec import scan
from tidegate.pipeline.json_text import json_value

_BEFORE: Final = b'{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{"arguments":'
_LEVELS: Final = 2
"""Of nesting that `_BEFORE` adds."""


def read_object(body: bytes, depth: int) -> dict[str, Any]:
    """`body` must be one JSON object, as strict as any message that reaches the gateway.

    Raises: ParseError, InvalidUtf8, DepthExceeded, InvalidRequest.
    """
    body = body.strip(b" \t\r\n")
    if not body.startswith(b"{"):
        raise ParseError("the body must be one JSON object")
    span = scan(_BEFORE + body + b"}}", depth + _LEVELS).arguments_span
    if span is None or span[1] - span[0] != len(body):
        raise ParseError("the body must be one JSON object")
    found: dict[str, Any] = json_value(body)
    return found
