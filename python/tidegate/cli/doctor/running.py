"""The gateways of this box: the one that answers on an admin address, and the processes that look like one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tidegate.cli import exit_codes
from tidegate.cli.admin_listener import ADMIN_VARIABLE, Unanswered, ask
from tidegate.config.embedded import ADMIN_ADDRESS

_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers."""

    admin: str
    status: Mapping[str, Any]
    pid: int
    files: tuple[str, ...] = field(default=())
    """Of its `--config`, absolute; empty when it was started without or cannot be looked into."""

    def command(self, verb: str) -> str:
        """`tidegate VERB` for this gateway, to be pasted."""
        usual = self.admin.removeprefix("http://") == ADMIN_ADDRESS
        return f"tidegate {verb}" + ("" if usual else f" --admin {self.admin}")

    @property
    def user(self) -> int | None:
        """Whose process it is."""
        try:
            return Path(f"/proc/{self.pid}").stat().st_uid
        except OSError:
            return None

    @property
    def backends(self) -> list[dict[str, Any]]:
        found = self.status.get("backends")
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    @property
    def listen(self) -> list[str]:
        """Addresses that it listens on, `host:port` or paths."""
        found = self.status.get("listen")
        values = found.values() if isinstance(found, dict) else ()
        flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
        return [urlsplit(item).netloc if "://" in item else item for item in flat if isinstance(item, str)]


def find_running(admin: str | None, environ: Mapping[str, str], configured: str | None = None) -> Running | None:
    """The gateway whose admin listener answers at `admin`, else `$TIDEGATE_ADMIN`, else `configured`.

    Raises: Unanswered, for what is no URL.
    """
    given = admin or environ.get(ADMIN_VARIABLE) or configured or ADMIN_ADDRESS
    try:
        status, _ = ask(given, "/status", "backends", _TIMEOUT_S)
    except Unanswered as error:
        if error.exit_code == exit_codes.USAGE:
            raise  # no URL at all
        return None
    pid = status.get("pid")
    pid = pid if isinstance(pid, int) else 0
    told = status.get("configuration")
    files = told.get("files") if isinstance(told, dict) else None
    if isinstance(files, list):
        return Running(given, status, pid, tuple(_absolute(pid, str(file)) for file in files))
    return Running(given, status, pid, config_files(pid))


def _absolute(pid: int, file: str) -> str:
    """A file as the process named it, from its own working directory."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink() / file)
    except OSError:
        return file


def gateway_pids() -> Iterator[int]:
    """Processes that run `tidegate serve`, as far as this user may see."""
    for place in Path("/proc").glob("[0-9]*"):
        words = command_line(int(place.name))
        if "serve" not in words[1:]:
            continue
        before = words[: words.index("serve", 1)]
        if Path(before[-1]).name == "tidegate":
            yield int(place.name)


def config_files(pid: int) -> tuple[str, ...]:
    """The files that `serve` was started with, from its command line and working directory."""
    words = command_line(pid)
    try:
        folder = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return ()
    found = []
    for number, word in enumerate(words):
        if word == "--config" and number + 1 < len(words):
            found.append(words[number + 1])
        elif word.startswith("--config="):
            found.append(word.removeprefix("--config="))
    return tuple(str(folder / name) for name in found)


def command_line(pid: int) -> list[str]:
    """The words a process was started with; none when it is gone or somebody else's."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in text.rstrip(b"\0").split(b"\0")] if text else []
