"""Where the daemon keeps its unix socket and its state, for the daemon and for whoever looks for them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tidegate.errors import ConfigError

SYSTEM_DIRECTORY: Final = "/run/tidegate"
"""Made by the service unit (`RuntimeDirectory=`); writable for the system daemon only."""

SOCKET_NAME: Final = "tidegate.sock"


def default_unix_path(environ: Mapping[str, str] | None = None) -> str:
    """The socket a daemon binds when nothing else is configured. Creates nothing.

    In order: `$TIDEGATE_SOCKET`; `$XDG_RUNTIME_DIR/tidegate.sock`; `/run/tidegate/tidegate.sock` where that
    directory is writable; `/tmp/tidegate-<uid>/tidegate.sock`.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get("TIDEGATE_SOCKET"):
        return chosen
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return f"{runtime}/{SOCKET_NAME}"
    if Path(SYSTEM_DIRECTORY).is_dir() and os.access(SYSTEM_DIRECTORY, os.W_OK):
        return f"{SYSTEM_DIRECTORY}/{SOCKET_NAME}"
    return f"{_private_directory()}/{SOCKET_NAME}"


def unix_path_candidates(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Where a client looks for a running daemon, best first.

    An explicit `$TIDEGATE_SOCKET` is the only candidate; otherwise a user's own daemon comes before the system one.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get("TIDEGATE_SOCKET"):
        return (chosen,)
    places = [environ.get("XDG_RUNTIME_DIR") or "", SYSTEM_DIRECTORY, _private_directory()]
    return tuple(f"{place}/{SOCKET_NAME}" for place in places if place)


def prepare_unix_directory(path: str) -> None:
    """Makes the directory of socket `path`, mode 0700, when it is missing.

    The fallback under `/tmp` is also checked: anyone may have made it first.

    Raises: ConfigError when it cannot be made or belongs to somebody else.
    """
    directory = Path(path).absolute().parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ConfigError(
            f"cannot make `{directory}` for the unix socket: {error.strerror}; choose another place with `listen.unix` "
            "or `TIDEGATE_SOCKET`"
        ) from error
    if str(directory) != _private_directory():
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"`{directory}` is not a directory that only this user can open, so the unix socket is not safe in it; "
            "remove it or set `XDG_RUNTIME_DIR` or `TIDEGATE_SOCKET`"
        )


def _private_directory() -> str:
    return f"/tmp/tidegate-{os.getuid()}"  # noqa: S108  `prepare_unix_directory` checks whose it is


def package_root() -> Path | None:
    """Where a child has to look for this package to be of the same build. None: an installed package is found without
    help, and putting its directory before the standard library would shadow that.
    """
    root = Path(__file__).absolute().parents[2]
    return None if root.name in ("site-packages", "dist-packages") else root


def state_directory(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where the daemon keeps what may outlive it. Creates nothing.

    In order: `$TIDEGATE_STATE`; the first of `$STATE_DIRECTORY` (a service manager's); `$XDG_STATE_HOME/tidegate`;
    `~/.local/state/tidegate`. None where there is no such place, or `$TIDEGATE_STATE` is empty.
    """
    environ = os.environ if environ is None else environ
    if "TIDEGATE_STATE" in environ:
        return Path(environ["TIDEGATE_STATE"]) if environ["TIDEGATE_STATE"] else None
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if state := environ.get("XDG_STATE_HOME"):
        return Path(state) / "tidegate"
    home = environ.get("HOME")
    return Path(home) / ".local" / "state" / "tidegate" if home else None


def plugins_directory(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where compiled plugins are, and what plugins keep; None where there is no such place. Creates nothing."""
    state = state_directory(environ)
    return state / "plugins" if state is not None else None
