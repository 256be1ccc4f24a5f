"""The real daemon as a child process: started, waited for, ended, and looked after that it leaves nothing behind.

    with gateway(backend("files", command=["server", "/srv"])) as daemon:
        daemon.http    # http://127.0.0.1:PORT/mcp

Knows the command line, the ready line and the configuration file, nothing of the gateway's code. `TIDEGATE_COMMAND`
names another build to try; by default it is the `tidegate` package of the running Python, or the one in this
repository.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
READY_S = 20.0
"""A start takes well under a second; this bounds it on a machine that is busy with something else."""
END_S = 10.0
"""From SIGTERM to the end of the process; the daemon's own clean-up is bounded at 5 s."""


class GatewayFailed(AssertionError):
    """The daemon did not start, did not end, or left something behind. The text carries what it said on stderr."""


@dataclass(frozen=True)
class Gateway:
    """A running daemon and where it listens."""

    pid: int
    http: str
    """URL of the Streamable HTTP endpoint."""
    tcp: tuple[str, int]
    unix: str
    admin: str | None
    config: Path
    said: Path
    """The file its stderr goes to."""

    def descendants(self) -> list[Process]:
        return descendants(self.pid)


@dataclass(frozen=True)
class Process:
    """One process, told from a later one with the same id by its start time (clock ticks since boot)."""

    pid: int
    started: int
    command: str

    def alive(self) -> bool:
        """Still there, and not just waiting to be reaped by whoever inherited it."""
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state != "Z"


def command() -> list[str]:
    """How the command `tidegate` is started here."""
    if given := os.environ.get("TIDEGATE_COMMAND"):
        return shlex.split(given)
    return [sys.executable, "-m", "tidegate"]


def environment() -> dict[str, str]:
    """The environment of the daemon: the package of this repository is found even where none is installed."""
    result = dict(os.environ)
    if importlib.util.find_spec("tidegate") is None:
        result["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(REPOSITORY / "python"), os.environ.get("PYTHONPATH")) if part
        )
    return result


def backend(name: str, **fields: str | Sequence[str] | dict[str, str]) -> str:
    """One `[backends.NAME]` table of the configuration. JSON spells strings, lists and keys as TOML does."""
    lines = [f"[backends.{name}]"]
    for key, value in fields.items():
        if isinstance(value, dict):
            inside = ", ".join(f"{json.dumps(each)} = {json.dumps(value[each])}" for each in value)
            lines.append(f"{key} = {{ {inside} }}")
        else:
            lines.append(f"{key} = {json.dumps(value if isinstance(value, str) else list(value))}")
    return "\n".join(lines) + "\n"


UNHURRIED = "[limits]\nrate_per_s = 0\n"
"""For tests that make more calls a second than one unnamed person may by default."""


@contextmanager
def configuration(text: str) -> Iterator[Path]:
    """The text as a `tidegate.toml` in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        path = Path(folder) / "tidegate.toml"
        path.write_text(text, encoding="utf-8")
        yield path


@contextmanager
def gateway(config: str | None, *arguments: str) -> Iterator[Gateway]:
    """A daemon that is ready, ended at the end, with the processes it had started. None: its embedded default.

    Raises: GatewayFailed
    """
    with configuration(config or "") as path:
        given = ["--config", str(path)] if config is not None else []
        socket_path = str(path.parent / "t.sock")
        said = path.parent / "stderr"
        listen = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--unix", socket_path, "--admin", "127.0.0.1:0"]
        with said.open("wb") as log:
            process = subprocess.Popen(
                [*command(), "serve", *given, *listen, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        children: list[Process] = []
        try:
            ready = _wait_ready(process, said)
            host, _, port = str(ready["tcp"][0]).rpartition(":")
            yield Gateway(
                pid=process.pid,
                http=str(ready["http"][0]),
                tcp=(host, int(port)),
                unix=str(ready.get("unix") or socket_path),
                admin=ready.get("admin"),
                config=path,
                said=said,
            )
            if process.poll() is not None:
                raise GatewayFailed(f"the daemon ended with {process.returncode} by itself\n{_tail(said)}")
        finally:
            children = descendants(process.pid)
            late = _end(process)
            left = _still_alive(children)
            for child in left:
                os.kill(child.pid, signal.SIGKILL)
        if late:
            raise GatewayFailed(f"the daemon did not end within {END_S} s of SIGTERM\n{_tail(said)}")
        if left:
            raise GatewayFailed(f"the daemon left behind: {left}\n{_tail(said)}")


def _wait_ready(process: subprocess.Popen[bytes], said: Path) -> dict[str, Any]:
    """The first line on stdout, which must be the ready line."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise GatewayFailed(f"no ready line within {READY_S} s\n{_tail(said)}")
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            process.wait(END_S)
            raise GatewayFailed(f"the daemon ended with {process.returncode} before it was ready\n{_tail(said)}")
        line += chunk
    ready = json.loads(line.splitlines()[0])
    if not isinstance(ready, dict) or ready.get("ready") is not True:
        raise GatewayFailed(f"not a ready line: {line!r}")
    return ready


def _end(process: subprocess.Popen[bytes]) -> bool:
    """SIGTERM, then SIGKILL. Whether the second was needed."""
    late = False
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            late = True
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return late


def _still_alive(processes: list[Process]) -> list[Process]:
    """Those that are there after a moment: an orphan may take a few scheduler turns to end."""
    deadline = time.monotonic() + 2.0
    left = [process for process in processes if process.alive()]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [process for process in left if process.alive()]
    return left


def _tail(said: Path) -> str:
    return said.read_text(encoding="utf-8", errors="replace")[-6000:] if said.exists() else ""


@dataclass(frozen=True)
class _Stat:
    parent: int
    started: int
    state: str


def _stat(pid: int) -> _Stat | None:
    """The fields of /proc/PID/stat that are needed, counted after the parenthesised name, which may hold anything."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = raw[raw.rindex(")") + 2 :].split()
    return _Stat(parent=int(fields[1]), started=int(fields[19]), state=fields[0])


def descendants(pid: int) -> list[Process]:
    """Every process below this one, now."""
    stats = {int(path.name): stat for path in Path("/proc").glob("[0-9]*") if (stat := _stat(int(path.name)))}
    found: list[Process] = []
    parents = {pid}
    while parents:
        below = {each for each, stat in stats.items() if stat.parent in parents}
        found += [Process(each, stats[each].started, _command_line(each)) for each in sorted(below)]
        parents = below
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"
