"""The gateway that answers on an admin address, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tidegate.cli import exit_codes
from tidegate.cli.admin_listener import Unanswered, address, ask
from tidegate.cli.doctor.gateway_processes import config_files, in_its_directory
from tidegate.config.embedded import ADMIN_ADDRESS
from tidegate.control.telemetry.backend_state import dicts

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
        return dicts(self.status.get("backends"))

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
    where = address(admin, environ, configured)
    try:
        status, _ = ask(where, "/status", "backends", _TIMEOUT_S)
    except Unanswered as error:
        if error.exit_code == exit_codes.USAGE:
            raise  # no URL at all
        return None
    pid = status.get("pid")
    pid = pid if isinstance(pid, int) else 0
    told = status.get("configuration")
    files = told.get("files") if isinstance(told, dict) else None
    if isinstance(files, list):
        return Running(where, status, pid, tuple(in_its_directory(pid, str(file)) for file in files))
    return Running(where, status, pid, config_files(pid))
