"""The revisions of MCP and the two eras they fall into.

Only `pipeline/era` (what the client speaks) and `pipeline/upstream` negotiation (what the server speaks)
may ask this. Source: specification 2026-07-28, basic/versioning.
"""

from __future__ import annotations

from typing import Final

MODERN: Final = ("2026-07-28",)
"""Stateless: version, identity and capabilities on every request."""

LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Session by an `initialize` handshake, newest first."""

SUPPORTED: Final = MODERN + LEGACY
LATEST_MODERN: Final = MODERN[0]
LATEST_LEGACY: Final = LEGACY[0]

BATCHING: Final = "2025-03-26"
"""The one revision whose receivers must take JSON-RPC batches (2025-03-26, basic)."""

PRIMING: Final = "2025-11-25"
"""From here on an SSE stream opens with an empty event carrying an id (basic/transports)."""
