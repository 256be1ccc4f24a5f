"""`tidegate plugin`: WASM plugins, from a file to a table in `tidegate.toml` and back.

add.py  remove.py        a table and a file more, or less
listing.py  inspect.py   what there is, what one asks for and gets
new.py  pack.py          for whoever writes one
compile.py               machine code for a box that should not compile

replacing.py   another version in the table of one that is there
opened.py      a plugin's file, taken apart
configured.py  the plugins of a configuration
grants.py      `--grant`, and what is granted with a yes
words.py       capabilities and bounds, for a person
compiling.py   the child that compiles, with a line of progress
"""

from __future__ import annotations

import argparse
from typing import Final

from tidegate.cli import exit_codes
from tidegate.cli.actions import Action, add_actions, run_action

_ACTIONS: Final = (
    Action("add", "tidegate.cli.plugin.add", "check a plugin, show what it asks for, and put it into tidegate.toml"),
    Action(
        "list", "tidegate.cli.plugin.listing", "list the plugins of a configuration, and those that come with tidegate"
    ),
    Action("inspect", "tidegate.cli.plugin.inspect", "show what one is, asks for and gets"),
    Action("remove", "tidegate.cli.plugin.remove", "take one out of tidegate.toml, with its files"),
    Action("new", "tidegate.cli.plugin.new", "start one of your own"),
    Action("pack", "tidegate.cli.plugin.pack", "put a manifest into a .wasm file"),
    Action("compile", "tidegate.cli.plugin.compile", "compile and sign one for another box"),
)

_EPILOG: Final = f"""\
examples:
  tidegate plugin add units                      one that comes with tidegate
  tidegate plugin add weather.wasm               show what it asks for, ask, put it into force
  tidegate plugin add mask.wasm --filter 'mail__*' --yes
  tidegate plugin add weather.wasm --replace     a new version; settings, bounds and grants stay
  tidegate plugin list
  tidegate plugin inspect weather
  tidegate plugin remove weather
  tidegate plugin new my-plugin --language rust
  tidegate plugin compile weather.wasm --target aarch64-linux --key signing.key -o weather.cwasm

  `tidegate plugin ACTION --help` says everything about one of them.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "WASM plugins run inside the gateway and can do nothing that they were not granted. A tool plugin is a\n"
        "backend like any other; a filter sees the calls of chosen tools, and their results."
    )
    parser.epilog = _EPILOG
    add_actions(parser, _ACTIONS)


def run(args: argparse.Namespace) -> int:
    return run_action(args, _ACTIONS)
