"""Who listens at a TCP port of this box: /proc/net/tcp, and the process that holds the socket."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
"""include/net/tcp_states.h"""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket. `pid` is None when the process is somebody else's and may not be looked at."""

    user: str
    pid: int | None
    program: str


def listeners(port: int) -> list[Listener]:
    """Those at `port`, on any address."""
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                pid, program = _holder(words[9])
                found.append(Listener(_user(int(words[7])), pid, program))
    return found


def _holder(inode: str) -> tuple[int | None, str]:
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(_target(descriptor) == wanted for descriptor in (process / "fd").iterdir()):
                return int(process.name), (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
    return None, ""


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
