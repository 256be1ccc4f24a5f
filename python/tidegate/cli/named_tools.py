"""The tools that a configuration names: in capabilities, for sampling, behind `/v1`; and whether there can be such.

For `tidegate check` and `tidegate doctor`. What can be said without asking a server is little, and only what is certain
is said: a tool has its backend's prefix, or is an alias, or a capability.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from tidegate.config.locate import KeyPath
from tidegate.config.snapshot import Backend, Snapshot

_CUTOFF: Final = 0.6
_MOST_SHOWN: Final = 6
_SEPARATORS: Final = "_-./"
"""Prefixes that are listed where none is near."""

For = Literal["capability", "sampling", "openai"]


@dataclass(frozen=True, slots=True)
class NamedTool:
    """A name, and where it stands."""

    name: str
    path: KeyPath
    used_for: For


def named_tools(snapshot: Snapshot) -> Iterator[NamedTool]:
    for one in snapshot.capabilities:
        for index, tool in enumerate(one.order):
            yield NamedTool(tool, ("capabilities", one.name, "order", index), "capability")
    if snapshot.sampling.tool:
        yield NamedTool(snapshot.sampling.tool, ("sampling", "tool"), "sampling")
    for pattern, tool in snapshot.openai:
        yield NamedTool(tool, ("openai", "models", pattern), "openai")


def prefix_of(backend: Backend, snapshot: Snapshot) -> str:
    """What stands before its tools' names; empty for none."""
    if backend.prefix is not None:
        return backend.prefix
    others = [one for one in snapshot.backends if one.enabled and one.name != backend.name]
    # One that is switched off would not be alone once it is on.
    return f"{backend.name}__" if others else ""


def owners(tool: str, snapshot: Snapshot) -> list[Backend]:
    """The backends that may have it."""
    return [one for one in snapshot.backends if _may_have(one, tool, snapshot)]


def cannot_be(one: NamedTool, snapshot: Snapshot) -> str:
    """Why there can be no such tool, with what may have been meant; empty where there may be."""
    if owners(one.name, snapshot):
        return ""
    near = nearest(one.name, _possible(one, snapshot))
    if near:
        return f"`{one.name}` can be no tool: none has such a prefix; did you mean `{near}`?"
    prefixes = [f"`{prefix}`" for backend in snapshot.backends if (prefix := prefix_of(backend, snapshot))]
    more = ", …" if len(prefixes) > _MOST_SHOWN else ""
    begin = f"; tools begin with {', '.join(prefixes[:_MOST_SHOWN])}{more}" if prefixes else ""
    return f"`{one.name}` can be no tool: none has such a prefix{begin}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Empty: none is near."""
    return next(iter(get_close_matches(name, [*names], n=1, cutoff=_CUTOFF)), "")


def _may_have(backend: Backend, tool: str, snapshot: Snapshot) -> bool:
    if backend.capabilities:
        return any(tool == one.name for one in backend.capabilities)
    return tool.startswith(prefix_of(backend, snapshot)) or any(tool == shown for _, shown in backend.aliases)


def _possible(named: NamedTool, snapshot: Snapshot) -> Iterator[str]:
    """Names there may be that are somewhat like it."""
    for backend in snapshot.backends:
        yield from (shown for _, shown in backend.aliases)
        # No capability among the tools of a capability.
        yield from (one.name for one in backend.capabilities if named.used_for != "capability")
        prefix = prefix_of(backend, snapshot)
        head, separator, rest = named.name.partition("__")
        if separator and prefix and (head == backend.name or nearest(f"{head}__", (prefix,))):
            yield prefix + rest
        # `chat_read` for `chat__read`.
        plain = prefix.rstrip("_")
        if plain and named.name.startswith(tuple(plain + one for one in _SEPARATORS)):
            yield prefix + named.name[len(plain) :].lstrip(_SEPARATORS)
