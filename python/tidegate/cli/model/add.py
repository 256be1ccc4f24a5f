"""`tidegate model add`: checks a model, loads it once, and writes it into a set of `tidegate.toml`.

The entry pins the digest of the manifest, which has those of the files, so that what is served is what was looked at.
The folder is not copied: models are large, and it is read in place.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.cli import exit_codes
from tidegate.cli.config_text import names_backends, reloaded
from tidegate.cli.home import Home, add_config_arguments, editable, find_home
from tidegate.cli.model.configured import Configured, models_of
from tidegate.cli.model.described import called, example_call, headline, rows
from tidegate.cli.model.installing import advice, install, install_command
from tidegate.cli.model.opened import NEW_SHA256, Opened, find_folder, open_model
from tidegate.cli.model.trying import Tried, tried
from tidegate.cli.model.written import Change, Entries, entry_of
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean, one_line, print_table, say
from tidegate.config.name_rule import check_name
from tidegate.config.snapshot import Model, Snapshot
from tidegate.errors import ConfigError, ModelFailed
from tidegate.host.phrase import size
from tidegate.models.files import FileChanged

_EPILOG = f"""\
examples:
  tidegate model add language                    one that comes with tidegate
  tidegate model add ocr --install               with the packages that carry it
  tidegate model add ./doctype                   a folder with model.toml
  tidegate model add ./doctype --set vision      into the set, and so the worker, of others
  tidegate model add ./doctype --replace         after model.toml or a file was changed
  tidegate model add ./doctype --dry-run         everything but writing it down

A set is a backend: a table of tidegate.toml, a worker process, a prefix of its tools' names. Models of one set share
the worker's memory and start; models of several sets do not take each other down.

