"""`tidegate plugin add`: checks a plugin, shows what it asks for, and writes its table and its file.

Nothing is granted without a yes, on a terminal or by `--yes` or `--grant`. The table pins the digest of the copy, which
holds its manifest and its list of tools, so that what is in force is what was looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tidegate.cli import exit_codes
from tidegate.cli.config_text import names_backends, reloaded
from tidegate.cli.home import Home, add_config_arguments, editable, find_home
from tidegate.cli.plugin import words
from tidegate.cli.plugin.configured import Section, plugins_of
from tidegate.cli.plugin.grants import SPELLINGS, as_table, spelled_out, with_a_yes
from tidegate.cli.plugin.opened import Opened, find_file, open_plugin
from tidegate.cli.plugin.replacing import (
    Predecessor,
    drop_predecessor,
    find_predecessor,
    is_lower,
    is_news,
    lacking,
    replace_table,
    together,
)
from tidegate.cli.plugin.written import Change, add_table
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean, is_person, print_table, say
from tidegate.config.name_rule import check_name
from tidegate.config.snapshot import Bounds, Filter, Grants
from tidegate.sandbox.granting import bounded, granted, ungranted, useless
from tidegate.sandbox.manifest import Asks

_EPILOG = f"""\
examples:
  tidegate plugin add units                      one that comes with tidegate
  tidegate plugin add weather.wasm               shows what it asks for, and asks
  tidegate plugin add weather.wasm --yes         grants what it asks for, but for folders
  tidegate plugin add weather.wasm --grant http=api.example.com --grant store
  tidegate plugin add report.wasm --grant read:/data=/srv/data
  tidegate plugin add weather.wasm --grant none  nothing at all
  tidegate plugin add mask.wasm --filter 'mail__*' --filter 'files__read*'
  tidegate plugin add weather.wasm --replace     a new version of one that is there

  --grant takes {SPELLINGS};
  with it, only what it says is granted, unless there is --yes, too.

With --replace the table keeps what it has: settings, bounds, grants, tools. What is granted is added to its grants, and
--yes grants what the new version asks for and has not got. A grant that it no longer asks for stays, without effect.

