"""`tidegate install`: has host applications launch `tidegate connect`, by one entry in their own configuration.

The change is shown, confirmed, and made so that a reader, or a power cut, sees the old file or the new one. All else in
the file keeps its bytes. The old text is kept beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.cli import exit_codes
from tidegate.cli.changed_lines import changed_lines
from tidegate.cli.desktop_hosts import HOSTS, Host, user_places
from tidegate.cli.terminal import clean, complain, is_person, say

ALIAS: Final = "claude"
"""Claude Desktop where it is, else Claude Code."""
NAMES: Final = (*HOSTS, ALIAS)
BACKUPS: Final = 5
"""Older ones of the same file are removed."""
_MAX_BYTES: Final = 16 * 1024 * 1024

_EPILOG = f"""\
examples:
  tidegate install --list                        which hosts are here, and which have it
  tidegate install claude-desktop                show the change, ask, write it
  tidegate install cursor zed --yes              without asking
  tidegate install vscode --project              only for the project in this directory
  tidegate install codex --dry-run               only show it
  tidegate install cursor --remove               take it out again
  tidegate install claude --config ~/tidegate.toml
                                                 a gateway of its own where none runs

The file as it was is kept beside the new one as FILE.TIME.bak, the last {BACKUPS} of them. To bring the other servers
of a host behind the gateway: `tidegate import --from HOST`.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one file."""

    host: str
    path: Path
    before: str | None
    """None: there is none yet."""
    after: str


class Refused(Exception):
    """It cannot be done, and nothing was changed. The message says why, and what to do."""


class _Names(tuple[str, ...]):
    """argparse asks whether no HOST at all is a choice, too."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        return item == [] or super().__contains__(item)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes an entry into the configuration of host applications, so that they launch `tidegate connect`.\n"
        "Shows the change, asks, and keeps a backup."
    )
    parser.epilog = _EPILOG
    parser.add_argument("hosts", nargs="*", metavar="HOST", choices=_Names(NAMES), help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--remove", action="store_true", help="take the entry out again")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show the change and end")
    parser.add_argument("--project", action="store_true", help="the file of the project here, not that of the user")
    parser.add_argument("--file", metavar="FILE", help="this file, for one HOST")
    parser.add_argument("--force", action="store_true", help="also where there is no sign of the host")
    parser.add_argument("--name", default="tidegate", metavar="NAME", help="of the entry (default: %(default)s)")
    parser.add_argument("--unix", metavar="PATH", help="socket of the gateway, if it is not in the usual place")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="configuration for when no gateway runs"
    )
    parser.add_argument("--list", action="store_true", help="list the hosts and end")
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def run(args: argparse.Namespace) -> int:
    if args.list:
        return _list(args)
    hosts = list(dict.fromkeys(_resolved(name) for name in args.hosts))
    if not hosts:
        complain("expected a HOST; `tidegate install --list` shows which are here")
        return exit_codes.USAGE
    if args.file and len(hosts) > 1:
        complain("`--file` goes with one HOST")
        return exit_codes.USAGE
    status = exit_codes.OK
    results = []
    for host in hosts:
        try:
            change = plan(host, args)
            done = _carry_out(change, args)
        except Refused as refused:
            complain(f"{host}: {refused}")
            done, status = "refused", exit_codes.FAILED
        else:
            if done == "declined":
                status = exit_codes.FAILED
        results.append({"host": host, "result": done})
    if args.json:
        print(json.dumps(results, indent=2))
    return status


def plan(host: str, args: argparse.Namespace) -> Change:
    """What would be written. Raises: Refused."""
    known = HOSTS[host]
    path = _file_of(host, known, args)
    before = _read(path)
    from tidegate.config.json_edit import JsonText, NotEditable
    from tidegate.config.toml_edit import TomlText

    try:
        text = (TomlText if known.format == "toml" else JsonText)(before or "")
        if args.remove:
            text.remove((*known.home, args.name))
        else:
            _put(text, (*known.home, args.name), known.entry(command_words(args)))
    except NotEditable as error:
        raise Refused(f"`{path}`, {error}; nothing was changed") from error
    after = text.text if before is not None or not args.remove else ""
    return Change(host, path, before, before if before is not None and args.remove and after == before else after)


def command_words(args: argparse.Namespace) -> list[str]:
    """The command that the host is to start. Absolute: what a desktop starts has not the PATH of a shell."""
    program = Path(sys.argv[0])
    if program.name == "tidegate" and os.access(program, os.X_OK):
        words = [str(program.absolute())]
    elif found := shutil.which("tidegate"):
        words = [str(Path(found).absolute())]
    else:
        words = [sys.executable, "-m", "tidegate"]
    words.append("connect")
    socket = args.unix or os.environ.get("TIDEGATE_SOCKET")
    if socket:
        words += ["--unix", str(Path(socket).absolute())]
    for file in args.config:
        words += ["--config", str(Path(file).absolute())]
    return words


def _put(text: Any, path: tuple[str, ...], entry: dict[str, Any]) -> None:
    """Whatever else a person wrote into the entry stays."""
    from tidegate.config.toml_edit import TomlText

    there = text.get(path)
    if isinstance(text, TomlText):
        if not isinstance(there, dict) or not there.items() >= entry.items():
            text.set(path, entry)
    elif not isinstance(there, dict):
        text.set(path, entry)
    else:
        for key, value in entry.items():
            if there.get(key) != value and not (key in ("env", "enabled") and key in there):
                text.set((*path, key), value)


