"""`tidegate connect`: MCP on stdin and stdout, for a host application to launch.

Joins the running daemon over its unix socket and passes bytes through; where none runs, or on request, it is
a gateway of its own for as long as stdin is open.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from collections.abc import Callable

from tidegate.cli import exit_codes
from tidegate.control.telemetry.console import LEVELS

_CHUNK_BYTES = 256 * 1024

_EPILOG = f"""\
examples:
  tidegate connect                                   the running gateway; where none runs, a private one
  tidegate connect --standalone --config tidegate.toml

In the configuration of a desktop host, as `tidegate install HOST` writes it:
  {{"mcpServers": {{"tidegate": {{"command": "tidegate", "args": ["connect"]}}}}}}

It exits as soon as stdin is closed, and leaves nothing behind.

{exit_codes.describe(exit_codes.OK, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Speak MCP on stdin and stdout, through the running gateway or a private one."
    parser.epilog = _EPILOG
    parser.add_argument("--standalone", action="store_true", help="do not look for a running gateway")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="configuration of the private gateway"
    )
    parser.add_argument("--unix", metavar="PATH", help="the running gateway's socket, if it is not in the usual place")
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=LEVELS,
        help="of the private gateway (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    if not args.standalone:
        daemon = find_daemon(args.unix)
        if daemon is not None:
            if args.config:
                joined = "tidegate: joined the running gateway, so --config is not used; --standalone would use it"
                print(joined, file=sys.stderr)
            pump(daemon)
            return exit_codes.OK
        if args.unix is not None:
            print(f"tidegate: no gateway answers on `{args.unix}`; starting a private one", file=sys.stderr)
    return _standalone(args)


def find_daemon(path: str | None) -> socket.socket | None:
    """A connection to the running daemon, if there is one."""
    from tidegate.config.paths import unix_path_candidates

    for candidate in (path,) if path is not None else unix_path_candidates():
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(candidate)
            return sock
        except OSError:
            sock.close()
    return None


def pump(sock: socket.socket, ended: Callable[[], None] | None = None) -> None:
    """Copies stdin to `sock` and `sock` to stdout until either ends."""
    done = threading.Event()

    def inward() -> None:
        try:
            while data := os.read(0, _CHUNK_BYTES):
                sock.sendall(data)
        except OSError:
            pass
        done.set()

    def outward() -> None:
        try:
            while data := sock.recv(_CHUNK_BYTES):
                view = memoryview(data)
                while view:
                    view = view[os.write(1, view) :]
        except OSError:
            pass
        done.set()

    for copy in (inward, outward):
        threading.Thread(target=copy, name=f"tidegate-{copy.__name__}", daemon=True).start()
    done.wait()
    sock.close()
    if ended is not None:
        ended()


def _standalone(args: argparse.Namespace) -> int:
    import asyncio
    import signal

    import anyio

    from tidegate.config.paths import plugins_directory
    from tidegate.config.read import read_snapshot
    from tidegate.daemon import Daemon, Tasks, kept_catalogues, set_up_logging
    from tidegate.daemon import run as run_loop
    from tidegate.pipeline.accept.stream import StreamServerProtocol

    set_up_logging(args.log_level)

    async def main() -> None:
        snapshot = await read_snapshot(args.config)
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with anyio.create_task_group() as group:
            daemon = Daemon(snapshot, Tasks(group), documents=kept_catalogues(), plugins_directory=plugins_directory())
            await loop.connect_accepted_socket(
                lambda: StreamServerProtocol(
                    snapshot.limits, daemon.registry, lambda stream: daemon.converse(stream, "stdio")
                ),
                ours,
            )
            # The process's own streams may be files or terminals, which an event loop cannot wait for.
            threading.Thread(
                target=pump,
                args=(theirs, lambda: loop.call_soon_threadsafe(stop.set)),
                name="tidegate-pump",
                daemon=True,
            ).start()
            try:
                await stop.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await daemon.close_now()
                group.cancel_scope.cancel()

    run_loop(main)
    return exit_codes.OK
