"""`tidegate model remove`: a model out of its set, and the set with its last one. No file of it is touched."""

from __future__ import annotations

import argparse
import json

from tidegate.cli import exit_codes
from tidegate.cli.config_text import reloaded
from tidegate.cli.home import add_config_arguments, editable, find_home
from tidegate.cli.model.configured import model_of
from tidegate.cli.model.written import without
from tidegate.cli.terminal import say

_EPILOG = f"""\
examples:
  tidegate model remove doctype
  tidegate model remove vision/doctype           where several sets have a model of that name

The folder of the model and the packages that it needed stay.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Take a model out of tidegate.toml."
    parser.epilog = _EPILOG
    parser.add_argument("name", metavar="NAME", help="of the model, or SET/NAME")
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    home = find_home(args)
    configured = model_of(home, args.name)
    config = editable(home)
    without(config, configured, home).write()
    last = len(configured.backend.models) == 1
    told = reloaded(home, config)
    if args.json:
        answer = {"name": configured.name, "set": configured.set, "config": config, "set_removed": last}
        print(json.dumps(answer, indent=2))
    say(f"removed `{configured.name}` from {config}{f', and with it the set `{configured.set}`' if last else ''}")
    say(told)
    return exit_codes.OK
