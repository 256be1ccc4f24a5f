"""`tidegate status`: how the running gateway is, in words first and then in tables; once, or again and again.

Asked of the admin listener, which tells everything that is counted; the sockets of clients tell none of it, so
that a client learns nothing about the others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from tidegate.cli import admin_listener, exit_codes, status_tables
from tidegate.cli.admin_listener import NobodyThere, Unanswered
from tidegate.cli.colours import Line, Span, colours_on, painted
from tidegate.cli.gateway_facts import Gateway, read
from tidegate.cli.layout import wrap
from tidegate.cli.screen import Screen, watched
from tidegate.cli.status_words import sentences
from tidegate.cli.stretch import stretch
from tidegate.cli.terminal import MIN_COLUMNS, columns, json_text, one_line, spell_unencodable

_LEAST_INTERVAL_S: Final = 0.2
_WATCH_TIMEOUT_S: Final = 2.0

_EPILOG = f"""\
examples:
  tidegate status
  tidegate status --watch
  tidegate status --admin http://127.0.0.1:18809
  tidegate status --json | jq '.backends[] | [.backend, .slots[].state]'

{admin_listener.WHERE}
`--watch` waits through a restart of the gateway; `q` or Ctrl-C ends it.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NO_DAEMON, exit_codes.BACKEND)}

Exit code {exit_codes.BACKEND} means that it runs, and that a backend cannot be reached."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say how the running gateway is: what is up, what is not and why, and what is being done about it; then every\n"
        "backend, its processes and last words, who shares it, sessions and limits."
    )
    parser.epilog = _EPILOG
    admin_listener.add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print everything, as JSON")
    parser.add_argument("--watch", action="store_true", help="show it again and again, in place")
    parser.add_argument(
        "--interval", type=seconds, default=2.0, metavar="SECONDS", help="between two looks (default: %(default)g)"
    )


def seconds(text: str) -> float:
    value = float(text)
    if not _LEAST_INTERVAL_S <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected {_LEAST_INTERVAL_S:g} to 3600 seconds")
    return value


def run(args: argparse.Namespace) -> int:
    spell_unencodable()
    where = admin_listener.address(args)
    if args.watch and not args.json:
        return _watch(where, args.interval)
    try:
        statistics, text = admin_listener.ask(where, "/status", "backends")
    except Unanswered as error:
        return error.complain()
    found = read(statistics)
    if args.json:
        print(json_text(text.rstrip()))
    else:
        room = columns()
        room = None if room is None else max(room, MIN_COLUMNS)
        colours = colours_on(sys.stdout)
        for line in picture(statistics, found, room):
            print(painted(line, room, colours=colours))
    return exit_codes.OK if all(backend.works for backend in found.backends) else exit_codes.BACKEND


def picture(statistics: Mapping[str, Any], found: Gateway, room: int | None) -> list[Line]:
    """Everything, for a window of so many columns."""
    lines = list(status_tables.words(sentences(found), room))
    for part in (status_tables.backends(found, room), list(status_tables.stderr(found, room))):
        if part:
            lines += [[], *part]
    lines += [[], *status_tables.gateway(found, room)]
    return [*lines, *status_tables.sharing(statistics, room)]


def _watch(where: str, interval_s: float) -> int:
    screen = Screen()
    waiting = Absence(where)

    def look(key: str) -> list[Line]:
        room = screen.size()[0]
        try:
            statistics, _ = admin_listener.ask(where, "/status", "backends", _WATCH_TIMEOUT_S)
        except NobodyThere as error:
            return waiting.lines(error, room)
        found = read(statistics)
        return [*waiting.over(found.pid), *picture(statistics, found, room)]

    try:
        # Not there at all: rather a wrong address than a restart.
        admin_listener.ask(where, "/status", "backends", _WATCH_TIMEOUT_S)
        number = watched(screen, look, interval_s)
    except Unanswered as error:
        return error.complain()
    return 128 + number if number else exit_codes.OK


class Absence:
    """What a watcher says while no gateway answers, and when one does again."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._since_s: float | None = None
        self._pid: int | None = None
        self._note = ""

    def lines(self, error: NobodyThere, room: int | None) -> list[Line]:
        if self._since_s is None:
            self._since_s = time.monotonic()
        where, gone = one_line(self._where), stretch(time.monotonic() - self._since_s)
        text = f"No gateway has answered at `{where}` for {gone} ({one_line(error.why)}). Waiting for it."
        return [[Span(line, "bad")] for line in wrap(text, room or 10**9)]

    def over(self, pid: int | None) -> list[Line]:
        """A line on top as long as it is news that the gateway is another one."""
        if self._since_s is not None or (self._pid is not None and pid != self._pid):
            again = "is a new process" if self._pid is not None and pid != self._pid else "answers again"
            self._note = time.strftime(f"The gateway {again} since %H:%M:%S.")
            self._since_s = None
        self._pid = pid
        return [[Span(self._note, "note")]] if self._note else []
