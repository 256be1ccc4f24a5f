"""The configuration nobody wrote: what the gateway does when it is simply started.

Loopback only, no account, no network, and backends of its own. A file changes it key by key; a file that
names backends replaces the one here. No validator below, so the daemon can start from it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.config.paths import default_unix_path
from tidegate.config.shipped import shipped_file
from tidegate.config.snapshot import Backend, Listen, Plugin, Snapshot

HTTP_ADDRESS: Final = "127.0.0.1:8808"
ADMIN_ADDRESS: Final = "127.0.0.1:8809"

HOST_BACKEND: Final = Backend(name="host", transport="builtin", address="host", prefix="")
"""Facts of the box, read only."""

PLUGINS: Final = ("units", "data", "sensor-stats")
"""Of those that come with tidegate, the ones with tools. Nothing is granted to them, and they ask for nothing."""


def default_backends() -> tuple[Backend, ...]:
    """Of a configuration that names none. A build without the compilers for plugins has none of them."""
    plugins = (
        Backend(name=name, transport="wasm", plugin=Plugin(name, shipped=True))
        for name in PLUGINS
        if shipped_file(name) is not None
    )
    return (HOST_BACKEND, *plugins)


def default_snapshot(environ: Mapping[str, str] | None = None) -> Snapshot:
    """The embedded default; only the path of the unix socket depends on the environment."""
    listen = Listen(http=(HTTP_ADDRESS,), unix=default_unix_path(environ), admin=ADMIN_ADDRESS)
    return Snapshot(listen=listen, backends=default_backends())