def _resolved(name: str) -> str:
    if name != ALIAS:
        return name
    desktop = any(Path(place).parent.is_dir() for place in user_places("claude-desktop"))
    return "claude-desktop" if desktop else "claude-code"


def _file_of(host: str, known: Host, args: argparse.Namespace) -> Path:
    """Raises: Refused."""
    if args.file:
        return Path(args.file).absolute()
    if args.project:
        if not known.project:
            raise Refused(f"{known.title} has no file of a project; leave `--project` out")
        return Path(known.project).absolute()
    places = [Path(place) for place in user_places(host)]
    found = next((place for place in places if place.exists()), None)
    found = found or next((place for place in places if _is_here(place)), None)
    if found is None and not args.force:
        listed = ", ".join(f"`{place}`" for place in places)
        raise Refused(f"no sign of {known.title} here; looked for {listed}. `--force` writes the first all the same")
    return found or places[0]


def _is_here(place: Path) -> bool:
    """A directory of its own is there, even if the file is not yet."""
    return place.parent.is_dir() and place.parent != Path.home()


def _read(path: Path) -> str | None:
    """Raises: Refused."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"`{path}` is no file")
        if found.st_size > _MAX_BYTES:
            raise Refused(f"`{path}` has over {_MAX_BYTES} bytes, which is no configuration")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        if path.is_symlink():
            raise Refused(f"`{path}` is a link to nothing; mend it first") from None
        return None
    except OSError as error:
        raise Refused(f"`{path}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"`{path}` is no UTF-8 text, at byte {error.start}") from error


def _carry_out(change: Change, args: argparse.Namespace) -> str:
    """Shows, asks, writes. Raises: Refused."""
    title = HOSTS[change.host].title
    if change.before == change.after or (change.before is None and args.remove):
        say(f"{title}: {'it is not in' if args.remove else 'nothing to change in'} {change.path}")
        return "unchanged"
    for line in changed_lines(change.before or "", change.after, str(change.path)):
        (say if args.json else _print)(line)
    if args.dry_run:
        return "shown"
    if not args.yes and not _agreed(change):
        say("nothing was changed")
        return "declined"
    backup = write(change)
    say(f"{title}: wrote {change.path}" + (f"; as it was: {backup.name}" if backup else ""))
    if not args.remove:
        say(f"{title}: {HOSTS[change.host].restart}")
    return "removed" if args.remove else "installed"


def write(change: Change) -> Path | None:
    """Puts it into place; returns the backup. Raises: Refused, and then nothing has changed."""
    from tidegate.config.atomic_file import write_atomically

    try:
        change.path.parent.mkdir(parents=True, exist_ok=True)
        backup = _keep(change)
        if _read(change.path) != change.before:
            raise Refused(f"`{change.path}` was changed by somebody else meanwhile; try again")
        write_atomically(str(change.path), change.after)
    except OSError as error:
        raise Refused(f"`{error.filename or change.path}` cannot be written: {error.strerror}") from error
    return backup


def _keep(change: Change) -> Path | None:
    """The text as it was, beside the file itself, for its owner only. Raises: OSError."""
    if change.before is None:
        return None
    from datetime import UTC, datetime

    from tidegate.config.atomic_file import write_atomically

    target = change.path.resolve()
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    backup = target.with_name(f"{target.name}.{moment}.bak")
    write_atomically(str(backup), change.before, private=True)
    pattern = re.compile(re.escape(target.name) + r"\.\d{8}-\d{6}-\d{6}\.bak")
    kept = sorted(place for place in target.parent.iterdir() if pattern.fullmatch(place.name))
    for old in kept[:-BACKUPS]:
        old.unlink(missing_ok=True)
    return backup


def _agreed(change: Change) -> bool:
    """Raises: Refused, where nobody can be asked."""
    if not is_person(sys.stdin) or not is_person(sys.stderr):
        raise Refused("nobody can be asked here; `--yes` writes without asking, `--dry-run` only shows")
    sys.stdout.flush()
    sys.stderr.write(f"Write {clean(str(change.path))}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print(line: str) -> None:
    print(clean(line))


def _list(args: argparse.Namespace) -> int:
    rows = [*_rows(args)]
    if args.json:
        print(json.dumps(rows, indent=2))
        return exit_codes.OK
    from tidegate.cli.terminal import print_table

    head = ("HOST", "HERE", "HAS IT", "FILE")
    table = [(row["host"], *("yes" if row[key] else "-" for key in ("here", "installed")), row["file"]) for row in rows]
    print_table([head, *(tuple(clean(str(cell)) for cell in row) for row in table)])
    return exit_codes.OK


def _rows(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from tidegate.config.json_edit import JsonText, NotEditable
    from tidegate.config.toml_edit import TomlText

    for host, known in HOSTS.items():
        places = [Path(place) for place in user_places(host)]
        file = next((place for place in places if place.exists()), None)
        has_it = False
        if file is not None:
            try:
                text = (TomlText if known.format == "toml" else JsonText)(_read(file) or "")
                has_it = text.get((*known.home, args.name)) is not None
            except (Refused, NotEditable):
                has_it = False
        here = file is not None or any(_is_here(place) for place in places)
        yield {
            "host": host,
            "title": known.title,
            "here": here,
            "installed": has_it,
            "file": str(file or next((place for place in places if _is_here(place)), places[0])),
        }
