"""`tidegate check`: validates configuration files and says what the gateway would do with them.

Starts nothing and connects to nothing. Prints no value that may be secret: of the environment and of headers only
names, of commands and URLs what does not look like a token.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tidegate.cli import exit_codes
from tidegate.config.document import Document, Place
from tidegate.config.embedded import default_snapshot
from tidegate.config.model_workers import OWN_VARIABLES
from tidegate.config.problems import Problem, problems_of
from tidegate.config.snapshot import Backend, Grants, Model, Plugin, Snapshot
from tidegate.errors import ConfigError

_EPILOG = """\
examples:
  tidegate check tidegate.toml
  tidegate check base.toml site.toml             later files win, key by key
  tidegate check ~/.config/Claude/claude_desktop_config.json
  tidegate check --without-secrets tidegate.toml where the environment of the gateway is not at hand
  tidegate check                                 what `tidegate serve` does without a file
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Validates configuration files as `tidegate serve --config FILE` would, and prints the listeners, backends\n"
        "and clients they describe. Every mistake is reported at once, with file, line and key. Nothing is started."
    )
    parser.epilog = f"{_EPILOG}\n{exit_codes.describe(exit_codes.OK, exit_codes.USAGE)}"
    parser.add_argument("files", nargs="*", metavar="FILE", help="tidegate.toml, or mcpServers JSON of a desktop host")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--without-secrets", action="store_true", help="leave ${NAME} and ${file:PATH} alone instead of requiring them"
    )


def run(args: argparse.Namespace) -> int:
    try:
        snapshot, document, notes = _load(args.files, resolve_references=not args.without_secrets)
    except ConfigError as error:
        problems = problems_of(error)
        if args.json:
            print(json.dumps({"ok": False, "problems": [asdict(problem) for problem in problems]}, indent=2))
        else:
            print("\n".join(map(str, problems)), file=sys.stderr)
        return exit_codes.USAGE
    notes = [*notes, *_missing_programs(snapshot, document), *_missing_plugins(snapshot, document)]
    notes += [*_missing_models(snapshot, document), *_missing_tools(snapshot, document)]
    report = _report(snapshot, document, notes)
    print(json.dumps(report, indent=2) if args.json else _text(report))
    return exit_codes.OK


def _load(files: list[str], *, resolve_references: bool) -> tuple[Snapshot, Document, list[Problem]]:
    if not files:
        return default_snapshot(), Document(()), []
    from tidegate.config.load import load

    loaded = load(files, resolve_references=resolve_references)
    return loaded.snapshot, loaded.document, list(loaded.notes)


def _missing_programs(snapshot: Snapshot, document: Document) -> Iterable[Problem]:
    """Programs that are not there now. A note, not a mistake: the file may be for another box."""
    for backend in snapshot.backends:
        if backend.transport != "stdio" or backend.models or not backend.enabled:
            continue
        place = document.place(("backends", backend.name, "command"))
        program = backend.command[0]
        search = next((value.reveal() for name, value in backend.env if name == "PATH"), None)
        if "${" not in program and shutil.which(program, path=search) is None:
            yield _not_found(program, place)
        if backend.cwd and "${" not in backend.cwd and not Path(backend.cwd).is_dir():
            yield document.place(("backends", backend.name, "cwd")).problem("is not a directory on this machine")


def _missing_plugins(snapshot: Snapshot, document: Document) -> Iterable[Problem]:
    """Plugins that cannot be loaded as things stand, and folders that cannot be granted."""
    from tidegate.config.shipped import shipped_names

    found = [("backends", one.name, one.plugin) for one in snapshot.backends if one.enabled and one.plugin is not None]
    found += [("filters", one.name, one.plugin) for one in snapshot.filters]
    for section, name, plugin in found:
        place = document.place((section, name, "wasm"))
        if plugin.shipped:
            if plugin.file not in (names := shipped_names()):
                yield place.problem(f"comes with no tidegate of this build; there is {', '.join(names) or 'none'}")
        elif (digest := _digest(plugin.file)) is None:
            yield place.problem("is not a file that can be read on this machine")
        elif digest != plugin.digest:
            yield place.problem(f"has another digest, {digest}, so it will be refused")
        for key in ("folders", "writable"):
            for inside, outside in getattr(plugin.grants, key):
                if not Path(outside).is_dir():
                    place = document.place((section, name, "grants", key, inside))
                    yield place.problem(f"`{outside}` is not a directory on this machine")


def _missing_models(snapshot: Snapshot, document: Document) -> Iterable[Problem]:
    """Models that cannot be loaded as things stand. Their files are not read: `tidegate doctor` does that."""
    from tidegate.cli.model.configured import models_of
    from tidegate.cli.model.state import state_of

    for one in models_of(snapshot):
        state = state_of(one, thorough=False)
        if one.backend.enabled and not state.usable:
            place = document.place(("backends", one.set, "models", one.index, "path"))
            yield place.problem(f"`{one.name}` cannot be loaded: {state.words}")


def _missing_tools(snapshot: Snapshot, document: Document) -> Iterable[Problem]:
    """Names of tools that no backend of the file can have. Whether one has the others is for `tidegate doctor`."""
    from tidegate.cli.named_tools import cannot_be, named_tools

    for one in named_tools(snapshot):
        if why := cannot_be(one, snapshot):
            yield document.place(one.path).problem(why)


