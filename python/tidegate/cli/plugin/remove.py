"""`tidegate plugin remove`: the table of a plugin, and the files that no other one uses."""

from __future__ import annotations

import argparse
import json

from tidegate.cli import exit_codes
from tidegate.cli.config_text import reloaded
from tidegate.cli.home import add_config_arguments, editable, find_home
from tidegate.cli.plugin.configured import plugin_of
from tidegate.cli.plugin.written import remove_table
from tidegate.cli.terminal import say

_EPILOG = f"""\
examples:
  tidegate plugin remove weather
  tidegate plugin remove weather --config tidegate.toml

A file that `tidegate plugin add` copied goes with it; any other stays. What the plugin stored stays, too.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Take a plugin out of tidegate.toml, with its files."
    parser.epilog = _EPILOG
    parser.add_argument("name", metavar="NAME", help="of its table")
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    home = find_home(args)
    configured = plugin_of(home, args.name)
    config = editable(home)
    removed = remove_table(config, configured, home)
    told = reloaded(home, config)
    if args.json:
        print(json.dumps({"name": args.name, "config": config, "removed_files": removed}, indent=2))
    for file in removed:
        say(f"removed {file}")
    say(f"removed `{args.name}` from {config}")
    say(told)
    return exit_codes.OK