The file is copied to `plugins/` beside tidegate.toml, and its digest pinned. A precompiled NAME.cwasm beside it, with
its seal (`tidegate plugin compile`), is taken instead of compiling, if `plugins.trusted_keys` names who signed it.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be added."""

    name: str
    section: Section
    opened: Opened
    shipped: bool
    tools: tuple[str, ...]
    """Of a filter: whose calls it sees."""
    before: Predecessor | None = None
    """What it replaces."""

    @property
    def wanted(self) -> Asks:
        """What it asks for and was not granted yet."""
        asks = self.opened.manifest.asks
        return asks if self.before is None else lacking(asks, self.before.asks, self.before.plugin.grants)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Check a plugin, show what it asks for, and put it into tidegate.toml."
    parser.epilog = _EPILOG
    parser.add_argument("file", metavar="FILE", help="a .wasm file, or the name of a plugin that comes with tidegate")
    parser.add_argument("--name", metavar="NAME", help="of its table (default: as its manifest says)")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="TOOLS",
        help="of a filter: tools whose calls it sees, a pattern; may be repeated (default: all)",
    )
    parser.add_argument("--replace", action="store_true", help="put it in the place of the plugin that has its name")
    parser.add_argument("--grant", action="append", default=[], metavar="WHAT", help="may be repeated; see below")
    parser.add_argument("--yes", action="store_true", help="grant what it asks for, without asking")
    parser.add_argument("--no-compile", action="store_true", help="leave compiling to the gateway, when it needs it")
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="do not show progress")


def run(args: argparse.Namespace) -> int:
    path, shipped = find_file(args.file)
    opened = open_plugin(path)
    home = find_home(args, must_exist=False)
    config = editable(home)
    request = _request(args, opened, shipped, home)
    if not args.json:
        _show(request)
    grants = _grants(args, request)
    change = Change(Path(config), home, request.section, request.name, compile=not args.no_compile, quiet=args.quiet)
    removed: list[str] = []
    if request.before is not None:
        added = replace_table(change, request.before, opened, grants, shipped=shipped)
        grants = together(request.before.plugin.grants, grants)
        told = reloaded(home, config)  # which may need the file before, up to here
        removed = drop_predecessor(change, request.before)
    else:
        table: dict[str, Any] = {}
        if request.section == "filters":
            table["tools"] = list(request.tools)
        if given := as_table(grants):
            table["grants"] = given
        added = add_table(change, opened, table, shipped=shipped)
        told = reloaded(home, config)
    _report(args, request, grants, added, config, removed)
    say(told)
    return exit_codes.OK


def _request(args: argparse.Namespace, opened: Opened, shipped: bool, home: Home) -> Request:
    """Raises: Refused."""
    manifest = opened.manifest
    name = args.name or (args.file if shipped else manifest.name)
    try:
        check_name(name)
    except ValueError as error:
        raise Refused(f"`{name}`: {error}; `--name` gives another", exit_codes.USAGE) from error
    if manifest.world == "tool" and args.filter:
        raise Refused(f"`{manifest.name}` serves tools and filters nothing; leave `--filter` out", exit_codes.USAGE)
    if opened.kind == "module" and manifest.world == "tool" and not manifest.tools:
        raise Refused(f"the manifest of `{opened.path}` lists no tools, and a core module cannot be asked for them")
    section: Section = "filters" if manifest.world == "filter" else "backends"
    if args.replace:
        if args.filter:
            raise Refused("`--replace` keeps the `tools` of the table; change them there", exit_codes.USAGE)
        before = find_predecessor(home, name, manifest)
        table = before.configured.table
        tools = table.tools if isinstance(table, Filter) else ()
        return Request(name, section, opened, shipped, tools, before)
    # One that is served by default is written out like the others of the default.
    by_default = shipped and name == args.file and not names_backends(home)
    taken = [one.name for one in plugins_of(home.snapshot)]
    if name in taken and not by_default:
        raise Refused(
            f"there is a plugin `{name}`; `--replace` puts this one in its place, `--name` gives it another name"
        )
    if any(backend.name == name and backend.plugin is None for backend in home.snapshot.backends):
        raise Refused(f"there is a server `{name}`; `--name` gives the plugin another name")
    return Request(name, section, opened, shipped, tuple(args.filter) or ("*",))


def _show(request: Request) -> None:
    manifest = request.opened.manifest
    print(clean(words.headline(manifest)))
    if manifest.description:
        print(f"  {clean(' '.join(manifest.description.split()))[:400]}")
    rows = []
    if manifest.tools:
        rows.append(("tools", words.listed([tool.name for tool in manifest.tools])))
    if request.section == "filters":
        rows.append(("sees calls of", words.listed(request.tools)))
    bounds = Bounds() if request.before is None else request.before.plugin.bounds
    rows.append(("needs" if bounds == Bounds() else "gets", words.bounds_words(bounded(manifest.limits, bounds))))
    asked = [*words.asked_lines(manifest.asks)]
    rows.append(("asks for", "nothing" if not asked else ""))
    rows += [(f"  {name}", meaning) for name, meaning in asked]
    if request.before is not None:
        rows += _changes(request, request.before)
    print_table(rows, "  ")


def _changes(request: Request, before: Predecessor) -> list[tuple[str, str]]:
    """What is another with the new version, but for the file."""
    manifest, grants = request.opened.manifest, before.plugin.grants
    version = before.version or "a file that is not the one that was added"
    note = ", which is higher" if is_lower(manifest.version, before.version or "") else ""
    rows = [("replaces", f"{version}{note}")]
    if wanted := [*words.asked_lines(request.wanted)]:
        rows += [("not granted yet", ""), *((f"  {name}", meaning) for name, meaning in wanted)]
    had = [*words.granted_lines(granted(before.asks, grants))]
    woken = [one for one in words.granted_lines(granted(manifest.asks, grants)) if one not in had]
    if woken and before.opened is not None:
        rows += [("granted, and new", "it did not ask for this before"), *((f"  {name}", text) for name, text in woken)]
    if lost := useless(manifest.asks, grants):
        rows.append(("granted in vain", f"{_plain_names(lost)}: it no longer asks for this"))
    return rows


def _plain_names(names: Sequence[str]) -> str:
    return ", ".join(name.removesuffix("_bytes") for name in names)


def _grants(args: argparse.Namespace, request: Request) -> Grants:
    """What is granted now. Raises: Refused, where nobody says it."""
    asks, wanted = request.opened.manifest.asks, request.wanted
    if args.grant or args.yes:
        return spelled_out(args.grant, asks, with_a_yes(wanted) if args.yes else Grants())
    if not [*words.asked_lines(wanted)]:
        return Grants()
    if request.before is not None and not is_news(wanted, request.before.asks):
        return Grants()  # the same was asked for before, and not granted
    if args.json or not is_person(sys.stdin) or not is_person(sys.stderr):
        raise Refused(
            f"nobody can be asked here what to grant; `--yes` grants what it asks for, `--grant WHAT` some of it, "
            f"`--grant none` nothing{' more' if request.before is not None else ''}"
        )
    sys.stdout.flush()
    sys.stderr.write("Grant this? [y]es, [n]othing of it, [q]uit: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    if answer in ("y", "yes"):
        return with_a_yes(wanted)
    if answer in ("n", "no", "nothing"):
        return Grants()
    raise Refused("nothing was changed")


def _report(
    args: argparse.Namespace, request: Request, grants: Grants, opened: Opened, config: str, removed: list[str]
) -> None:
    manifest, before = opened.manifest, request.before
    missing = ungranted(manifest.asks, grants) if before is None else _missing(manifest.asks, before, grants)
    if args.json:
        answer = {
            "name": request.name,
            "world": manifest.world,
            "version": manifest.version,
            "file": None if request.shipped else str(opened.path),
            "digest": None if request.shipped else opened.digest,
            "config": config,
            "tools": list(request.tools) if manifest.world == "filter" else [tool.name for tool in manifest.tools],
            "granted": as_table(grants),
            "not_granted": list(missing),
        }
        if before is not None:
            answer["in_vain"] = list(useless(manifest.asks, grants))
            answer["replaced"] = {
                "version": before.version,
                "digest": before.plugin.digest or None,
                "removed_files": removed,
            }
        print(json.dumps(answer, indent=2))
    elif [*words.asked_lines(manifest.asks)]:
        rows = [(f"  {name}", meaning) for name, meaning in words.granted_lines(granted(manifest.asks, grants))]
        print_table([("granted", "" if rows else "nothing"), *rows], "  ")
        _print_lacking(missing, request, grants)
    for file in removed:
        say(f"removed {file}")
    if before is None:
        say(f"added `{request.name}` to {config}")
        return
    if not request.shipped and opened.digest == before.plugin.digest:
        say(f"the file of `{request.name}` is the one that was there before: {opened.digest}")
    lower = ", a lower version" if is_lower(manifest.version, before.version or "") else ""
    said = f"{before.version or 'what was there'} by {manifest.version}{lower}"
    say(clean(f"replaced `{request.name}` in {config}: {said}"))


def _missing(asks: Asks, before: Predecessor, grants: Grants) -> tuple[str, ...]:
    """As `ungranted`, and what of a kind is lacking that the version before did not ask for."""
    wanted = lacking(asks, before.asks, grants)
    return tuple(one.name for one in fields(Asks) if getattr(wanted, one.name))


def _print_lacking(missing: Sequence[str], request: Request, grants: Grants) -> None:
    asks = request.opened.manifest.asks
    writable = {path for path, _ in grants.writable}
    given = {(path, "read") for path, _ in grants.folders} | {
        (path, how) for path in writable for how in ("read", "write")
    }
    for name in missing:
        if name == "folders":
            for path, how in asks.folders:
                if (path, how) in given:
                    continue
                print(f"  not granted: {clean(path)}; name a folder with `--grant {how}:{clean(path)}=DIR`")
        elif name == "http" and "*" in asks.http:
            print("  not granted: http; name the hosts with `--grant http=HOST,...`")
        else:
            print(f"  not granted: {name.removesuffix('_bytes')}")
