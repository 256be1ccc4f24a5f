"""The program of a server, or its working directory, is not there or cannot be run."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend

_WHERE_FROM: Final = {
    "npx": ("it comes with node", ("apt install nodejs npm",)),
    "npm": ("it comes with node", ("apt install nodejs npm",)),
    "node": ("install node", ("apt install nodejs npm",)),
    "uvx": ("it comes with uv", ("pipx install uv",)),
    "uv": ("install uv", ("pipx install uv",)),
    "python": ("on Debian it is called `python3`", ('command = ["python3", …]',)),
    "docker": ("install a container engine; `podman` takes the same arguments", ("apt install podman",)),
    "bunx": ("it comes with bun", ()),
    "deno": ("install deno", ()),
}
_SHELL_MARKS: Final = ("|", "&&", "||", ";", ">", "<", "&")


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    program = backend.command[0]
    place = case.place(backend.name, "command")
    shown = case.quote(program)
    if backend.cwd and not Path(backend.cwd).is_dir():
        yield Finding(
            "error",
            f"its working directory `{case.quote(backend.cwd)}` is no directory",
            case.place(backend.name, "cwd"),
            "the server cannot be started",
            "make it, or mend `cwd`",
            (f"mkdir -p {shlex.quote(case.quote(backend.cwd))}",),
        )
    found = find_program(case, backend)
    if found is not None:
        yield from _interpreter(case, found, shown, place)
    elif (path := _as_path(backend)) is not None and path.is_file():
        yield Finding(
            "error",
            f"`{shown}` may not be run",
            f"{place}: the file is there, without the right to run it for this user",
            "the server cannot be started",
            "give the right, or name its interpreter first, such as `python3` or `node`",
            (f"chmod +x {shlex.quote(shown)}",),
        )
    else:
        yield _missing(case, backend, shown, place)
    yield from _shell_words(case, backend, place)


def find_program(case: Case, backend: Backend) -> Path | None:
    """Where the program is, found as the daemon finds it."""
    program = backend.command[0]
    found = shutil.which(program, path=case.search_path(backend))
    if found is None and backend.cwd is not None and os.sep in program:
        found = shutil.which(Path(backend.cwd) / program)
    return None if found is None else Path(found)


def _as_path(backend: Backend) -> Path | None:
    return Path(backend.cwd or ".", backend.command[0]) if os.sep in backend.command[0] else None


def _missing(case: Case, backend: Backend, shown: str, place: str) -> Finding:
    program = backend.command[0]
    words, paste = _WHERE_FROM.get(Path(program).name, ("install it, or write its whole path", ()))
    found = f"{place}: there is no such file"
    if os.sep not in program:
        found = f"{place}: looked on PATH, {case.quote(case.search_path(backend) or 'which is empty')}"
    if program.startswith("~"):
        words, paste = "no shell replaces `~` here; write the whole path", (f'"{Path.home()}{shown[1:]}"',)
    elif " " in program:
        listed = ", ".join(f'"{word}"' for word in shown.split())
        words, paste = "no shell takes it apart here; write program and arguments apart", (f"command = [{listed}]",)
    return Finding("error", f"its program `{shown}` was not found", found, "the server cannot be started", words, paste)


def _interpreter(case: Case, program: Path, shown: str, place: str) -> Iterator[Finding]:
    """A script is there, and what its first line asks for is not."""
    with program.open("rb") as stream:
        first = stream.read(256).split(b"\n", 1)[0]
    if not first.startswith(b"#!"):
        return
    words = os.fsdecode(first[2:]).split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if words and shutil.which(words[0], path=case.environ.get("PATH")) is None:
        yield Finding(
            "error",
            f"`{shown}` needs `{case.quote(words[0])}`, which was not found",
            f"{place}; the first line of `{program}` asks for it",
            "the server cannot be started. A virtual environment that was moved looks like this, too",
            "install that, or install the server again",
        )


def _shell_words(case: Case, backend: Backend, place: str) -> Iterator[Finding]:
    marks = [word for word in backend.command[1:] if word in _SHELL_MARKS]
    if marks:
        yield Finding(
            "warning",
            f"its arguments hold `{marks[0]}`, which only a shell understands",
            place,
            "no shell is involved: the program gets it as a plain argument",
            "if a shell is meant, name it",
            ('command = ["sh", "-c", "exec …"]',),
        )


CHECK = BackendCheck(
    "commands",
    "the programs of servers are on PATH and may be run, and their directories are there",
    lambda case, backend: backend.transport == "stdio",
    _look,
)
