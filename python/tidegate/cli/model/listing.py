"""`tidegate model list`: the models of a configuration, and those that come with tidegate and are not in it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tidegate.cli import exit_codes
from tidegate.cli.gateway_facts import Backend as Seen
from tidegate.cli.gateway_facts import read
from tidegate.cli.home import Home, add_config_arguments, find_home
from tidegate.cli.model.configured import Configured, models_of
from tidegate.cli.model.opened import open_model
from tidegate.cli.model.state import State, state_of
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean, print_table
from tidegate.config.shipped_models import missing_packages, shipped_model_folder, shipped_models
from tidegate.host.phrase import size

_EPILOG = f"""\
examples:
  tidegate model list
  tidegate model list --config tidegate.toml --json

Whether the files are what they were is not looked at here, as that takes seconds for large ones: `tidegate model
inspect NAME` does, and the worker whenever it loads them.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""

_HEAD = ("MODEL", "SET", "TASK", "VERSION", "NEEDS", "WORKER HAS", "STATE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the models of a configuration, and those that come with tidegate."
    parser.epilog = _EPILOG
    add_config_arguments(parser, several=True)
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    home = find_home(args)
    workers = _workers(home)
    found = [(one, state_of(one, thorough=False)) for one in models_of(home.snapshot)]
    used = {one.model.path for one, _ in found if one.model.shipped}
    unused = [name for name in shipped_models() if name not in used]
    if args.json:
        models = [_values(one, state, workers.get(one.set)) for one, state in found]
        rest = [_unused_values(name) for name in unused]
        print(json.dumps({"models": models, "not_configured": rest}, indent=2))
        return exit_codes.OK
    if found:
        print_table([_HEAD, *(_row(one, state, workers.get(one.set)) for one, state in found)])
    else:
        print(f"no model in {clean(home.where)}")
    if unused:
        print("\ncome with tidegate, not configured")
        print_table((_unused_row(name) for name in unused), "  ")
    return exit_codes.OK


def _workers(home: Home) -> dict[str, Seen]:
    """The sets as the running gateway has them."""
    if home.running is None:
        return {}
    return {one.name: one for one in read(home.running.status).backends}


def _row(one: Configured, state: State, worker: Seen | None) -> tuple[str, ...]:
    manifest = state.opened.manifest if state.opened is not None else None
    task, version, needs = "-", "-", "-"
    if manifest is not None:
        task, version, needs = manifest.task, manifest.version, size(manifest.limits.memory_bytes)
    words = state.words if one.backend.enabled else f"switched off; {state.words}"
    if worker is not None and state.usable:
        words = worker.model_state(manifest.name if manifest is not None else one.name)
    memory = size(worker.memory_bytes) if worker is not None and worker.memory_bytes is not None else "-"
    return clean(one.name), one.set, task, version, needs, memory, clean(words)


def _unused_row(name: str) -> tuple[str, ...]:
    folder = shipped_model_folder(name)
    try:
        manifest = open_model(folder).manifest if folder is not None else None
    except Refused as refused:
        return name, "-", clean(f"broken: {refused}")
    installed = folder is not None and not missing_packages(folder)
    how = f"`tidegate model add {name}`" if installed else f"`tidegate model add {name} --install`"
    return name, manifest.task if manifest is not None else "-", "installed" if installed else "not installed", how


def _unused_values(name: str) -> dict[str, Any]:
    folder = shipped_model_folder(name)
    missing = missing_packages(folder) if folder is not None else ()
    return {"name": name, "installed": not missing, "missing": list(missing)}


def _values(one: Configured, state: State, worker: Seen | None) -> dict[str, Any]:
    manifest = state.opened.manifest if state.opened is not None else None
    return {
        "name": one.name,
        "set": one.set,
        "path": one.model.path,
        "shipped": one.model.shipped,
        "digest": one.model.digest or None,
        "task": manifest.task if manifest is not None else None,
        "version": manifest.version if manifest is not None else None,
        "needs_bytes": manifest.limits.memory_bytes if manifest is not None else None,
        "enabled": one.backend.enabled,
        "loaded": worker.model_state(one.name) == "loaded" if worker is not None else None,
        "worker": {"state": worker.state, "memory_bytes": worker.memory_bytes} if worker is not None else None,
        "usable": state.usable,
        "missing": list(state.missing),
        "state": state.words,
    }
