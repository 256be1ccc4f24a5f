"""One catalogue from many servers: what a client sees, and which server each name leads to.

A `View` is immutable and made from the listings of the slots that serve a client; it is made anew when one
of them changes. Order: backends as configured, entries as each server lists them. With one backend nothing
is renamed; with more, names become `backend__name`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, Protocol

from tidegate.config.snapshot import Backend
from tidegate.errors import InvalidParams
from tidegate.pipeline.codec import find_member, patch_object
from tidegate.pipeline.json_text import json_bytes
from tidegate.pipeline.principal import Principal
from tidegate.protocol.param_headers import ParamHeader

PAGE_ENTRIES: Final = 1000
_MAX_NAME_CHARS: Final = 64
"""Longest tool name that clients and model interfaces take; longer ones are reported."""
_MAX_INSTRUCTIONS_CHARS: Final = 20_000
_LISTED: Final = ("tools", "prompts", "resources")
_KINDS: Final = ("tools", "prompts", "resources", "templates")


class ListedEntry(Protocol):
    """One thing as its server listed it."""

    @property
    def key(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def headers(self) -> tuple[ParamHeader, ...]: ...


@dataclass(frozen=True, slots=True)
class Source:
    """One backend's contribution. `handle` is whatever leads the caller back to the server."""

    config: Backend
    handle: object
    entries: dict[str, Sequence[ListedEntry]]
    hints: dict[str, tuple[int | None, str | None]]
    """Kind → (ttl in ms, cache scope) as the server gave them."""
    capabilities: dict[str, object]
    server_info: bytes | None
    instructions: str | None
    tool_tasks: Literal["", "session", "extension"] = ""
    """Whether tools may run as tasks, and as which: each tool says so itself, or the server decides for each call."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a name leads."""

    handle: object
    backend: str
    name: str
    """The server's own name."""
    exposed: str
    raw: bytes
    """The entry as clients see it."""
    headers: tuple[ParamHeader, ...]
    renamed: bool
    needs_task: bool = False
    """A tool that its server runs as a task only, and not otherwise."""


Fit = Callable[[str, bytes, str], bytes]
"""(kind, entry, audience) → the entry as this audience may see it."""


class View:
    """The catalogue that one client, or every client without special abilities, sees."""

    def __init__(self, sources: Sequence[Source], configured: int, gateway_info: bytes) -> None:
        self.sources = tuple(sources)
        self.transparent = configured == 1
        """One backend only: nothing is renamed and what is not understood is passed on."""
        self.collisions: list[str] = []
        self._gateway_info = gateway_info
        self._routes: dict[str, dict[str, Route]] = {kind: {} for kind in _KINDS}
        self._patterns: list[tuple[UriPattern, Route]] = []
        self._fitted: dict[tuple[str, str], dict[str, bytes]] = {}
        self._complete: dict[tuple[str, str], bytes] = {}
        for source in sources:
            self._add(source)
        for route in self._routes["templates"].values():
            self._patterns.append((UriPattern(route.name), route))

    def _add(self, source: Source) -> None:
        config = source.config
        prefix = config.prefix if config.prefix is not None else "" if self.transparent else f"{config.name}__"
        aliases = dict(config.aliases)
        descriptions = dict(config.descriptions)
        for kind in _KINDS:
            routes = self._routes[kind]
            for entry in source.entries.get(kind, ()):
                if not _chosen(entry.key, config):
                    continue
                named = kind in ("tools", "prompts")
                exposed = aliases.get(entry.key, prefix + entry.key) if named else entry.key
                if exposed in routes:
                    self.collisions.append(
                        f"{kind}: `{exposed}` of backend `{config.name}` is hidden by "
                        f"backend `{routes[exposed].backend}`"
                    )
                    continue
                if named and len(exposed) > _MAX_NAME_CHARS:
                    self.collisions.append(f"{kind}: `{exposed}` has more than {_MAX_NAME_CHARS} characters")
                changes: list[tuple[str, bytes | None]] = []
                if exposed != entry.key:
                    changes.append(("name", json_bytes(exposed)))
                if kind == "tools" and entry.key in descriptions:
                    changes.append(("description", json_bytes(descriptions[entry.key])))
                if kind == "tools" and source.tool_tasks == "extension":
                    # For clients of sessions, which are told of each tool; others do not see it.
                    changes.append(("execution", b'{"taskSupport":"optional"}'))
                needs_task = kind == "tools" and source.tool_tasks == "session" and _needs_task(entry.raw)
                raw = patch_object(entry.raw, changes) if changes else entry.raw
                routes[exposed] = Route(
                    source.handle, config.name, entry.key, exposed, raw, entry.headers, exposed != entry.key, needs_task
                )

    # -- leading somewhere ------------------------------------------------------------------------------------

    def route(self, kind: str, name: str) -> Route | None:
        """To the server that lists it; for a resource also to one that has a template which it fits."""
        route = self._routes[kind].get(name)
        if route is None and kind == "resources":
            route = next((found for pattern, found in self._patterns if pattern.matches(name)), None)
        return route

    def template_route(self, uri: str) -> Route | None:
        """For completion: a template by its own text, or the resource it names."""
        return self._routes["templates"].get(uri) or self.route("resources", uri)

    def sole(self) -> Source | None:
        """The only backend there is."""
        return self.sources[0] if self.transparent and self.sources else None

    # -- lists ------------------------------------------------------------------------------------------------

    def page(
        self, kind: str, principal: Principal, cursor: str | None, audience: str, fit: Fit, *, hints: bool
    ) -> tuple[bytes, bytes]:
        """The members of a list result: (raw array, the rest of the object's members, each led by a comma).

        `audience` names the kind of client, for which `fit` makes each entry fit, once.
        Raises: InvalidParams, for a cursor that is none of ours.
        """
        offset = read_cursor(cursor)
        whole = principal.patterns is None
        fitted = self._fitted.get((kind, audience))
        if fitted is None:
            fitted = {name: fit(kind, route.raw, audience) for name, route in self._routes[kind].items()}
            self._fitted[kind, audience] = fitted
        if whole and len(fitted) <= PAGE_ENTRIES and offset == 0:
            key = (kind, audience)
            known = self._complete.get(key)
            if known is None:
                known = self._complete[key] = b"[" + b",".join(fitted.values()) + b"]"
            return known, self._hints(kind, principal) if hints else b""
        entries = [entry for name, entry in fitted.items() if principal.may_use(kind, name)]
        rest = self._hints(kind, principal) if hints else b""
        if offset + PAGE_ENTRIES < len(entries):
            rest += b',"nextCursor":"' + write_cursor(offset + PAGE_ENTRIES).encode() + b'"'
        return b"[" + b",".join(entries[offset : offset + PAGE_ENTRIES]) + b"]", rest

    def _hints(self, kind: str, principal: Principal) -> bytes:
        """The shortest life and the narrowest scope among the servers'; none given counts as none allowed."""
        ttls: list[int] = []
        public = principal.patterns is None and bool(self.sources)
        for source in self.sources:
            if kind not in source.hints:
                continue
            ttl_ms, scope = source.hints[kind]
            ttls.append(ttl_ms or 0)
            public = public and scope == "public"
        ttl = min(ttls, default=0)
        return b',"ttlMs":%d,"cacheScope":"%b"' % (ttl, b"public" if public else b"private")

    # -- OpeningFacts -----------------------------------------------------------------------------------------

    def capabilities(self) -> dict[str, object]:
        if self.transparent:
            return _that_change(self.sources[0].capabilities) if self.sources else {}
        # Tools are what nearly every server has; one that is down now may bring the first of them.
        merged: dict[str, object] = {"tools": {}}
        for source in self.sources:
            for name, value in source.capabilities.items():
                if name == "tasks" and isinstance(value, dict):
                    # A list of several servers' tasks would have to be theirs together.
                    value = {part: able for part, able in value.items() if part != "list"}
                merged[name] = _merge(merged.get(name), value)
        return _that_change(merged)

    def server_info(self) -> bytes:
        if self.transparent and self.sources and self.sources[0].server_info is not None:
            return self.sources[0].server_info
        return self._gateway_info

    def instructions(self) -> str | None:
        if self.transparent:
            return self.sources[0].instructions if self.sources else None
        parts = [f"{source.config.name}: {source.instructions}" for source in self.sources if source.instructions]
        return "\n\n".join(parts)[:_MAX_INSTRUCTIONS_CHARS] or None


