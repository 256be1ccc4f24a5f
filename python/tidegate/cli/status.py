"""`tidegate status`: how the running gateway is, in words first and then in tables; once, or again and again.

Asked of the admin listener, which tells everything that is counted; the sockets of clients tell none of it, so
that a client learns nothing about the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from tidegate.cli import admin_listener, exit_codes, flows, status_tables
from tidegate.cli.admin_listener import NobodyThere, Unanswered
from tidegate.cli.colours import Line, colours_on, painted
from tidegate.cli.gateway_facts import Gateway, read
from tidegate.cli.model.running import models
from tidegate.cli.screen import Screen
from tidegate.cli.sharing import sharing
from tidegate.cli.status_words import sentences
from tidegate.cli.terminal import MIN_COLUMNS, columns, json_text, spell_unencodable
from tidegate.cli.watching import TIMEOUT_S, Absence, add_interval, watched
from tidegate.control.telemetry.backend_state import dicts

_EPILOG = f"""\
examples:
  tidegate status
  tidegate status --watch
  tidegate status --flows
  tidegate status --admin http://127.0.0.1:18809
  tidegate status --json | jq '.backends[] | [.backend, .slots[].state]'

{admin_listener.WHERE}
`--watch` waits through a restart of the gateway; `q` or Ctrl-C ends it.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NO_DAEMON, exit_codes.BACKEND)}

Exit code {exit_codes.BACKEND} means that it runs, and that a backend cannot be reached."""

_STATUS: Final = "/status", "backends"
_FLOWS: Final = "/flows", "rows"
"""The pages, each with a member by which it is known."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say how the running gateway is: what is up, what is not and why, and what is being done about it; then every\n"
        "backend, its processes and last words, who shares it, sessions and limits."
    )
    parser.epilog = _EPILOG
    admin_listener.add_argument(parser)
    parser.add_argument("--flows", action="store_true", help="show what the relay repeats, and for whom, instead")
    parser.add_argument("--json", action="store_true", help="print everything, as JSON")
    parser.add_argument("--watch", action="store_true", help="show it again and again, in place")
    add_interval(parser, "between two looks")


def run(args: argparse.Namespace) -> int:
    spell_unencodable()
    where = admin_listener.address(args.admin)
    page = _FLOWS if args.flows else _STATUS
    if args.watch and not args.json:
        return _watch(where, page, args.interval)
    try:
        statistics, text = admin_listener.ask(where, *page)
    except Unanswered as error:
        return error.complain()
    if args.json:
        print(json_text(text.rstrip()))
    else:
        room = columns()
        room = None if room is None else max(room, MIN_COLUMNS)
        colours = colours_on(sys.stdout)
        for line in flows.picture(statistics, room) if args.flows else picture(statistics, read(statistics), room):
            print(painted(line, room, colours=colours))
    if args.flows:
        return exit_codes.OK
    found = read(statistics)
    return exit_codes.OK if all(backend.works for backend in found.backends) else exit_codes.BACKEND


def picture(statistics: Mapping[str, Any], found: Gateway, room: int | None) -> list[Line]:
    """Everything, for a window of so many columns."""
    lines = list(status_tables.words(sentences(found), room))
    for part in (
        status_tables.backends(found, room),
        models(found, room),
        list(status_tables.stderr(found, room)),
    ):
        if part:
            lines += [[], *part]
    lines += [[], *status_tables.gateway(found, room)]
    return [*lines, *sharing(dicts(statistics.get("backends")), room)]


def _watch(where: str, page: tuple[str, str], interval_s: float) -> int:
    screen = Screen()
    waiting = Absence(where)

    def look(key: str) -> list[Line]:
        room = screen.size()[0]
        try:
            statistics, _ = admin_listener.ask(where, *page, TIMEOUT_S)
        except NobodyThere as error:
            return waiting.lines(error, room)
        if page is _FLOWS:
            return [*waiting.over(None), *flows.picture(statistics, room)]
        found = read(statistics)
        return [*waiting.over(found.pid), *picture(statistics, found, room)]

    try:
        # Not there at all: rather a wrong address than a restart.
        admin_listener.ask(where, *page, TIMEOUT_S)
        number = watched(screen, look, interval_s)
    except Unanswered as error:
        return error.complain()
    return 128 + number if number else exit_codes.OK
