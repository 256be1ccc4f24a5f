"""Where the unix socket should be is something else, or a socket nobody listens at."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.paths import unix_path_candidates


def _look(case: Case) -> Iterator[Finding]:
    own = case.snapshot.listen.unix if case.snapshot is not None else ""
    for path in dict.fromkeys((own, *unix_path_candidates(case.environ))):
        place = Path(path)
        try:
            if not path or not place.exists():
                continue
        except OSError:
            continue
        remove = (f"rm {shlex.quote(path)}",)
        if not place.is_socket():
            if path == own:
                yield Finding(
                    "error",
                    f"`{path}` is in the way of the unix socket",
                    "something is there, and it is no socket",
                    "the gateway does not start; it removes nothing that it did not make",
                    "remove it, or choose another place with `listen.unix`",
                    remove,
                )
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(2.0)
            try:
                sock.connect(path)
            except ConnectionRefusedError:
                yield Finding(
                    "note",
                    f"a socket was left behind at `{path}`",
                    "nobody listens at it: a gateway ended without removing it",
                    "clients pass over it, and the next gateway replaces it",
                    "start the gateway, or remove it",
                    ("tidegate serve", *remove),
                )
            except PermissionError:
                yield Finding(
                    "warning",
                    f"this user may not use the gateway at `{path}`",
                    "its socket is there; connecting to it is not permitted",
                    "clients of this user, such as `tidegate connect`, find no gateway",
                    "join the group of the socket, or open it to more users",
                    (f"ls -l {shlex.quote(path)}", "[listen]", 'unix_mode = "0660"'),
                )
            except OSError:
                continue


CHECK = BoxCheck("stale_socket", "no unix socket is left over, in the way, or closed to this user", _look)
