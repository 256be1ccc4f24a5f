"""Which configuration an action is about, and the gateway that runs with it."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.cli import exit_codes
from tidegate.cli.refused import Refused
from tidegate.config.snapshot import Snapshot

if TYPE_CHECKING:
    from tidegate.cli.doctor.running import Running


@dataclass(frozen=True, slots=True)
class Home:
    """A configuration, and the gateway that runs with it, as far as one could be found."""

    files: tuple[str, ...]
    running: Running | None
    """Only where its files are these."""
    snapshot: Snapshot

    @property
    def where(self) -> str:
        """For a sentence."""
        return ", ".join(self.files) or "the embedded default"


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
            f"`{home.files[-1]}` is JSON of a desktop host, which has no place for this; give a TOML file beside it"
        )
    return toml[-1]


def _real(file: str) -> str:
    return os.path.realpath(file)
