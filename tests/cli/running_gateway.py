"""A real daemon for the verbs that talk to one, and the command as a process of its own where that is the point."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_S = 30.0
END_S = 15.0
TIDEGATE = (sys.executable, "-m", "tidegate")
WORKSHOP = str(Path(__file__).with_name("workshop.py"))


@dataclass(frozen=True)
class Running:
    """Where a daemon listens."""

    http: str
    tcp: str
    unix: str
    admin: str
    config: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Ends it before its time."""
        self.process.terminate()
        self.process.wait(END_S)


def workshop_config(name: str = "workshop") -> str:
    return f"[backends.{name}]\ncommand = {json.dumps([sys.executable, WORKSHOP])}\n"


@contextmanager
def gateway(config: str, admin: str = "127.0.0.1:0", flags: Sequence[str] = ()) -> Iterator[Running]:
    """A daemon with this `tidegate.toml` and further flags, from ready to ended."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        path = Path(folder) / "tidegate.toml"
        path.write_text(config, encoding="utf-8")
        said = Path(folder) / "stderr"
        listen = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--admin", admin, "--unix", f"{folder}/s", *flags]
        with said.open("wb") as log:
            process = subprocess.Popen(
                [*TIDEGATE, "serve", "--config", str(path), *listen],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert process.stdout is not None
        try:
            line = read_until(process.stdout.fileno(), b"\n", READY_S)
            assert line, said.read_text(encoding="utf-8")
            ready = json.loads(line)
            yield Running(
                http=ready["http"][0],
                tcp=ready["tcp"][0],
                unix=ready["unix"],
                admin=ready["admin"],
                config=str(path),
                process=process,
            )
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            finally:
                process.stdout.close()


def read_until(fd: int, mark: bytes, timeout_s: float) -> bytes:
    """Bytes up to and with `mark`; all there were when the other side ended first. Raises: TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    found = b""
    while mark not in found:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
            raise TimeoutError(f"no {mark!r} within {timeout_s} s, only {found!r}")
        try:
            data = os.read(fd, 65536)
        except OSError:  # a terminal whose other side is closed
            return found
        if not data:
            return found
        found += data
    return found


def command(*words: str, environ: dict[str, str] | None = None) -> tuple[Sequence[str], dict[str, str]]:
    """Command line and environment of `tidegate WORDS`."""
    return [*TIDEGATE, *words], {**os.environ, **(environ or {})}
