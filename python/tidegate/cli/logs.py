"""`tidegate logs`: the last lines that the gateway and its servers logged, and new ones as they come.

The gateway keeps the lines of a while (`control/telemetry/log_ring.py`), so no file and no rights on a journal are
needed to read them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from typing import Any, Final
from urllib.parse import urlencode

from tidegate.cli import admin_listener, exit_codes
from tidegate.cli.admin_listener import NobodyThere, Unanswered
from tidegate.cli.colours import Span, Style, colours_on, painted
from tidegate.cli.plain_values import number, text
from tidegate.cli.terminal import clean, json_text, say, spell_unencodable
from tidegate.control.telemetry.console import LEVELS

_STYLES: Final[dict[str, Style]] = {"warning": "note", "error": "bad", "critical": "bad", "debug": "dim"}
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_RETRY_S: Final = 1.0
_OWN: Final = "tidegate."

_EPILOG = f"""\
{admin_listener.WHERE}
A line is: time, level, whose it is (a backend, or the part of the gateway that says it), text. What a server
prints on stderr is of level info. `--follow` waits through a restart of the gateway; Ctrl-C ends it.

examples:
  tidegate logs --backend files                what it printed, and what became of it
  tidegate logs --follow --level warning
  tidegate logs --since 10min --json

{admin_listener.EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show the last lines that the gateway and its servers logged."
    parser.epilog = _EPILOG
    admin_listener.add_argument(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="go on with new lines as they come")
    parser.add_argument("--backend", metavar="NAME", help="only what is about this backend")
    parser.add_argument(
        "--level", choices=LEVELS, default="debug", help="from this level on (default: all that is kept)"
    )
    parser.add_argument(
        "--since", type=_ago, default=None, metavar="TIME", help="not older than that: 90s, 10min, 2h, 1d"
    )
    parser.add_argument(
        "--lines", "-n", type=_lines, default=None, metavar="N", help="at most N of those kept (default: 100)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line, as the gateway sends it")


def run(args: argparse.Namespace) -> int:
    spell_unencodable()
    where = admin_listener.address(args.admin)
    try:
        if args.follow:
            _follow(where, args)
        else:
            printer = _Printer(as_json=args.json)
            for line in admin_listener.ask_text(where, _path(args, follow=False)).splitlines():
                printer.print(line)
            if not printer.printed and not args.json:
                say("tidegate: no line that fits is kept")
    except Unanswered as error:
        return error.complain()
    return exit_codes.OK


def _follow(where: str, args: argparse.Namespace) -> None:
    """Never returns but by an error that waiting does not mend. Raises: Unanswered."""
    printer = _Printer(as_json=args.json)
    path = _path(args, follow=True)
    connected = False
    while True:
        try:
            for line in admin_listener.lines_of(where, path):
                if not connected and printer.waited:
                    say("tidegate: it answers again")
                connected = True
                printer.waited = False
                printer.print(line)
        except NobodyThere as error:
            if not connected and not printer.waited:
                # It has not been there at all: rather a wrong address than a restart.
                raise
            why = error.why
        else:
            why = "it has ended"
        if not printer.waited:
            say(f"tidegate: no gateway answers at `{where}` ({why}); waiting for it")
        printer.waited = True
        connected = False
        time.sleep(_RETRY_S)
        # What was printed is not asked for again.
        since_s = max(0.0, time.time() - printer.last_s) if printer.last_s else 0.0
        path = _path(args, follow=True, since_s=since_s, lines=10_000)


def _path(args: argparse.Namespace, *, follow: bool, since_s: float | None = None, lines: int | None = None) -> str:
    query: dict[str, object] = {"level": args.level, "lines": lines or args.lines or (10 if follow else 100)}
    if args.lines == 0 and lines is None:
        query["lines"] = 0
    if args.backend is not None:
        query["backend"] = args.backend
    if since_s is None and args.since is not None:
        since_s = args.since
        if args.lines is None:
            query["lines"] = 10_000
    if since_s is not None:
        query["since_s"] = f"{since_s:.3f}"
    if follow:
        query["follow"] = 1
    return f"/logs?{urlencode(query)}"


class _Printer:
    """Prints lines of JSON as lines for a person, or as they came."""

    def __init__(self, *, as_json: bool) -> None:
        self.printed = 0
        self.last_s = 0.0
        """Time of the newest line that was printed."""
        self.waited = False
        self._as_json = as_json
        self._colours = colours_on(sys.stdout)
        self._day = ""

    def print(self, line: str) -> None:
        """A blank line is a sign of life, and shows nothing."""
        if not line.strip():
            return
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            return
        if (time_s := number(row.get("time_s"))) is not None:
            self.last_s = max(self.last_s, time_s)
        if self._as_json:
            print(json_text(line), flush=True)
        else:
            self._print_row(row, time_s)
        self.printed += 1

    def _print_row(self, row: dict[str, Any], time_s: float | None) -> None:
        lost = number(row.get("lost"))
        if lost is not None:
            print(
                painted(
                    [Span(f"... {lost:.0f} lines were lost: they came faster than they were read", "note")],
                    None,
                    colours=self._colours,
                ),
                flush=True,
            )
            return
        moment = time.localtime(min(time_s or 0.0, 2**33))
        day = time.strftime("%Y-%m-%d", moment)
        if day != self._day:
            self._day = day
            print(painted([Span(day, "dim")], None, colours=self._colours))
        level = text(row.get("level"))
        whose = text(row.get("backend")) or text(row.get("logger")).removeprefix(_OWN)
        first, *rest = clean(str(row.get("text", ""))).split("\n")
        style: Style = _STYLES.get(level, "")
        spans = [
            Span(time.strftime("%H:%M:%S", moment), "dim"),
            Span(f" {level:<7} ", style),
            Span(whose, "bold"),
            Span(f": {_without_repetition(first, row)}"),
        ]
        print(painted(spans, None, colours=self._colours))
        for more in rest:
            print(f"    {more}")
        sys.stdout.flush()


def _without_repetition(line: str, row: dict[str, Any]) -> str:
    """Without the name that stands before it."""
    backend = text(row.get("backend"))
    return re.sub(rf" backend={re.escape(backend)}(?= |$)", "", line) if backend else line


def _ago(value: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)?", value)
    if match is None:
        raise argparse.ArgumentTypeError("expected a time such as 90s, 10min, 2h or 1d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _lines(value: str) -> int:
    if not value.isdecimal() or int(value) > 1_000_000:
        raise argparse.ArgumentTypeError("expected how many lines, 0 or more")
    return int(value)
