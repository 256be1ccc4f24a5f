"""Which configuration an action is about, and the plugins that stand in it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidegate.cli import exit_codes
from tidegate.cli.plugin.refused import Refused
from tidegate.config.shipped import shipped_file
from tidegate.config.snapshot import Backend, Filter, Plugin, Snapshot

if TYPE_CHECKING:
    from tidegate.cli.doctor.running import Running

Section = Literal["backends", "filters"]


@dataclass(frozen=True, slots=True)
class Home:
    """A configuration, and the gateway that runs with it, as far as one could be found."""

    files: tuple[str, ...]
    running: Running | None
    """Only where its files are these."""
    snapshot: Snapshot

    def plugins(self) -> Iterator[Configured]:
        return plugins_of(self.snapshot)

    def plugin(self, name: str) -> Configured:
        """Raises: Refused."""
        found = {configured.name: configured for configured in self.plugins()}
        if name in found:
            return found[name]
        where = ", ".join(self.files) or "the embedded default"
        if any(backend.name == name for backend in self.snapshot.backends):
            raise Refused(f"`{name}` of {where} is a server, not a plugin")
        near = get_close_matches(name, found, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`tidegate plugin list` shows what there is"
        raise Refused(f"no plugin `{name}` in {where}; {hint}")


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


def add_config_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    words = "configuration file (default: that of the running gateway)"
    if several:
        parser.add_argument("--config", metavar="FILE", action="append", default=[], help=f"{words}; may be repeated")
    else:
        parser.add_argument("--config", metavar="FILE", help=words)
    parser.add_argument("--admin", metavar="URL", help="admin listener of the running gateway")


def find_home(args: argparse.Namespace, *, must_exist: bool = True) -> Home:
    """Raises: Refused, ConfigError."""
    from tidegate.cli.admin_listener import Unanswered
    from tidegate.cli.doctor.running import find_running
    from tidegate.config.load import load

    named = args.config if isinstance(args.config, list) else [args.config] if args.config else []
    try:
        running = find_running(args.admin, os.environ)
    except Unanswered as error:
        raise Refused(str(error), error.exit_code) from error
    files = tuple(named) or (running.files if running is not None else ())
    if running is not None and not {*map(_real, files)} <= {*map(_real, running.files)}:
        running = None
    if not files:
        from tidegate.config.embedded import default_snapshot

        return Home((), running, default_snapshot())
    there = [file for file in files if must_exist or Path(file).exists()]
    return Home(files, running, load(there, resolve_references=False).snapshot)


def editable(home: Home) -> str:
    """The file that a table is written into. Raises: Refused."""
    if not home.files:
        raise Refused(
            "which configuration? no gateway runs with one; say `--config tidegate.toml`, which is made when there is "
            "none",
            exit_codes.USAGE,
        )
    toml = [file for file in home.files if not file.endswith((".json", ".jsonc"))]
    if not toml:
        raise Refused(
            f"`{home.files[-1]}` is JSON of a desktop host, which has no place for plugins; give a TOML file beside it"
        )
    return toml[-1]


def _real(file: str) -> str:
    return os.path.realpath(file)
