"""What a client sent to be looked at or listened to, as bytes. Used by the tasks' `prepare`; imports no library.

A binary argument (`image`, `audio`, `file`) comes in any of five spellings, see `binary_schema`. Every `BadInput` says
what to send, for the caller is often a model that will try again.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from tidegate.models.task import BadInput, Json

_WHAT_TO_SEND: Final = (
    "send it as base64 text, as a `data:` URI, or as a content block of MCP such as "
    '{"type": "resource", "resource": {"uri": "…", "blob": "<base64>"}}'
)


class NeedsResource(Exception):
    """An argument links to a resource that is not here yet. Not an error: the worker asks for it and prepares again."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri


def binary_schema(what: str, *block_types: str) -> Json:
    """JSON Schema of a binary argument; `what` is a sentence about it, `block_types` the content blocks with `data`."""
    blocks: list[Json] = [
        {
            "type": "object",
            "description": "A content block of MCP that holds it.",
            "properties": {
                "type": {"enum": [*block_types, "resource"]},
                "data": {"type": "string", "contentEncoding": "base64"},
                "mimeType": {"type": "string"},
                "resource": {
                    "type": "object",
                    "properties": {"blob": {"type": "string"}, "text": {"type": "string"}, "uri": {"type": "string"}},
                },
            },
            "required": ["type"],
        },
        {
            "type": "object",
            "description": "A link to a resource of this gateway's servers, which the gateway reads.",
            "properties": {"type": {"const": "resource_link"}, "uri": {"type": "string"}},
            "required": ["type", "uri"],
        },
    ]
    spelled = {"type": "string", "contentEncoding": "base64", "description": "base64 text, or a `data:` URI."}
    return {"description": what, "anyOf": [spelled, *blocks]}


def with_resources(arguments: Json, resources: Mapping[str, Json]) -> Json:
    """The arguments with each link replaced by what was read for it; `resources`: results of `resources/read` by URI.

    Raises: BadInput, when a resource has no contents.
    """
    if not resources:
        return arguments
    filled = dict(arguments)
    for name, value in arguments.items():
        uri = _link(value)
        if uri is None or uri not in resources:
            continue
        contents = resources[uri].get("contents")
        if not isinstance(contents, list) or not contents or not isinstance(contents[0], dict):
            raise BadInput(f"`{name}`: the resource `{uri[:200]}` has no contents")
        filled[name] = {"type": "resource", "resource": contents[0]}
    return filled


def binary(arguments: Json, name: str, max_bytes: int) -> bytes:
    """The bytes of the argument `name`. Raises: BadInput; NeedsResource, for a link that nobody has followed yet."""
    value = arguments.get(name)
    uri = _link(value)
    if uri is not None:
        raise NeedsResource(uri)
    if isinstance(value, str):
        return _spelled(value, name, max_bytes)
    if isinstance(value, dict):
        return _block(value, name, max_bytes)
    missing = "is missing" if value is None else f"is {_kind(value)}"
    raise BadInput(f"`{name}` {missing}: {_WHAT_TO_SEND}")


def only(arguments: Json, known: frozenset[str]) -> None:
    """Raises: BadInput, for an argument that there is none of: a misspelt one would be passed over in silence."""
    for name in arguments:
        if name not in known:
            names = ", ".join(f"`{one}`" for one in sorted(known))
            raise BadInput(f"there is no argument `{name[:100]}`; there is {names}")


def _link(value: object) -> str | None:
    if isinstance(value, dict) and value.get("type") == "resource_link":
        uri = value.get("uri")
        if isinstance(uri, str) and uri:
            return uri
        raise BadInput('a resource link needs a `uri`: {"type": "resource_link", "uri": "…"}')
    return None


def _block(value: Mapping[str, Any], name: str, max_bytes: int) -> bytes:
    data = value.get("data")
    if isinstance(data, str):
        return _base64(data, name, max_bytes)
    resource = value.get("resource")
    if isinstance(resource, dict):
        blob, words = resource.get("blob"), resource.get("text")
        if isinstance(blob, str):
            return _base64(blob, name, max_bytes)
        if isinstance(words, str):
            return _bounded(_utf8(words, name), name, max_bytes)
    raise BadInput(f"`{name}` is an object with neither `data` nor `resource.blob` as text: {_WHAT_TO_SEND}")


def _spelled(value: str, name: str, max_bytes: int) -> bytes:
    if value[:5].lower() != "data:":
        return _base64(value, name, max_bytes)
    head, comma, body = value.partition(",")
    if not comma or len(head) > 1000:
        raise BadInput(f"`{name}` is a `data:` URI without a comma: send `data:<type>;base64,<base64>`")
    if head.lower().endswith(";base64"):
        return _base64(body if "%" not in body else unquote_to_bytes(body).decode("latin-1"), name, max_bytes)
    if len(body) > 3 * max_bytes:
        raise _too_large(name, max_bytes)
    return _bounded(unquote_to_bytes(_utf8(body, name)), name, max_bytes)


def _base64(value: str, name: str, max_bytes: int) -> bytes:
    """Decoded when it is not too long to be allowed: line breaks are forgiven, and the URL-safe letters."""
    if len(value) > max_bytes * 3 // 2 + 1024:  # 4 letters for 3 bytes, and a line break for each 76
        raise _too_large(name, max_bytes)
    with contextlib.suppress(binascii.Error, ValueError):  # as most write it: no copy is made of what may be megabytes
        return _bounded(binascii.a2b_base64(value, strict_mode=True), name, max_bytes)
    letters = "".join(value.split()).translate({45: "+", 95: "/"}).rstrip("=")
    if not letters:
        raise BadInput(f"`{name}` is empty: {_WHAT_TO_SEND}")
    try:
        decoded = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(
            f"`{name}` is no base64: {_WHAT_TO_SEND}. A path or an address cannot be opened from here"
        ) from None
    return _bounded(decoded, name, max_bytes)


def _bounded(decoded: bytes, name: str, max_bytes: int) -> bytes:
    if not decoded:
        raise BadInput(f"`{name}` is empty: {_WHAT_TO_SEND}")
    if len(decoded) > max_bytes:
        raise _too_large(name, max_bytes)
    return decoded


def _too_large(name: str, max_bytes: int) -> BadInput:
    return BadInput(f"`{name}` is too large: it may have {max_bytes} bytes; send a smaller one, or a part of it")


def _utf8(value: str, name: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise BadInput(f"`{name}` has half of a surrogate pair in it: send whole characters") from None


def _kind(value: object) -> str:
    kinds = ((bool, "a truth value"), (int, "a number"), (float, "a number"), (list, "a list"), (dict, "an object"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "not text")
