"""What a new configuration changes, decided before anything is touched.

`plan` is a pure function of two snapshots. The gateway and the daemon apply what it says; whoever asked for the
reload is told the same. Nothing is waited for here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Final

from tidegate.config.snapshot import Backend, Limits, Snapshot

SETTINGS: Final = frozenset(
    (
        "prefix",
        "aliases",
        "include",
        "exclude",
        "descriptions",
        "start",
        "idle_stop_s",
        "call_timeout_s",
        "start_timeout_s",
        "probe_timeout_s",
        "max_in_flight",
        "max_queued",
        "queue_timeout_s",
        "max_connections",
        "balance",
    )
)
"""Fields of a backend that the gateway heeds by itself: under new ones, its connections and children stay."""

FOR_NEW_CONNECTIONS: Final = frozenset(
    (
        "body_bytes",
        "line_bytes",
        "header_bytes",
        "head_timeout_s",
        "body_timeout_s",
        "idle_timeout_s",
        "write_buffer_bytes",
        "result_bytes",
        "replay_events",
        "replay_bytes",
    )
)
"""Limits that a connection, or a stream on it, keeps as they were when it began. All others change at once."""


class Fate(Enum):
    """What becomes of a backend that the new configuration has."""

    UNCHANGED = "unchanged"
    ADJUSTED = "adjusted"
    """Only `SETTINGS` differ: it goes on with its connections."""
    REPLACED = "replaced"
    """Reached or started otherwise: what runs is drained, and a new one takes its place."""
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from one configuration to the next."""

    backends: tuple[tuple[Backend, Fate], ...]
    """Those that are enabled, in their new order."""
    removed: tuple[str, ...]
    """Backends that are gone or disabled."""
    reordered: bool
    """Those that stay stand in another order, which decides who keeps a name that two have."""
    clients_added: tuple[str, ...]
    clients_adjusted: tuple[str, ...]
    """The token is the same, what it allows is not."""
    clients_removed: tuple[str, ...]
    """By their old name; one with a new token or a new name counts as removed and added."""
    limits: tuple[str, ...]
    """Names of those that differ."""

    def of(self, fate: Fate) -> tuple[str, ...]:
        """The backends with this fate."""
        return tuple(backend.name for backend, found in self.backends if found is fate)

    @property
    def catalogue_changes(self) -> bool:
        """Whether any client may see other names than before."""
        return bool(self.removed) or self.reordered or any(fate is not Fate.UNCHANGED for _, fate in self.backends)


def plan(old: Snapshot, new: Snapshot) -> Plan:
    """What `new` changes. Names are unique within each configuration."""
    before = {backend.name: backend for backend in _enabled(old.backends)}
    after = {backend.name: backend for backend in _enabled(new.backends)}
    stayed = [name for name in after if name in before]
    clients_before = {client.name: client for client in old.clients}
    clients_after = {client.name: client for client in new.clients}
    kept = [
        name
        for name, client in clients_after.items()
        if name in clients_before and clients_before[name].token_sha256 == client.token_sha256
    ]
    return Plan(
        backends=tuple((backend, _fate(before.get(name), backend)) for name, backend in after.items()),
        removed=tuple(name for name in before if name not in after),
        reordered=stayed != [name for name in before if name in after],
        clients_added=tuple(name for name in clients_after if name not in kept),
        clients_adjusted=tuple(name for name in kept if clients_before[name] != clients_after[name]),
        clients_removed=tuple(name for name in clients_before if name not in kept),
        limits=changed_limits(old.limits, new.limits),
    )


def report(found: Plan) -> dict[str, object]:
    """`found` as JSON values, for whoever asked for the reload."""
    later = [name for name in found.limits if name in FOR_NEW_CONNECTIONS]
    return {
        "backends": {
            "added": list(found.of(Fate.ADDED)),
            "removed": list(found.removed),
            "changed": list(found.of(Fate.REPLACED)),
            "adjusted": list(found.of(Fate.ADJUSTED)),
            "unchanged": list(found.of(Fate.UNCHANGED)),
        },
        "clients": {
            "added": list(found.clients_added),
            "removed": list(found.clients_removed),
            "adjusted": list(found.clients_adjusted),
        },
        "limits": {
            "now": [name for name in found.limits if name not in FOR_NEW_CONNECTIONS],
            "new_connections": later,
        },
    }


def changed_limits(old: Limits, new: Limits) -> tuple[str, ...]:
    """Names of the limits that differ, in the order of the class."""
    return tuple(field.name for field in fields(Limits) if getattr(old, field.name) != getattr(new, field.name))


def _enabled(backends: Sequence[Backend]) -> list[Backend]:
    return [backend for backend in backends if backend.enabled]


def _fate(old: Backend | None, new: Backend) -> Fate:
    if old is None:
        return Fate.ADDED
    if old == new:
        return Fate.UNCHANGED
    same = replace(old, **{name: getattr(new, name) for name in SETTINGS})
    return Fate.ADJUSTED if same == new else Fate.REPLACED
