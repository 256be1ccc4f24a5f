"""`tidegate serve`: the daemon in the foreground."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from tidegate.cli import exit_codes
from tidegate.config.snapshot import Snapshot
from tidegate.control.telemetry.console import LEVELS

_EPILOG = f"""\
When it is ready it prints one line of JSON: the process id and every address it listens on. Without --config it
starts on its embedded default: loopback only, no account, and one server of its own that tells facts of this box.

examples:
  tidegate serve
  tidegate serve --config tidegate.toml --http 127.0.0.1:8808
  tidegate serve --config ~/.config/Claude/claude_desktop_config.json
  tidegate serve --http 127.0.0.1:0 --tcp 127.0.0.1:0     port 0 picks a free one

{exit_codes.describe(exit_codes.OK, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run the gateway in the foreground until SIGTERM or Ctrl-C."
    parser.epilog = _EPILOG
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="tidegate.toml, or the mcpServers JSON of a desktop host; may be given several times",
    )
    parser.add_argument(
        "--http",
        action="append",
        default=[],
        metavar="ADDR",
        help="listen for Streamable HTTP and HTTP+SSE on host:port",
    )
    parser.add_argument(
        "--tcp", action="append", default=[], metavar="ADDR", help="listen for newline-delimited JSON-RPC on host:port"
    )
    parser.add_argument("--unix", metavar="PATH", help="listen on a unix socket; an empty PATH turns it off")
    parser.add_argument("--admin", metavar="ADDR", help="health, metrics and status on host:port; empty turns it off")
    parser.add_argument(
        "--allow-public", action="store_true", help="bind non-loopback addresses although nobody needs a token"
    )
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=LEVELS,
        help="lines on stderr (default: %(default)s)",
    )
    parser.add_argument(
        "--no-relay",
        action="store_true",
        help="decide every call in Python, whatever the file says of `relay`",
    )
    parser.add_argument(
        "--no-watch",
        action="store_true",
        help="take up a changed file only on SIGHUP or `tidegate reload`, not by itself",
    )
    parser.add_argument("--hint", action="store_true", help="also print, on stderr, a line to paste that calls a tool")


def run(args: argparse.Namespace) -> int:
    from tidegate.daemon import run as run_loop
    from tidegate.daemon import serve, set_up_logging

    set_up_logging(args.log_level)

    async def main() -> None:
        from tidegate.config.read import Source

        source = Source(args.config, lambda snapshot: with_flags(snapshot, args))
        await serve(source, announce, watch=not args.no_watch)

    def announce(fields: dict[str, object]) -> None:
        from tidegate.daemon import print_line

        print_line(fields)
        if args.hint:
            print(_hint(fields), file=sys.stderr, flush=True)

    run_loop(main)
    return exit_codes.OK


def with_flags(snapshot: Snapshot, args: argparse.Namespace) -> Snapshot:
    """Flags win over the file."""
    listen = snapshot.listen
    if args.http:
        listen = replace(listen, http=tuple(args.http))
    if args.tcp:
        listen = replace(listen, tcp=tuple(args.tcp))
    if args.unix is not None:
        listen = replace(listen, unix=args.unix)
    if args.admin is not None:
        listen = replace(listen, admin=args.admin)
    if args.allow_public:
        listen = replace(listen, allow_public=True)
    return replace(snapshot, listen=listen, relay=snapshot.relay and not args.no_relay)


def _hint(fields: dict[str, object]) -> str:
    http = fields.get("http")
    lines = ["", "tidegate is ready. Clients come in by"]
    for key in ("http", "tcp", "unix", "admin"):
        value = fields.get(key)
        if value:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"  {key:6} {shown}")
    if isinstance(http, list) and http:
        lines.append("Paste this into another terminal to call a tool through it:")
        lines.append(f"  {_command()} call overview --http {http[0]}")
    return "\n".join(lines)


def _command() -> str:
    """How this very program is called again, from any folder."""
    if shutil.which("tidegate"):
        return "tidegate"
    program = Path(sys.argv[0]).absolute()
    return f"{sys.executable} -m tidegate" if program.suffix == ".py" else str(program)