def _digest(file: str) -> str | None:
    from tidegate.sandbox.artefacts import sha256_of_file

    try:
        return sha256_of_file(Path(file))
    except OSError:
        return None


def _not_found(program: str, place: Place) -> Problem:
    if " " in program:
        return place.problem(
            'is no program on this machine; write arguments apart: `command = ["program", "argument"]`'
        )
    return place.problem("is no program on this machine's PATH")


def _report(snapshot: Snapshot, document: Document, notes: list[Problem]) -> dict[str, Any]:
    listen = snapshot.listen
    return {
        "ok": True,
        "files": list(snapshot.sources),
        "listen": {
            "http": list(listen.http),
            "tcp": list(listen.tcp),
            "unix": listen.unix,
            "unix_mode": f"{listen.unix_mode:04o}",
            "admin": listen.admin,
        },
        "backends": [_backend(backend, document) for backend in snapshot.backends],
        "filters": [
            {
                "name": one.name,
                "target": _plugin_target(one.plugin),
                "tools": list(one.tools),
                "on_failure": one.on_failure,
                "grants": _granted(one.plugin.grants),
            }
            for one in snapshot.filters
        ],
        "clients": [
            {
                "name": client.name,
                "tools": list(client.tools),
                "resources": list(client.resources),
                "prompts": list(client.prompts),
            }
            for client in snapshot.clients
        ],
        "notes": [asdict(note) for note in notes],
    }


def _backend(backend: Backend, document: Document) -> dict[str, Any]:
    return {
        "name": backend.name,
        "enabled": backend.enabled,
        "transport": "models" if backend.models else backend.transport,
        "target": _target(backend, document),
        "env": [name for name, _ in backend.env if not backend.models or name not in OWN_VARIABLES],
        "headers": [name for name, _ in backend.headers],
        "grants": _granted(backend.plugin.grants) if backend.plugin is not None else [],
    }


def _plugin_target(plugin: Plugin) -> str:
    return f"{plugin.file}, which comes with tidegate" if plugin.shipped else plugin.file


def _model_target(model: Model) -> str:
    return f"{model.path}, which comes with tidegate" if model.shipped else model.path


def _granted(grants: Grants) -> list[str]:
    """The names of what is granted at all."""
    return [item.name for item in fields(grants) if getattr(grants, item.name)]


def _target(backend: Backend, document: Document) -> str:
    """How it is reached, as written: references stay references, what looks secret is withheld."""
    if backend.plugin is not None:
        return _plugin_target(backend.plugin)
    if backend.models:
        return "; ".join(_model_target(model) for model in backend.models)
    if backend.capabilities:
        return "; ".join(f"{one.name}: {', '.join(one.order)}" for one in backend.capabilities)
    if backend.address:
        return ", ".join(backend.endpoints or (backend.address,))
    from tidegate.config.withhold import Withheld

    table, _ = Withheld().table(backend.name, document.tree["backends"][backend.name])
    if backend.url:
        url = table["openai" if backend.transport == "openai" else "url"]
        return ", ".join(url) if isinstance(url, list) else str(url)
    command = table["command"]
    words = " ".join([*([command] if isinstance(command, str) else command), *table.get("args", [])])
    return words if backend.replicas == 1 else f"{words}  ({backend.replicas} replicas)"


def _text(report: dict[str, Any]) -> str:
    lines = [f"{', '.join(report['files']) or 'embedded default'}: ok", "", "listens on"]
    listen = report["listen"]
    lines += [f"  http   {address}" for address in listen["http"]]
    lines += [f"  tcp    {address}" for address in listen["tcp"]]
    if listen["unix"]:
        lines.append(f"  unix   {listen['unix']} (mode {listen['unix_mode']})")
    if listen["admin"]:
        lines.append(f"  admin  {listen['admin']}")
    if lines[-1] == "listens on":
        lines.append("  nothing")
    lines += ["", "backends"]
    width = max([len(item["name"]) for item in report["backends"]], default=0)
    for item in report["backends"]:
        lines.append(f"  {item['name']:<{width}}  {item['transport']:<7}  {item['target']}{_extras(item)}")
    if not report["backends"]:
        lines.append("  none")
    if report["filters"]:
        lines += ["", "filters"]
        width = max(len(item["name"]) for item in report["filters"])
        for item in report["filters"]:
            words = f"{item['target']}  tools {', '.join(item['tools'])}"
            lines.append(f"  {item['name']:<{width}}  {words}{_extras(item)}")
    if report["clients"]:
        lines += ["", "clients"]
        width = max(len(item["name"]) for item in report["clients"])
        for item in report["clients"]:
            lines.append(f"  {item['name']:<{width}}  tools {', '.join(item['tools']) or 'none'}")
    else:
        lines += ["", "clients", "  anybody who reaches a listener; no token is asked for"]
    if report["notes"]:
        lines += ["", "notes", *(f"  {Problem(**note)}" for note in report["notes"])]
    return "\n".join(lines)


def _extras(item: dict[str, Any]) -> str:
    parts = [f"{key}: {', '.join(item[key])}" for key in ("env", "headers", "grants") if item.get(key)]
    parts += [] if item.get("enabled", True) else ["switched off"]
    return f"  ({'; '.join(parts)})" if parts else ""
