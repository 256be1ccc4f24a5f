"""What server and test tell each other past the gateway: a folder that both see.

The server notes what happened to it (a call started, was cancelled, got its answer) and takes orders (flags, the text
of a resource, the names of further tools). Several processes of one server may share a journal, as those of a gateway
do that gives clients a child of their own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio

POLL_S = 0.02
"""A file in another process has no event to wait for."""
BOUND_S = 10.0


class Journal:
    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    # -- what happened --------------------------------------------------------------------------------------------

    def note(self, what: str, key: str, **more: Any) -> None:
        """One line, written whole: lines of several processes do not mix."""
        line = json.dumps({"what": what, "key": key, **more}).encode() + b"\n"
        fd = os.open(self.folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)

    def entries(self, what: str = "", key: str = "") -> list[dict[str, Any]]:
        try:
            lines = (self.folder / "journal").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines]
        return [each for each in found if what in ("", each["what"]) and key in ("", each["key"])]

    async def wait_entry(self, what: str, key: str) -> dict[str, Any]:
        """The first entry of that kind. Raises: TimeoutError."""
        with anyio.fail_after(BOUND_S):
            while not (found := self.entries(what, key)):  # noqa: ASYNC110 - it is in another process
                await anyio.sleep(POLL_S)
        return found[0]

    # -- what is to happen ------------------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> None:
        """Replaces a file in one step."""
        fresh = self.folder / f".{name}.{os.getpid()}"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.folder / name)

    def read(self, name: str, otherwise: str = "") -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return otherwise

    async def wait_flag(self, key: str) -> None:
        """Until somebody wrote `go-KEY`."""
        while not (self.folder / f"go-{key}").exists():  # noqa: ASYNC110 - it is in another process
            await anyio.sleep(POLL_S)

    def let_go(self, key: str) -> None:
        self.write(f"go-{key}", "")