def _that_change(capabilities: dict[str, object]) -> dict[str, object]:
    """Whatever a server says of its lists, they change here: when it dies, comes back or is configured otherwise."""
    return {
        name: {**value, "listChanged": True} if name in _LISTED and isinstance(value, dict) else value
        for name, value in capabilities.items()
    }


def _merge(one: object, other: object) -> object:
    """Of two declarations the more able: objects by member, flags by or."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _merge(one.get(key), other.get(key)) for key in (*one, *(key for key in other if key not in one))}
    if one is None:
        return other
    if other is None:
        return one
    return one or other


def _needs_task(tool: bytes) -> bool:
    """2025-11-25, `ToolExecution.taskSupport`."""
    if b'"taskSupport"' not in tool:
        return False
    at = find_member(tool, "execution")
    if at is None or tool[at[0] : at[0] + 1] != b"{":
        return False
    at = find_member(tool, "taskSupport", *at)
    return at is not None and tool[at[0] : at[1]] == b'"required"'


def _chosen(key: str, config: Backend) -> bool:
    if config.include and not any(fnmatchcase(key, pattern) for pattern in config.include):
        return False
    return not any(fnmatchcase(key, pattern) for pattern in config.exclude)


class UriPattern:
    """What a URI template matches, in time linear in the URI: its literal parts in order, `{x}` within one
    path segment, `{+x}` and the other operators across them.
    """

    __slots__ = ("_literals", "_wide")

    def __init__(self, template: str) -> None:
        pieces = re.split(r"\{([^{}]*)\}", template)
        self._literals = pieces[::2]
        self._wide = [name[:1] in "+#/?&;." or name.endswith("*") for name in pieces[1::2]]

    def matches(self, uri: str) -> bool:
        first, *rest = self._literals
        if not rest:
            return uri == first
        last = rest.pop()
        if not uri.startswith(first) or not uri.endswith(last) or len(uri) < len(first) + len(last):
            return False
        end = len(uri) - len(last)
        position = len(first)
        for wide, literal in zip(self._wide, [*rest, None], strict=True):
            found = end if literal is None else uri.find(literal, position, end)
            if found < 0 or not (wide or "/" not in uri[position:found]):
                return False
            position = found + len(literal or "")
        return True


def write_cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(b"tg1:%d" % offset).decode()


def read_cursor(cursor: str | None) -> int:
    """Raises: InvalidParams."""
    if cursor is None:
        return 0
    try:
        kind, _, offset = base64.urlsafe_b64decode(cursor.encode()).partition(b":")
        if kind == b"tg1" and offset.isdigit() and len(offset) < 9:
            return int(offset)
    except (binascii.Error, ValueError):
        pass
    raise InvalidParams("`cursor` is none that this server gave out; list again without one")
