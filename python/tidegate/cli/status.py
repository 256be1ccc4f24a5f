"""`tidegate status`: what the running gateway is doing.

Asked of the admin listener, which tells everything that is counted; the sockets of clients tell none of it, so
that a client learns nothing about the others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tidegate.cli import exit_codes
from tidegate.cli.sharing import sharing_lines
from tidegate.cli.terminal import clean, complain, json_text, one_line, print_table
from tidegate.config.embedded import ADMIN_ADDRESS
from tidegate.host.phrase import duration

ADMIN_VARIABLE: Final = "TIDEGATE_ADMIN"
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 16 * 1024 * 1024

_EPILOG = f"""\
It asks the admin listener: `--admin`, else ${ADMIN_VARIABLE}, else {ADMIN_ADDRESS}, where `tidegate serve` puts it.
A gateway with another `listen.admin` prints the address when it is ready.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NO_DAEMON, exit_codes.BACKEND)}

Exit code {exit_codes.BACKEND} means that it runs, and that a backend cannot be reached."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show what the running gateway is doing: listeners, sessions, every backend, and who shares it."
    )
    parser.epilog = _EPILOG
    parser.add_argument("--admin", metavar="URL", help=f"its admin listener (default: http://{ADMIN_ADDRESS})")
    parser.add_argument("--json", action="store_true", help="print everything, as JSON")


def run(args: argparse.Namespace) -> int:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    given = args.admin or os.environ.get(ADMIN_VARIABLE) or ADMIN_ADDRESS
    try:
        status, text = _fetch(given)
    except ValueError as error:
        complain(str(error))
        return exit_codes.USAGE
    except OSError as error:
        complain(
            f"no gateway answers at `{given}`: {error.strerror or error}; start one with `tidegate serve`, or name "
            "its admin listener with `--admin URL`"
        )
        return exit_codes.NO_DAEMON
    try:
        statistics = json.loads(text) if status == 200 else None
    except (ValueError, RecursionError):
        statistics = None
    if not isinstance(statistics, dict) or "backends" not in statistics:
        complain(f"`{given}` answered with HTTP status {status}, and not as an admin listener of tidegate does")
        return exit_codes.FAILED
    if args.json:
        print(json_text(text.rstrip()))
    else:
        _print(statistics)
    down = any(_state(backend) == "down" for backend in _dicts(statistics.get("backends")))
    return exit_codes.BACKEND if down else exit_codes.OK


def _fetch(given: str) -> tuple[int, str]:
    """(HTTP status, body) of its `/status`. Raises: OSError; ValueError for what is no URL."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(given if "://" in given else f"http://{given}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL such as `http://{ADMIN_ADDRESS}`, got `{given}`")
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = make(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/status", headers={"accept": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(_MAX_BYTES).decode("utf-8", "replace")
    except HTTPException as error:
        raise OSError(f"it does not speak HTTP: {error!r}") from error
    finally:
        connection.close()


def _print(statistics: dict[str, Any]) -> None:
    connections = statistics.get("connections")
    rows = [
        ("up for", f"{duration(_number(statistics.get('uptime_s')))} (pid {statistics.get('pid')})"),
        ("version", str(statistics.get("version", "?"))),
    ]
    listen = statistics.get("listen")
    if isinstance(listen, Mapping):
        for name, where in listen.items():
            rows.append((str(name), ", ".join(map(str, where)) if isinstance(where, list) else str(where)))
    if isinstance(connections, Mapping):
        refused = connections.get("refused_total")
        more = f", {refused} refused so far" if refused else ""
        rows.append(("connections", f"{connections.get('open')} of {connections.get('limit')}{more}"))
    rows += [
        ("sessions", str(statistics.get("sessions"))),
        ("subscriptions", str(statistics.get("listeners"))),
        ("in flight", str(statistics.get("in_flight"))),
    ]
    suspended = statistics.get("suspended")
    if isinstance(suspended, Mapping):
        rows.append(("awaiting answers", f"{suspended.get('calls')} of {suspended.get('limit')}"))
    print_table((clean(name), one_line(value)) for name, value in rows)
    backends = _dicts(statistics.get("backends"))
    if not backends:
        return
    print()
    head = ("BACKEND", "STATE", "BY", "SPEAKS", "READY", "TOOLS", "IN FLIGHT", "RESTARTS")
    print_table([head, *[_row(backend) for backend in backends]])
    for backend in backends:
        shared = list(sharing_lines(backend, _dicts(backend.get("slots"))))
        if shared:
            print("\n" + "\n".join(shared))
    for backend in backends:
        name = one_line(str(backend.get("backend")))
        slots = _dicts(backend.get("slots"))
        errors = dict.fromkeys(one_line(str(slot["error"])) for slot in slots if slot.get("error"))
        warnings = dict.fromkeys(one_line(str(line)) for slot in slots for line in _list(slot.get("warnings")))
        for word, lines in (("last error", errors), ("warning", warnings)):
            for line in lines:
                print(f"\n{name}: {word}: {line}")


def _row(backend: dict[str, Any]) -> tuple[str, ...]:
    slots = _dicts(backend.get("slots"))
    ready = [slot for slot in slots if slot.get("state") == "ready"]
    revisions = dict.fromkeys(str(slot.get("revision")) for slot in ready)
    tools = max((_tools(slot) for slot in ready), default=None)
    cells = (
        backend.get("backend"),
        _state(backend),
        backend.get("transport"),
        ", ".join(revisions) or "-",
        f"{len(ready)}/{len(slots)}",
        "-" if tools is None else tools,
        sum(int(_number(slot.get("in_flight"))) for slot in slots),
        sum(int(_number(slot.get("restarts"))) for slot in slots),
    )
    return tuple(one_line(str(cell)) for cell in cells)


def _state(backend: dict[str, Any]) -> str:
    """The best that one of its slots has to offer; `idle` before it is first needed."""
    states = [slot.get("state") for slot in _dicts(backend.get("slots"))]
    return next((state for state in ("ready", "starting", "down") if state in states), "idle")


def _tools(slot: dict[str, Any]) -> int:
    offers = slot.get("offers")
    return int(_number(offers.get("tools"))) if isinstance(offers, dict) else 0


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
