"""`tidegate completion`: what a shell needs to complete the command line, written from the verbs' own parsers.

The scripts are static, so that a key press starts nothing; only names of tools, resources, prompts, backends,
plugins and models are asked of a running gateway, by `tidegate completion names KIND`.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.cli import exit_codes

if TYPE_CHECKING:
    from tidegate.config.snapshot import Snapshot

_SHELLS = ("bash", "zsh", "fish")
KINDS = ("tools", "resources", "prompts", "backends", "plugins", "models", "shipped-models")
_ASK_S = 2.0
"""Somebody has pressed a key and waits."""

_EPILOG = f"""\
examples:
  tidegate completion bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completion zsh > ~/.zfunc/_tidegate           with `fpath+=~/.zfunc` before `compinit` in .zshrc
  tidegate completion fish > ~/.config/fish/completions/tidegate.fish
  eval "$(tidegate completion bash)"                     this shell only
  tidegate completion names tools                        what `tidegate call` can be completed with

{exit_codes.describe(exit_codes.OK, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints a script that completes verbs, options, choices and files, and the names of tools, resources,\n"
        "prompts, backends, plugins and models of the running gateway."
    )
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", metavar="SHELL", required=True)
    for shell in _SHELLS:
        actions.add_parser(shell, help=f"the script for {shell}", allow_abbrev=False)
    names = actions.add_parser("names", help="names known to the running gateway, one a line", allow_abbrev=False)
    names.add_argument("kind", choices=KINDS, help="of what")


def run(args: argparse.Namespace) -> int:
    if args.action == "names":
        _print_names(args.kind)
        return exit_codes.OK
    from tidegate.cli.completion_scripts import SCRIPTS
    from tidegate.cli.grammar import commands

    print(SCRIPTS[args.action](commands()), end="")
    return exit_codes.OK


def _print_names(kind: str) -> None:
    """Nothing where nobody answers: a completion never complains."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        own = {"backends": _backends, "plugins": _plugins, "models": _models, "shipped-models": _shipped_models}
        found = own[kind]() if kind in own else _entries(kind)
    for name in found:
        # A name that a shell, or the lines here, would take apart is left to be typed.
        if name.isprintable() and not set(name) & set(" \t'\"`$\\;&|<>(){}*?!"):
            sys.stdout.write(f"{name}\n")


def _backends() -> list[str]:
    from tidegate.cli.admin_listener import Unanswered, address, ask
    from tidegate.control.telemetry.backend_state import dicts

    try:
        status, _ = ask(address(None), "/status", "backends", _ASK_S)
    except Unanswered:
        return []
    return [str(backend.get("backend")) for backend in dicts(status["backends"])]


def _plugins() -> list[str]:
    from tidegate.cli.plugin.configured import plugins_of

    return [one.name for snapshot in _configuration() for one in plugins_of(snapshot)]


def _models() -> list[str]:
    """Of a name that several sets have, each as a whole."""
    from tidegate.cli.model.configured import models_of

    found = [one for snapshot in _configuration() for one in models_of(snapshot)]
    names = [one.name for one in found]
    return [one.name if names.count(one.name) == 1 else one.full_name for one in found]


def _shipped_models() -> list[str]:
    from tidegate.config.shipped_models import shipped_models

    return [*shipped_models()]


def _configuration() -> list[Snapshot]:
    """The one that the running gateway was started with, if it can be read."""
    from tidegate.cli.home import find_home
    from tidegate.cli.refused import Refused
    from tidegate.errors import ConfigError

    try:
        return [find_home(argparse.Namespace(config=None, admin=None)).snapshot]
    except (Refused, ConfigError):
        return []


def _entries(kind: str) -> list[str]:
    from tidegate.cli import reach
    from tidegate.cli.client import Client

    key = "uri" if kind == "resources" else "name"
    found: list[str] = []

    def work(client: Client) -> int:
        found.extend(str(entry.value.get(key)) for entry in client.list_all(kind))
        return exit_codes.OK

    parser = argparse.ArgumentParser()
    reach.add_arguments(parser)
    reach.served(parser.parse_args(["--timeout", str(_ASK_S)]), work)
    return found
