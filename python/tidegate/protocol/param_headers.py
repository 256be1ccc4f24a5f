"""Arguments mirrored into HTTP headers, and how header values are written.

Source: 2026-07-28, transports/streamable-http, "Custom Headers from Tool Parameters" and "Value Encoding".
Used on both sides: emitted towards servers, checked from clients.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_SAFE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?\Z")
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=\Z", re.DOTALL)
_MARK: Final = "x-mcp-header"
_MAX_DEPTH: Final = 32
_MAX_SAFE_INTEGER: Final = 2**53 - 1


class InvalidParamHeaders(ValueError):
    """A tool's schema carries marks that the specification forbids; the tool must not be listed."""


@dataclass(frozen=True, slots=True)
class ParamHeader:
    """`Mcp-Param-{name}` mirrors the argument at `path` (a chain of property names)."""

    name: str
    path: tuple[str, ...]
    type: str


def encode_value(text: str) -> str:
    """A header value that carries `text`: itself when safe, Base64 in its sentinel otherwise."""
    if text == "" or (_SAFE.match(text) and not _SENTINEL.match(text)):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def decode_value(value: str) -> str:
    """Raises: ValueError, for a sentinel around what is no Base64 of UTF-8, or an unsafe character."""
    match = _SENTINEL.match(value)
    if match is None:
        if value and not _SAFE.match(value):
            raise ValueError("has characters that a header value must not have")
        return value
    try:
        return base64.b64decode(match.group(1), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("is no Base64 of UTF-8 text") from error


def param_headers(schema: object) -> tuple[ParamHeader, ...]:
    """The marks of a tool's input schema. Raises: InvalidParamHeaders."""
    found: list[ParamHeader] = []
    _walk(schema, (), True, found, 0)
    names = [header.name.lower() for header in found]
    if len(set(names)) != len(names):
        raise InvalidParamHeaders(f"two properties share one `{_MARK}`")
    return tuple(found)


def _walk(schema: object, path: tuple[str, ...], reachable: bool, found: list[ParamHeader], depth: int) -> None:
    if depth > _MAX_DEPTH * 4:
        raise InvalidParamHeaders("the schema is nested too deeply")
    if isinstance(schema, list):
        for item in schema:
            _walk(item, path, False, found, depth + 1)
        return
    if not isinstance(schema, dict):
        return
    if _MARK in schema:
        found.append(_mark(schema, path, reachable))
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            for name, child in value.items():
                _walk(child, (*path, name), reachable, found, depth + 1)
        elif key not in ("default", "const", "enum", "examples"):
            _walk(value, path, False, found, depth + 1)


def _mark(schema: dict[str, object], path: tuple[str, ...], reachable: bool) -> ParamHeader:
    name = schema[_MARK]
    where = ".".join(path) or "the root"
    if not isinstance(name, str) or not _TOKEN.match(name):
        raise InvalidParamHeaders(f"`{_MARK}` at {where} is no header name")
    if not reachable or not path:
        raise InvalidParamHeaders(f"`{_MARK}` at {where} is not on a plain property")
    kind = schema.get("type")
    if kind not in ("string", "integer", "boolean"):
        raise InvalidParamHeaders(f"`{_MARK}` at {where} is on type `{kind}`; string, integer or boolean may have one")
    return ParamHeader(name, path, str(kind))


def argument_text(header: ParamHeader, arguments: object) -> str | None:
    """The argument a header mirrors, as text; None when it is absent, null or no primitive."""
    value = arguments
    for step in header.path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int) and abs(value) <= _MAX_SAFE_INTEGER:
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_SAFE_INTEGER:
        return str(int(value))
    return None


def same_value(header: ParamHeader, received: str, expected: str) -> bool:
    """Whether a received (decoded) header says what the body says; integers compare as numbers."""
    if received == expected:
        return True
    if header.type == "integer":
        try:
            return float(received) == float(expected)
        except ValueError:
            return False
    return False
