"""`tidegate model inspect`: everything about one model, configured or not, without loading it. Reads all its files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from tidegate.cli import exit_codes
from tidegate.cli.home import add_config_arguments, find_home
from tidegate.cli.model.configured import Configured, model_of
from tidegate.cli.model.described import called, headline, rows
from tidegate.cli.model.installing import advice
from tidegate.cli.model.opened import Opened, find_folder, is_plain_folder, open_model
from tidegate.cli.model.state import State, opened_state, state_of
from tidegate.cli.model.trying import Tried, tried
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean, one_line, print_table, say
from tidegate.config.model_workers import names_model_folder
from tidegate.config.shipped_models import shipped_model_folder
from tidegate.config.snapshot import Model, Snapshot

_EPILOG = f"""\
examples:
  tidegate model inspect language                one of the configuration, or one that comes with tidegate
  tidegate model inspect vision/ocr              where several sets have a model of that name
  tidegate model inspect ./doctype               a folder, before it is added

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}
Exit code {exit_codes.FAILED} also means that the worker would not load it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show what a model is and needs, and whether its files are right, without loading it."
    parser.epilog = _EPILOG
    parser.add_argument("model", metavar="NAME|DIR", help="a model of the configuration, a folder, or one that comes")
    add_config_arguments(parser, several=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    configured, state, snapshot = _found(args)
    tools: Tried | str = "-"
    if state.opened is not None and state.trouble in ("", "package"):
        try:
            tools = tried(_model(state.opened), state.opened.manifest.name, snapshot, load=False, quiet=True)
        except Refused as refused:
            tools = str(refused)
            if state.usable:
                state = State(tools, "broken", state.opened)
    if args.json:
        print(json.dumps(_values(configured, state, tools), indent=2))
    else:
        _print(configured, state, tools, snapshot)
    return exit_codes.OK if state.usable else exit_codes.FAILED


def _found(args: argparse.Namespace) -> tuple[Configured | None, State, Snapshot]:
    """Raises: Refused."""
    home = find_home(args)
    try:
        configured = model_of(home, args.model)
        return configured, state_of(configured, thorough=True), home.snapshot
    except Refused as refused:
        if not names_model_folder(args.model) and shipped_model_folder(args.model) is None:
            if is_plain_folder(args.model):
                raise Refused(f"for the folder, write `./{args.model}`; {refused}") from refused
            raise
    opened = open_model(*find_folder(args.model))
    return None, opened_state(opened, thorough=True), home.snapshot


def _model(opened: Opened) -> Model:
    return Model(opened.shipped or str(opened.folder.absolute()), shipped=bool(opened.shipped))


def _print(configured: Configured | None, state: State, tools: Tried | str, snapshot: Snapshot) -> None:
    opened = state.opened
    table = [("state", clean(state.words))]
    if opened is not None:
        print(headline(opened))
        if opened.manifest.description:
            print(clean(" ".join(opened.manifest.description.split())))
        print()
        table += [*rows(opened), ("digest", opened.manifest.digest)]
    if configured is not None:
        table.append(("set", configured.set))
        if opened is None:
            table.append(("folder", clean(configured.model.path)))
        if state.trouble == "pin" and configured.model.digest:
            table.append(("pinned", configured.model.digest))
    print_table(table)
    if isinstance(tools, Tried):
        print("\ntools")
        shown = []
        for tool in tools.tools:
            name = str(tool["name"])
            name = called(name, configured.backend, snapshot) if configured is not None else name
            shown.append((clean(name), one_line(str(tool["description"]))))
        print_table(shown, "  ")
    if state.missing and opened is not None:
        say(advice(opened, state.missing))


def _place(state: State, role: str) -> str | None:
    return str(state.places[role]) if role in state.places else None


def _values(configured: Configured | None, state: State, tools: Tried | str) -> dict[str, Any]:
    found: dict[str, Any] = {"state": state.words, "usable": state.usable, "missing": list(state.missing)}
    if state.opened is not None:
        manifest = state.opened.manifest
        found |= {
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "licence": manifest.licence,
            "task": manifest.task,
            "folder": str(manifest.folder),
            "shipped": bool(state.opened.shipped),
            "digest": manifest.digest,
            "files": [{**asdict(file), "place": _place(state, file.role)} for file in manifest.files],
            "install": list(manifest.install),
            "limits": asdict(manifest.limits),
            "settings": manifest.settings,
        }
    if isinstance(tools, Tried):
        found["tools"] = list(tools.tools)
    if configured is not None:
        found |= {"set": configured.set, "path": configured.model.path, "pinned": configured.model.digest or None}
    return found