The folder stays where it is. The digest of model.toml is pinned, and model.toml has those of the files: a file that is
another one later is refused. `--install` installs what `requirements.txt` of a model that comes with tidegate pins, and
nothing else; what models of others need is named, for you to install.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be added, and where."""

    opened: Opened
    set: str
    before: Configured | None = None
    """What it replaces."""

    @property
    def model(self) -> Model:
        opened = self.opened
        if opened.shipped:
            return Model(opened.shipped, shipped=True)
        return Model(str(opened.folder.absolute()), digest=opened.manifest.digest)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check a model, load it once, and put it into tidegate.toml."
    parser.epilog = _EPILOG
    parser.add_argument("model", metavar="DIR|NAME", help="a folder with model.toml, or one that comes with tidegate")
    parser.add_argument("--name", metavar="NAME", help="of the set that is made for it (default: as its manifest says)")
    parser.add_argument("--set", metavar="NAME", help="put it into this set, which there is already")
    parser.add_argument("--replace", action="store_true", help="put it in the place of the model that has its name")
    parser.add_argument("--install", action="store_true", help="install the packages that it needs, by pip")
    parser.add_argument("--no-try", action="store_true", help="do not load it to see whether it can be")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and install and write nothing")
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="do not show progress")


def run(args: argparse.Namespace) -> int:
    opened = open_model(*find_folder(args.model))
    home = find_home(args, must_exist=False)
    config = editable(home)
    request = _request(args, opened, home)
    change = Change(Path(config), home, request.set, _edit(request, Path(config)))
    change.text()  # whether it can be written shows before a minute of loading
    if not args.json:
        print(headline(opened))
        if opened.manifest.description:
            print(f"  {clean(' '.join(opened.manifest.description.split()))[:400]}")
        sys.stdout.flush()
    try:
        _install(args, opened)
    finally:
        if not args.json:
            print_table(rows(opened), "  ")  # they say what is installed
            sys.stdout.flush()  # loading it may take its time
    file_bytes = _check_files(opened)
    found = _tried(args, request, home)
    if not args.json:
        _show(request, found, file_bytes)
    if args.dry_run:
        if args.json:
            print(json.dumps(_values(request, found, file_bytes, config, written=False), indent=2))
        say(_words(request, config, "would have added" if request.before is None else "would have replaced"))
        return exit_codes.OK
    change.write()
    if args.json:
        print(json.dumps(_values(request, found, file_bytes, config, written=True), indent=2))
    say(_words(request, config, "added" if request.before is None else "replaced"))
    say(reloaded(home, config))
    if (next_call := _next_call(request, found, home)) is not None:
        say(f"next: {next_call}")
    return exit_codes.OK


def _request(args: argparse.Namespace, opened: Opened, home: Home) -> Request:
    """Raises: Refused."""
    manifest = opened.manifest
    if args.set and args.name:
        raise Refused("`--set` puts it into a set, `--name` makes one; give one of them", exit_codes.USAGE)
    if args.replace:
        return Request(opened, *_predecessor(home, manifest.name, args.set or args.name))
    name = args.set or args.name or manifest.name
    try:
        check_name(name)
    except ValueError as error:
        raise Refused(f"`{name}`: {error}; `--name` gives another", exit_codes.USAGE) from error
    backend = next((one for one in home.snapshot.backends if one.name == name), None)
    if args.set:
        if backend is None:
            raise Refused(f"there is no set `{name}` in {home.where}; `--name {name}` makes it", exit_codes.USAGE)
        if not backend.models:
            raise Refused(f"`{name}` of {home.where} is no set of models; `--name` gives the model a set of its own")
        if any(one.set == name and one.name == manifest.name for one in models_of(home.snapshot)):
            raise Refused(f"`{name}` has a model `{manifest.name}`; `--replace` puts this one in its place")
        return Request(opened, name)
    # One that is served by default is written out like the others of the default.
    by_default = backend is not None and opened.shipped == name and bool(backend.models) and not names_backends(home)
    if backend is not None and not by_default:
        if backend.models:
            raise Refused(
                f"there is a set `{name}`; `--set {name}` puts this model into it, `--name` makes another, and "
                "`--replace` puts it in the place of the model of its name"
            )
        raise Refused(f"there is a backend `{name}`; `--name` gives the model another name")
    return Request(opened, name)


def _predecessor(home: Home, name: str, within: str | None) -> tuple[str, Configured]:
    """The set, and the model in it whose place this one takes. Raises: Refused."""
    every = [one for one in models_of(home.snapshot) if within in (None, one.set)]
    found = [one for one in every if one.name == name]
    if not found and within is not None and len(every) == 1:
        found = every  # its manifest is another now, and may have another name
    if len(found) == 1:
        return found[0].set, found[0]
    if found:
        raise Refused(
            f"several sets have a model `{name}`; say which with `--set`: {', '.join(one.set for one in found)}"
        )
    where = f"set `{within}`" if within else home.where
    raise Refused(f"there is no model `{name}` in {where} to replace; without `--replace` it is added")


def _edit(request: Request, config: Path) -> Callable[[Entries], Entries]:
    entry = entry_of(request.opened, config)

    def edit(entries: Entries) -> Entries:
        if request.before is not None and request.before.index < len(entries):
            entries[request.before.index] = entry
        elif request.opened.shipped and entry in entries:
            pass  # by default
        else:
            entries.append(entry)
        return entries

    return edit


def _install(args: argparse.Namespace, opened: Opened) -> None:
    """Raises: Refused, where something is missing in the end."""
    missing = opened.missing()
    if not missing:
        return
    if args.install and args.dry_run:
        raise Refused(f"it would be installed first, by `{install_command(opened)}`; the rest shows when it is there")
    if not args.install:
        raise Refused(advice(opened, missing))
    install(opened, missing)


def _check_files(opened: Opened) -> int:
    """Raises: Refused."""
    try:
        return sum(path.stat().st_size for path in opened.check_files().values())
    except FileChanged as error:
        meant = "" if opened.shipped else f"; if it is meant to be so, {NEW_SHA256}"
        raise Refused(f"{error}; nothing was added{meant}") from error
    except ModelFailed as error:
        raise Refused(f"{error}; nothing was added") from error


def _tried(args: argparse.Namespace, request: Request, home: Home) -> Tried:
    """Raises: Refused."""
    quiet = args.quiet or args.json
    try:
        return tried(request.model, request.opened.manifest.name, home.snapshot, load=not args.no_try, quiet=quiet)
    except Refused as refused:
        raise Refused(f"{refused}; nothing was added") from refused


def _show(request: Request, found: Tried, file_bytes: int) -> None:
    width = max(len(label) for label, _ in rows(request.opened))
    if request.opened.manifest.files:
        print(f"  {'files':<{width}}  {size(file_bytes)}, their digests are right")
    if found.load_ms is not None:
        takes = f", takes {size(found.memory_bytes)}" if found.memory_bytes is not None else ""
        print(f"  {'loaded':<{width}}  in {max(found.load_ms / 1000, 0.01):.2g} s{takes}")
        declared = request.opened.manifest.limits.memory_bytes
        if found.memory_bytes is not None and found.memory_bytes > declared:
            print(f"  its manifest says that it takes {size(declared)}: `limits.memory_bytes` is too low")
    print("\ntools")
    print_table(((clean(str(one["name"])), one_line(str(one["description"]))) for one in found.tools), "  ")


def _words(request: Request, config: str, did: str) -> str:
    at = "in" if request.before is not None else "to"
    return f"{did} `{request.opened.manifest.name}` {at} the set `{request.set}` of {config}"


def _next_call(request: Request, found: Tried, home: Home) -> str | None:
    from tidegate.config.load import load

    snapshot: Snapshot | None = None
    with suppress(ConfigError):
        snapshot = load([file for file in home.files if Path(file).exists()], resolve_references=False).snapshot
    backend = next((one for one in snapshot.backends if one.name == request.set), None) if snapshot else None
    if snapshot is None or backend is None or not found.tools:
        return None
    return example_call(found.tools[0], called(str(found.tools[0]["name"]), backend, snapshot))


def _values(request: Request, found: Tried, file_bytes: int, config: str, *, written: bool) -> dict[str, object]:
    manifest = request.opened.manifest
    return {
        "name": manifest.name,
        "set": request.set,
        "task": manifest.task,
        "version": manifest.version,
        "licence": manifest.licence,
        "shipped": bool(request.opened.shipped),
        "folder": str(request.opened.folder),
        "digest": manifest.digest,
        "file_bytes": file_bytes,
        "tools": [one["name"] for one in found.tools],
        "load_ms": found.load_ms,
        "memory_bytes": found.memory_bytes,
        "config": config,
        "written": written,
        "replaced": request.before is not None,
    }
