"""`tidegate top`: what goes on in the running gateway, as it goes on.

Reads `/activity` of the admin listener again and again; rates and percentiles are of the time between two readings,
so the gateway has nothing to do for it between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from tidegate.cli import admin_listener, exit_codes
from tidegate.cli.admin_listener import NobodyThere, Unanswered
from tidegate.cli.colours import Line, Span, colours_on, painted
from tidegate.cli.screen import Screen
from tidegate.cli.terminal import columns, json_text, spell_unencodable
from tidegate.cli.top_rates import Activity, Calls, between
from tidegate.cli.top_tables import ORDERS, frame
from tidegate.cli.watching import TIMEOUT_S, Absence, add_interval, watched

_KEYS = ", ".join(f"{key} {order}" for key, order in ORDERS.items())

_EPILOG = f"""\
examples:
  tidegate top
  tidegate top --sort latency --interval 5
  tidegate top --once                          one picture, for a log or a mail
  tidegate top --json

{admin_listener.WHERE}
Keys: q ends it; rows in order of: {_KEYS}.
p50 and p99: half, or 99 of 100, of the calls took at most so long, from their arrival to the end of their answer.
The first picture counts from the start of the gateway. Names beyond the first 50 of a backend are shown as `other`.

{admin_listener.EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Watch the running gateway: calls, errors and latencies by backend and tool, processes, memory, queues."
    )
    parser.epilog = _EPILOG
    admin_listener.add_argument(parser)
    parser.add_argument("--once", action="store_true", help="print one picture, of one interval, and end")
    parser.add_argument("--json", action="store_true", help="print one picture, of one interval, as JSON, and end")
    add_interval(parser, "between two readings")
    parser.add_argument("--sort", choices=tuple(ORDERS.values()), default="calls", help="order of the rows")


def run(args: argparse.Namespace) -> int:
    spell_unencodable()
    where = admin_listener.address(args.admin)
    try:
        if args.once or args.json:
            _print_one(where, args)
            return exit_codes.OK
        number = _watch(where, args)
    except Unanswered as error:
        return error.complain()
    return 128 + number if number else exit_codes.OK


def _print_one(where: str, args: argparse.Namespace) -> None:
    """Raises: Unanswered."""
    first, _ = admin_listener.ask(where, "/activity", "calls", TIMEOUT_S)
    began_s = time.monotonic()
    time.sleep(args.interval)
    second, _ = admin_listener.ask(where, "/activity", "calls", TIMEOUT_S)
    activity = between(first, second, time.monotonic() - began_s)
    if args.json:
        print(json_text(json.dumps(as_json(activity), indent=2)))
        return
    room = columns()
    for line in frame(activity, room, None, args.sort):
        print(painted(line, room, colours=colours_on(sys.stdout)))


def as_json(activity: Activity) -> dict[str, Any]:
    """The same numbers, for a program."""

    def shown(calls: Calls) -> dict[str, Any]:
        return {
            "calls": calls.count,
            "errors": calls.errors,
            "calls_per_s": round(calls.per_s, 3),
            "errors_per_s": round(calls.errors_per_s, 3),
            "p50_s": calls.percentile_s(0.5),
            "p99_s": calls.percentile_s(0.99),
        }

    return {
        "version": activity.version,
        "seconds": round(activity.seconds, 3),
        "uptime_s": activity.uptime_s,
        "gateway": asdict(activity.gateway),
        "sessions": activity.sessions,
        "listeners": activity.listeners,
        "in_flight": activity.in_flight,
        "connections": asdict(activity.connections),
        "refused": activity.refused,
        "total": shown(activity.total),
        "backends": [
            {
                "backend": server.name,
                "state": server.state,
                "up": server.up,
                "in_flight": asdict(server.in_flight),
                "queued": asdict(server.queued),
                "restarts": server.restarts,
                **shown(server.calls),
            }
            for server in activity.servers
        ],
        "tools": [{"backend": calls.backend, "tool": calls.tool, **shown(calls)} for calls in activity.tools],
        "children": [asdict(child) for child in activity.children],
    }


def _watch(where: str, args: argparse.Namespace) -> int:
    """Raises: Unanswered."""
    screen = Screen()
    watcher = _Watcher(where, screen, args.sort)
    # Not there at all: rather a wrong address than a restart.
    admin_listener.ask(where, "/activity", "calls", TIMEOUT_S)
    return watched(screen, watcher.picture, args.interval)


class _Watcher:
    """Keeps the reading before the last one."""

    def __init__(self, where: str, screen: Screen, order: str) -> None:
        self._where = where
        self._screen = screen
        self._order = order
        self._before: dict[str, Any] = {}
        self._before_s = 0.0
        self._activity: Activity | None = None
        self._absence = Absence(where)

    def picture(self, key: str) -> list[Line]:
        room, rows = self._screen.size()
        if key:
            # The same numbers in another order: rates need their time.
            self._order = ORDERS.get(key.lower(), self._order)
            return [] if self._activity is None else self._frame(room, rows, [])
        try:
            reading, _ = admin_listener.ask(self._where, "/activity", "calls", TIMEOUT_S)
        except NobodyThere as error:
            self._before, self._activity = {}, None
            return self._absence.lines(error, room)
        now_s = time.monotonic()
        self._activity = between(self._before, reading, now_s - self._before_s)
        self._before, self._before_s = reading, now_s
        return self._frame(room, rows, self._absence.over(self._activity.gateway.pid))

    def _frame(self, room: int | None, rows: int | None, note: list[Line]) -> list[Line]:
        assert self._activity is not None
        keys: list[Line] = [[Span(f"q end, order: {_KEYS}", "dim")]] if rows is not None else []
        body = frame(self._activity, room, None if rows is None else rows - len(note) - 1, self._order)
        if rows is not None:
            body += [[]] * (rows - len(note) - len(body) - 1)
        return [*note, *body, *keys]
