"""`tidegate plugin list`: the plugins of a configuration, and those that come with tidegate and are not in it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tidegate.cli import exit_codes
from tidegate.cli.home import add_config_arguments, find_home
from tidegate.cli.plugin.configured import Configured, plugins_of
from tidegate.cli.plugin.grants import as_table
from tidegate.cli.plugin.state import State, state_of
from tidegate.cli.plugin.words import granted_lines, listed
from tidegate.cli.terminal import clean, print_table
from tidegate.config.shipped import shipped_names
from tidegate.config.snapshot import Filter

_EPILOG = f"""\
examples:
  tidegate plugin list
  tidegate plugin list --config tidegate.toml --json

Compiled plugins belong to the user who runs the gateway; run as another one, this does not see them.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""

_HEAD = ("NAME", "IS", "VERSION", "SERVES", "GRANTED", "STATE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the plugins of a configuration, and those that come with tidegate."
    parser.epilog = _EPILOG
    add_config_arguments(parser, several=True)
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    home = find_home(args)
    found = [(one, state_of(one, home.snapshot.trusted_keys)) for one in plugins_of(home.snapshot)]
    used = {one.plugin.file for one, _ in found if one.plugin.shipped}
    unused = [name for name in shipped_names() if name not in used]
    if args.json:
        plugins = [_values(one, state) for one, state in found]
        print(json.dumps({"plugins": plugins, "not_configured": unused}, indent=2))
        return exit_codes.OK
    if found:
        print_table([_HEAD, *(_row(one, state) for one, state in found)])
    else:
        print(f"no plugin in {', '.join(map(clean, home.files)) or 'the embedded default'}")
    if unused:
        print(f"\ncome with tidegate, not configured: {', '.join(unused)}")
    return exit_codes.OK


def _row(one: Configured, state: State) -> tuple[str, ...]:
    manifest = state.opened.manifest if state.opened is not None else None
    version = manifest.version if manifest is not None else "-"
    granted = ", ".join(name for name, _ in granted_lines(one.plugin.grants)) or "nothing"
    return (one.name, _kind(one), version, clean(_serves(one, state)), granted, clean(state.words))


def _kind(one: Configured) -> str:
    return "filter" if isinstance(one.table, Filter) else "tools"


def _serves(one: Configured, state: State) -> str:
    if isinstance(one.table, Filter):
        return f"calls of {', '.join(one.table.tools)}"
    tools = state.opened.manifest.tools if state.opened is not None else ()
    return listed([tool.name for tool in tools]) or "-"


def _values(one: Configured, state: State) -> dict[str, Any]:
    manifest = state.opened.manifest if state.opened is not None else None
    return {
        "name": one.name,
        "world": "filter" if isinstance(one.table, Filter) else "tool",
        "file": str(one.file) if one.file is not None else None,
        "shipped": one.plugin.shipped,
        "digest": one.plugin.digest or None,
        "version": manifest.version if manifest is not None else None,
        "tools": list(one.table.tools)
        if isinstance(one.table, Filter)
        else [tool.name for tool in manifest.tools]
        if manifest is not None
        else [],
        "enabled": one.enabled,
        "granted": as_table(one.plugin.grants),
        "usable": state.usable,
        "state": state.words,
    }
