"""`tidegate model`: local models, from a folder or a name to a table in `tidegate.toml` and back.

add.py  remove.py        a model in a set more, or less
listing.py  inspect.py   what there is, what one is and needs
new.py                   a `model.toml` for a file of one's own

configured.py  the models of a configuration
opened.py      a folder with `model.toml`, read and checked
state.py       whether a configured one could be run
described.py   what one is, for a person
installing.py  its packages, by pip
trying.py      loads it once, in a process of its own
child.py       such a process, while a person waits
written.py     the table in the text
running.py     what a running gateway's workers have, for `tidegate status`
"""

from __future__ import annotations

import argparse
from typing import Final

from tidegate.cli import exit_codes
from tidegate.cli.actions import Action, add_actions, run_action

_ACTIONS: Final = (
    Action("add", "tidegate.cli.model.add", "check a model, load it once, and put it into tidegate.toml"),
    Action(
        "list", "tidegate.cli.model.listing", "list the models of a configuration, and those that come with tidegate"
    ),
    Action("inspect", "tidegate.cli.model.inspect", "show what one is and needs, and whether its files are right"),
    Action("remove", "tidegate.cli.model.remove", "take one out of tidegate.toml"),
    Action("new", "tidegate.cli.model.new", "write a model.toml for an ONNX or GGUF file of your own"),
)

_EPILOG: Final = f"""\
examples:
  tidegate model list
  tidegate model add language                    one that comes with tidegate
  tidegate model add ocr --install               with the packages that carry it
  tidegate model new doctype --task image-classification --file doctype.onnx
  tidegate model add ./doctype                   a folder of your own
  tidegate model add ./doctype --set vision      into the worker of another one
  tidegate model inspect doctype
  tidegate model remove doctype

  `tidegate model ACTION --help` says everything about one of them.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A local model is a tool like any other. Models of one set share a worker process, which is started when it\n"
        "is first needed and stopped when nobody needs it; a set is a backend of tidegate.toml."
    )
    parser.epilog = _EPILOG
    add_actions(parser, _ACTIONS)


def run(args: argparse.Namespace) -> int:
    return run_action(args, _ACTIONS)
