"""Finding the gateway for a verb that talks to it, and what becomes of errors on the way.

In order: `--http`, `--tcp`, `--unix`; a private gateway for `--standalone` or `--config`; the socket of the running
daemon, where `config/paths.py` says.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from typing import Final

from tidegate.cli import exit_codes
from tidegate.cli.client import Client, RpcError
from tidegate.cli.progress import Narrator
from tidegate.cli.terminal import complain, spell_unencodable
from tidegate.cli.wires import (
    ChildWire,
    HttpWire,
    LineWire,
    LinkBroken,
    NoDaemon,
    PrivateEnded,
    Wire,
    connect_tcp,
    connect_unix,
)
from tidegate.errors import INTERNAL_ERROR, TidegateError, UpstreamTimeout
from tidegate.protocol.meta_keys import TOKEN

TOKEN_VARIABLE: Final = "TIDEGATE_TOKEN"  # noqa: S105  a name
DEFAULT_TIMEOUT_S: Final = 330.0
"""A little over the default `call_timeout_s`, so that the gateway's own words are the ones that are read."""

_WAY_OUT: Final = (
    "start one with `tidegate serve`, or try again with `--standalone` (or `--config FILE`) for a private one"
)
_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

EXIT_CODES: Final = (
    exit_codes.OK,
    exit_codes.FAILED,
    exit_codes.USAGE,
    exit_codes.NO_DAEMON,
    exit_codes.REFUSED,
    exit_codes.BACKEND,
    exit_codes.INTERRUPTED,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that talks to a gateway."""
    where = parser.add_argument_group("which gateway (default: the one that runs on this box)")
    where.add_argument("--unix", metavar="PATH", help="its unix socket (default: $TIDEGATE_SOCKET or the usual places)")
    where.add_argument("--http", metavar="URL", help="its Streamable HTTP endpoint")
    where.add_argument("--tcp", metavar="ADDR", help="its TCP listener, host:port")
    where.add_argument("--token", metavar="TOKEN", help=f"bearer token (default: ${TOKEN_VARIABLE})")
    where.add_argument("--standalone", action="store_true", help="start a private one for this command alone")
    where.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="start a private one with this configuration"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="longest silence to bear (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as the JSON it came in")


def add_call_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of verbs that make a server work."""
    # Options may stand between the `key=value` words, as people type them.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
    parser.add_argument("--quiet", action="store_true", help="do not show progress")
    parser.add_argument("--log-level", choices=_LEVELS, help="show what the server logs meanwhile, from this level on")


def served(
    args: argparse.Namespace, work: Callable[[Client], int], capabilities: Mapping[str, object] | None = None
) -> int:
    """Runs `work` with a client, and turns errors into messages and exit codes."""
    spell_unencodable()
    try:
        with Client(
            _wire(args),
            token=_token(args),
            timeout_s=args.timeout,
            capabilities=capabilities or {},
            log_level=getattr(args, "log_level", None),
            listener=Narrator(quiet=getattr(args, "quiet", False)),
        ) as client:
            return work(client)
    except PrivateEnded as error:
        complain(str(error))
        return error.exit_status if error.exit_status > 0 else exit_codes.NO_DAEMON
    except NoDaemon as error:
        hint = "" if args.standalone or args.config else f"; {_WAY_OUT}"
        complain(f"{error}{hint}")
        return exit_codes.NO_DAEMON
    except RpcError as error:
        complain(str(error) or f"refused with code {error.rpc_code}")
        return _code(error)
    except (LinkBroken, UpstreamTimeout) as error:
        complain(str(error))
        return exit_codes.FAILED
    except TidegateError as error:
        complain(str(error))
        return exit_codes.of_error(error)
    except ValueError as error:
        complain(str(error))
        return exit_codes.USAGE


def _wire(args: argparse.Namespace) -> Wire:
    """Raises: NoDaemon; ValueError for an address that is none."""
    chosen = [name for name in ("http", "tcp", "unix") if getattr(args, name)]
    private = bool(args.standalone or args.config)
    if len(chosen) + private > 1:
        raise ValueError("choose one of `--http`, `--tcp`, `--unix` and `--standalone` or `--config`")
    if args.http:
        return HttpWire(args.http, _token(args))
    if args.tcp:
        return connect_tcp(args.tcp)
    if private:
        return ChildWire(args.config)
    return _unix(args.unix)


def _unix(path: str | None) -> LineWire:
    from tidegate.config.paths import unix_path_candidates

    tried = []
    for candidate in (path,) if path else unix_path_candidates():
        try:
            return connect_unix(candidate)
        except FileNotFoundError:
            tried.append(f"`{candidate}`")
        except OSError as error:
            tried.append(f"`{candidate}` ({(error.strerror or str(error)).lower()})")
    raise NoDaemon(f"no gateway answers on {', '.join(tried)}")


def _token(args: argparse.Namespace) -> str | None:
    return args.token or os.environ.get(TOKEN_VARIABLE) or None


def _code(error: RpcError) -> int:
    text = str(error)
    if f"`{TOKEN}`" in text or "`Authorization: Bearer" in text:
        return exit_codes.REFUSED
    return exit_codes.BACKEND if error.rpc_code == INTERNAL_ERROR else exit_codes.FAILED


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("expected seconds above 0")
    return value
