"""What is started for a backend, or why it cannot be, in words with a way out."""

from __future__ import annotations

import errno
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Final

from tidegate.config.snapshot import Backend
from tidegate.errors import UpstreamUnreachable

_INHERITED: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM", "XDG_RUNTIME_DIR",
)  # fmt: skip
"""What a child needs of the daemon's environment; the rest may hold secrets of other backends."""
_FIRST_LINE_BYTES: Final = 256
"""As much of a script as the kernel looks at."""

_WORDS: Final = {
    errno.EAGAIN: "no further process may be started: the process table is full, or this user's or service's share of "
    "it (`ulimit -u`, `TasksMax=`); it is tried again",
    errno.ENOMEM: "there is not enough memory; it is tried again",
    errno.EMFILE: "the gateway has as many files open as it may (`ulimit -n`, `LimitNOFILE=`); it is tried again",
    errno.ENFILE: "the system has as many files open as it may (`fs.file-max`); it is tried again",
    errno.E2BIG: "its arguments and environment are too long",
    errno.ENOEXEC: "it is neither a program for this machine nor a script that begins with `#!`",
    errno.EACCES: "it may not be executed by this user (`chmod +x`, or a directory on the way is closed)",
    errno.ETXTBSY: "the program is being written to; it is tried again",
}


@lru_cache(maxsize=1)
def death_pact() -> tuple[str, ...]:
    """Prefix that has the kernel kill the child when the daemon dies, also by SIGKILL."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.path.basename(os.path.realpath(setpriv)) == "busybox":  # noqa: PTH119  has no --pdeathsig
        return ()
    return (setpriv, "--pdeathsig", "KILL", "--")


def environment(backend: Backend) -> dict[str, str]:
    return {key: os.environ[key] for key in _INHERITED if key in os.environ} | {
        key: value.reveal() for key, value in backend.env
    }


def find_program(backend: Backend, path: str | None) -> str:
    """The file to execute; `path` is the child's PATH. Raises: UpstreamUnreachable."""
    name, command, cwd = backend.name, backend.command[0], backend.cwd
    if cwd is not None and not Path(cwd).is_dir():
        raise UpstreamUnreachable(f"backend `{name}`: its `cwd` `{cwd}` is no directory that can be entered")
    program = shutil.which(command, path=path)
    if program is None and os.sep in command:
        place = Path(cwd or ".") / command
        program = shutil.which(place)
        if program is None and place.exists():
            raise UpstreamUnreachable(f"backend `{name}` could not be started: `{command}`: {_WORDS[errno.EACCES]}")
    if program is None:
        where = "" if os.sep in command else "; install it, or give its full path (the gateway's PATH may differ)"
        raise UpstreamUnreachable(f"backend `{name}`: the program `{command}` was not found{where}")
    interpreter = _interpreter(program)
    if interpreter is not None and shutil.which(interpreter) is None:
        raise UpstreamUnreachable(
            f"backend `{name}` could not be started: `{program}` begins with `#!{interpreter}`, which is not there or "
            "cannot be executed"
        )
    return program


def _interpreter(program: str) -> str | None:
    """What a script asks to be read by; None for anything else."""
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            first = file.read(_FIRST_LINE_BYTES).partition(b"\n")[0]
    except OSError:
        return None
    words = first[2:].split(None, 1) if first.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else None


def why_not_started(backend: Backend, error: OSError | ValueError) -> UpstreamUnreachable:
    number = error.errno if isinstance(error, OSError) else None
    words = _WORDS.get(number) if number is not None else None
    return UpstreamUnreachable(f"backend `{backend.name}` could not be started: {words or error}")
