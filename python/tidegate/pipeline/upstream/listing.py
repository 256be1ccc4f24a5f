"""What one server offers, as it said it: raw entries, keyed, in its order.

Fetched over a connection by walking every page. An entry is kept as the server's own bytes; only its key
(and, for a tool, the arguments it wants mirrored into headers) is read out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tidegate.errors import TidegateError, UpstreamProtocol
from tidegate.pipeline.codec import ERROR, Envelope, array_spans, member_spans
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.repeating import repeatable_tools
from tidegate.protocol.methods import LIST_METHOD, LIST_RESULT_KEY
from tidegate.protocol.param_headers import ParamHeader, param_headers

KEY_MEMBER: Final = {"tools": "name", "prompts": "name", "resources": "uri", "templates": "uriTemplate"}
_CAPABILITY: Final = {"tools": "tools", "prompts": "prompts", "resources": "resources", "templates": "resources"}
_MAX_PAGES: Final = 1000
_MAX_NAME_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, prompt, resource or template."""

    key: str
    raw: bytes
    headers: tuple[ParamHeader, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """All entries of one kind, with the server's caching hints (None: it gave none)."""

    entries: tuple[Entry, ...] = ()
    ttl_ms: int | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    kinds: dict[str, Kind] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def kind(self, name: str) -> Kind:
        return self.kinds.get(name, _NONE)


_NONE: Final = Kind()


def read_entry(kind: str, raw: bytes) -> Entry:
    """Raises: UpstreamProtocol, when it has no usable key; InvalidParamHeaders, when its marks are malformed."""
    key: object = None
    schema: bytes | None = None
    for member, start, end in member_spans(raw):
        if member == KEY_MEMBER[kind]:
            key = json_value(raw[start:end])
        elif member == "inputSchema":
            schema = raw[start:end]
    if not isinstance(key, str) or not 0 < len(key) <= _MAX_NAME_CHARS:
        raise UpstreamProtocol(f"an entry of `{LIST_METHOD[kind]}` has no usable `{KEY_MEMBER[kind]}`")
    headers = param_headers(json_value(schema)) if schema is not None and b"x-mcp-header" in schema else ()
    return Entry(key, raw, headers)


async def fetch_kind(
    connection: Connection, kind: str, params: dict[str, object], timeout_s: float, max_entries: int
) -> tuple[Kind, list[str]]:
    """Every page of one list. Raises: UpstreamError, for the server's refusal or nonsense."""
    entries: list[Entry] = []
    warnings: list[str] = []
    seen: set[str] = set()
    ttl_ms: int | None = None
    scope: str | None = None
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = params if cursor is None else {**params, "cursor": cursor}
        message, envelope = await connection.ask(LIST_METHOD[kind], page, timeout_s)
        cursor = None
        for member, start, end in _result_members(connection, kind, message, envelope):
            if member == LIST_RESULT_KEY[kind]:
                for entry_start, entry_end in array_spans(message, start, end):
                    try:
                        entry = read_entry(kind, message[entry_start:entry_end])
                    except (TidegateError, ValueError) as error:
                        warnings.append(f"left out: {error}")
                        continue
                    if entry.key in seen:
                        warnings.append(f"left out: `{entry.key}` is listed twice")
                        continue
                    seen.add(entry.key)
                    entries.append(entry)
            elif member == "nextCursor":
                found = json_value(message[start:end])
                cursor = found if isinstance(found, str) else None
            elif member == "ttlMs":
                found = json_value(message[start:end])
                if isinstance(found, int):
                    ttl_ms = max(0, found) if ttl_ms is None else min(ttl_ms, max(0, found))
            elif member == "cacheScope":
                found = json_value(message[start:end])
                scope = "private" if scope == "private" or found != "public" else "public"
        if len(entries) > max_entries:
            warnings.append(f"`{LIST_METHOD[kind]}` was cut at {max_entries} entries")
            del entries[max_entries:]
            break
        if cursor is None:
            break
    if kind == "tools":
        connection.repeatable = repeatable_tools((entry.key, entry.raw) for entry in entries)
    return Kind(tuple(entries), ttl_ms, scope), warnings


def _result_members(
    connection: Connection, kind: str, message: bytes, envelope: Envelope
) -> list[tuple[str, int, int]]:
    if envelope.kind == ERROR or envelope.result_span is None:
        span = envelope.error_span
        said = message[span[0] : span[1]].decode("utf-8", "replace")[:300] if span else "nothing"
        raise UpstreamProtocol(f"backend `{connection.backend}` refused `{LIST_METHOD[kind]}`: {said}")
    return member_spans(message, *envelope.result_span)


def offers(connection: Connection, kind: str) -> bool:
    """Whether the server declared the capability that `kind` belongs to."""
    return _CAPABILITY[kind] in connection.capabilities


def tells(connection: Connection, kind: str) -> bool:
    """Whether the server said that it tells when this list changes. Templates change with the resources."""
    declared = connection.capabilities.get(kind)
    return isinstance(declared, dict) and bool(declared.get("listChanged"))
