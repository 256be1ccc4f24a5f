"""What a server offers, as it last said: all that a catalogue is made of, with a connection or without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.listing import Kind, Listing

_TOLD: Final = ("tools", "prompts", "resources")
"""Lists that clients are told of. Templates change with the resources."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Immutable: a list that changes makes another one."""

    listing: Listing
    capabilities: dict[str, object]
    server_info: bytes | None
    """Raw JSON object."""
    instructions: str | None
    keeps_session: bool
    """Whether the server was greeted by a handshake."""

    @classmethod
    def heard(cls, connection: Connection, listing: Listing) -> Offer:
        return cls(
            listing,
            connection.capabilities,
            connection.server_info,
            connection.instructions,
            connection.keeps_session,
        )

    def with_listing(self, listing: Listing) -> Offer:
        return Offer(listing, self.capabilities, self.server_info, self.instructions, self.keeps_session)


def changed_lists(before: Offer | None, after: Offer | None) -> list[str]:
    """Which lists a client that saw `before` must read again."""
    return [kind for kind in _TOLD if _entries(before, kind) != _entries(after, kind)]


def _entries(offer: Offer | None, kind: str) -> tuple[Kind, Kind]:
    listing = offer.listing if offer is not None else Listing()
    return listing.kind(kind), listing.kind("templates") if kind == "resources" else Kind()
