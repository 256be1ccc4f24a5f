"""What the operator's pages ask of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tidegate.config.snapshot import Snapshot

if TYPE_CHECKING:
    from tidegate.admin.flows import FlowSource


class Observed(Protocol):
    """The daemon, as `admin/` sees it. Nothing here changes it."""

    snapshot: Snapshot
    """Replaced as a whole by a reload."""
    addresses: dict[str, object]

    @property
    def relay(self) -> FlowSource: ...

    def catch_up(self) -> None:
        """Has everything that has happened so far told to who counts it. The relay tells now and then only."""

    def statistics(self) -> dict[str, object]: ...

    @property
    def ready(self) -> bool:
        """Listening, and not on the way out."""
