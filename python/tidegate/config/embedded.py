"""The configuration nobody wrote: what the gateway does when it is simply started.

Loopback only, no account, no network, and one backend of its own. A file changes it key by key; a file that
names backends replaces the one here. No validator below, so the daemon can start from it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.config.paths import default_unix_path
from tidegate.config.snapshot import Backend, Listen, Snapshot

HTTP_ADDRESS: Final = "127.0.0.1:8808"
ADMIN_ADDRESS: Final = "127.0.0.1:8809"

HOST_BACKEND: Final = Backend(name="host", transport="builtin", address="host")
"""Facts of the box, read only."""


def default_snapshot(environ: Mapping[str, str] | None = None) -> Snapshot:
    """The embedded default; only the path of the unix socket depends on the environment."""
    listen = Listen(http=(HTTP_ADDRESS,), unix=default_unix_path(environ), admin=ADMIN_ADDRESS)
    return Snapshot(listen=listen, backends=(HOST_BACKEND,))
