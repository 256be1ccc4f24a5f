"""The plugins that stand in a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from tidegate.cli.home import Home
from tidegate.cli.refused import Refused
from tidegate.config.shipped import shipped_file
from tidegate.config.snapshot import Backend, Filter, Plugin, Snapshot

Section = Literal["backends", "filters"]


@dataclass(frozen=True, slots=True)
class Configured:
    """One plugin of a configuration."""

    section: Section
    name: str
    plugin: Plugin
    table: Backend | Filter

    @property
    def enabled(self) -> bool:
        return isinstance(self.table, Filter) or self.table.enabled

    @property
    def file(self) -> Path | None:
        """None: of no plugin that this build comes with."""
        return shipped_file(self.plugin.file) if self.plugin.shipped else Path(self.plugin.file)


def plugins_of(snapshot: Snapshot) -> Iterator[Configured]:
    """Those of the tables, tools first."""
    for backend in snapshot.backends:
        if backend.plugin is not None:
            yield Configured("backends", backend.name, backend.plugin, backend)
    for one in snapshot.filters:
        yield Configured("filters", one.name, one.plugin, one)


def plugin_of(home: Home, name: str) -> Configured:
    """Raises: Refused."""
    found = {configured.name: configured for configured in plugins_of(home.snapshot)}
    if name in found:
        return found[name]
    if any(backend.name == name for backend in home.snapshot.backends):
        raise Refused(f"`{name}` of {home.where} is a server, not a plugin")
    near = get_close_matches(name, found, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "`tidegate plugin list` shows what there is"
    raise Refused(f"no plugin `{name}` in {home.where}; {hint}")
