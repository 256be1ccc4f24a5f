"""The guests of `wasm/hostile`: what each gets by its README, and each as a backend or filter of a gateway."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tidegate.config.snapshot import Backend, Bounds, Filter, Grants, Plugin

HERE: Final = Path(__file__).parents[2] / "wasm" / "hostile"
BUILD: Final = HERE / "build"

_ROW: Final = re.compile(r"^\| `([a-z0-9-]+)` \|.*\| `([a-z_]+)` \|$", re.MULTILINE)
_UNGRANTED: Final = ("takes-", "component-takes-time", "calls-from-realloc")
_ALL: Final = Grants(http=("127.0.0.1:1",), store_bytes=65536, log=True, time=True, random=True, call=("*",))


def gets() -> dict[str, str]:
    """Guest to what its caller gets: a slug, `result` or `ask`."""
    return dict(_ROW.findall((HERE / "README.md").read_text()))


TOOLS: Final = {name: slug for name, slug in gets().items() if not name.startswith("filter-")}
FILTERS: Final = {name: slug for name, slug in gets().items() if name.startswith("filter-")}
REFUSED: Final = [name for name, slug in TOOLS.items() if slug == "plugin_refused"]
SERVED: Final = {name: slug for name, slug in TOOLS.items() if slug != "plugin_refused"}


def plugin(file: Path, grants: Grants = _ALL, settings: str = "{}", **bounds: int) -> Plugin:
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    return Plugin(str(file), digest=digest, grants=grants, settings=settings, bounds=Bounds(**bounds))


def hostile(name: str, **bounds: int) -> Backend:
    """As its README says; granted what it asks for, unless it is about what it was not granted."""
    grants = Grants() if name.startswith(_UNGRANTED) else _ALL
    # However busy the machine is, only those that are about it reach their deadline; five of one that calls itself are
    # there at once before it is told that this is too deep.
    bounds = {"deadline_ms": 100 if TOOLS[name] == "plugin_deadline" else 20_000, "concurrency": 5, **bounds}
    return Backend(name, "wasm", plugin=plugin(BUILD / f"{name}.wasm", grants, **bounds), prefix=f"{name}__")


def hostile_filter(name: str, tools: Sequence[str], on_failure: str = "refuse") -> Filter:
    return Filter(name, plugin(BUILD / f"{name}.wasm"), tuple(tools), on_failure)  # type: ignore[arg-type]


def called(backend: Backend, name: str) -> Backend:
    """The same under another name."""
    return replace(backend, name=name, prefix=f"{name}__")
