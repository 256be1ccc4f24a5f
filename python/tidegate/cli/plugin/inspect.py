"""`tidegate plugin inspect`: everything about one plugin, configured or not, without running it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tidegate.cli import exit_codes
from tidegate.cli.home import add_config_arguments, find_home
from tidegate.cli.plugin import words
from tidegate.cli.plugin.configured import Configured, plugin_of
from tidegate.cli.plugin.grants import as_table
from tidegate.cli.plugin.opened import find_file, open_plugin
from tidegate.cli.plugin.state import State, compiled_state, state_of
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean, one_line, print_table
from tidegate.config.document import names_file
from tidegate.config.shipped import shipped_file
from tidegate.config.snapshot import Bounds, Filter, Grants
from tidegate.sandbox.engine import NoEngine, imports_of
from tidegate.sandbox.granting import bounded, granted, ungranted, useless
from tidegate.sandbox.manifest import Asks, Tool

_EPILOG = f"""\
examples:
  tidegate plugin inspect weather                one of the configuration
  tidegate plugin inspect ./weather.wasm         a file, before it is added
  tidegate plugin inspect units                  one that comes with tidegate

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}
Exit code {exit_codes.FAILED} also means that the gateway would not load it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show what a plugin is, asks for and gets, without running it."
    parser.epilog = _EPILOG
    parser.add_argument("plugin", metavar="NAME|FILE", help="a plugin of the configuration, a file, or one that comes")
    add_config_arguments(parser, several=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    configured, state = _found(args)
    if args.json:
        print(json.dumps(_values(configured, state), indent=2))
    else:
        _print(configured, state)
    return exit_codes.OK if state.usable else exit_codes.FAILED


def _found(args: argparse.Namespace) -> tuple[Configured | None, State]:
    """Raises: Refused."""
    if not names_file(args.plugin):
        home = find_home(args)
        try:
            configured = plugin_of(home, args.plugin)
        except Refused:
            if shipped_file(args.plugin) is None:
                raise
        else:
            return configured, state_of(configured, home.snapshot.trusted_keys)
    path, shipped = find_file(args.plugin)
    return None, compiled_state(open_plugin(path), (), path.stem if shipped else "")


def _print(configured: Configured | None, state: State) -> None:
    rows: list[tuple[str, str]] = []
    opened = state.opened
    if opened is not None:
        print(clean(words.headline(opened.manifest)))
        if opened.manifest.description:
            print(clean(" ".join(opened.manifest.description.split())))
        print()
    path = opened.path if opened is not None else configured.file if configured is not None else None
    rows.append(("file", clean(str(path or "-"))))
    if opened is not None:
        rows += [("digest", opened.digest), ("is", f"a {opened.kind}, {words.size(len(opened.wasm))}")]
    rows.append(("state", clean(state.words)))
    if state.artefact is not None:
        rows.append(("machine code", str(state.artefact.path)))
        if state.artefact.signed_by:
            rows.append(("signed by", state.artefact.signed_by))
    if configured is not None:
        rows.append(("table", f"{configured.section}.{configured.name}"))
        if isinstance(configured.table, Filter):
            rows.append(("sees calls of", words.listed(configured.table.tools)))
            rows.append(
                ("when it fails", f"calls {'are refused' if configured.table.on_failure == 'refuse' else 'pass'}")
            )
    bounds = configured.plugin.bounds if configured is not None else Bounds()
    if opened is not None:
        rows.append(("bounds", words.bounds_words(bounded(opened.manifest.limits, bounds))))
    print_table(rows)
    if opened is not None:
        _print_tools(opened.manifest.tools)
        _print_grants(opened.manifest.asks, configured.plugin.grants if configured is not None else None)


def _print_tools(tools: Sequence[Tool]) -> None:
    if not tools:
        return
    print("\ntools")
    print_table(((tool.name, one_line(json.loads(tool.json).get("description", ""))) for tool in tools), "  ")


def _print_grants(asks: Asks, grants: Grants | None) -> None:
    asked = [*words.asked_lines(asks)]
    print("\nasks for" if asked else "\nasks for nothing")
    print_table(asked, "  ")
    if grants is None:
        return
    given = [*words.granted_lines(granted(asks, grants))]
    print("\ngranted" if given else "\ngranted nothing")
    print_table(given, "  ")
    for label, names in (
        ("not granted", ungranted(asks, grants)),
        ("granted in vain, not asked for", useless(asks, grants)),
    ):
        if names:
            print(f"\n{label}: {', '.join(name.removesuffix('_bytes') for name in names)}")


def _values(configured: Configured | None, state: State) -> dict[str, Any]:
    opened = state.opened
    found: dict[str, Any] = {"state": state.words, "usable": state.usable}
    if opened is not None:
        manifest = opened.manifest
        found |= {
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "world": manifest.world,
            "inspects": list(manifest.inspects),
            "tools": [json.loads(tool.json) for tool in manifest.tools],
            "asks": {**asdict(manifest.asks), "folders": dict(manifest.asks.folders)},
            "file": str(opened.path),
            "digest": opened.digest,
            "kind": opened.kind,
            "bytes": len(opened.wasm),
            "imports": _imports(opened.wasm),
            "bounds": asdict(
                bounded(manifest.limits, configured.plugin.bounds if configured is not None else Bounds())
            ),
        }
    if state.artefact is not None:
        found["artefact"] = {"path": str(state.artefact.path), "signed_by": state.artefact.signed_by or None}
    if configured is not None:
        grants = configured.plugin.grants
        found |= {
            "table": f"{configured.section}.{configured.name}",
            "file": str(configured.file) if configured.file is not None else None,
            "pinned": configured.plugin.digest or None,
            "granted": as_table(grants if opened is None else granted(opened.manifest.asks, grants)),
            "not_granted": list(ungranted(opened.manifest.asks, grants)) if opened is not None else [],
            "in_vain": list(useless(opened.manifest.asks, grants)) if opened is not None else [],
        }
    return found


def _imports(wasm: bytes) -> list[str] | None:
    try:
        return list(imports_of(wasm))
    except (NoEngine, ValueError):
        return None
