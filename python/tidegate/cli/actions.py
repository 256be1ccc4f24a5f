"""Verbs with actions of their own, such as `tidegate model add`: a table of them, as of verbs.

An action's module offers what a verb's does (`verbs.py`). All are imported with the verb.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NamedTuple

from tidegate.cli.refused import Refused
from tidegate.cli.terminal import complain


class Action(NamedTuple):
    name: str
    module: str
    help: str


def add_actions(parser: argparse.ArgumentParser, actions: tuple[Action, ...]) -> None:
    parsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in actions:
        its = parsers.add_parser(
            action.name, help=action.help, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        import_module(action.module).add_arguments(its)


def run_action(args: argparse.Namespace, actions: tuple[Action, ...]) -> int:
    """The one that was asked for; where it refuses, why is said."""
    module = next(action.module for action in actions if action.name == args.action)
    try:
        status = import_module(module).run(args)
    except Refused as refused:
        complain(str(refused))
        return refused.exit_code
    assert isinstance(status, int)
    return status
