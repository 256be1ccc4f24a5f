"""The service manager's contract, from the manager's side: its notify socket, the sockets it passes, its unit files."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest
from daemon_process import (
    END_S,
    INITIALIZE,
    READY_S,
    TIDEGATE,
    Process,
    children,
    configuration,
    read_line,
    started,
    wait_until,
)

from tidegate.clock import ManualClock
from tidegate.config.embedded import default_backends
from tidegate.config.snapshot import Listen
from tidegate.errors import ConfigError
from tidegate.pipeline.accept.listener import listen_tcp
from tidegate.systemd.canary import Canary
from tidegate.systemd.contract import Contract, status_text
from tidegate.systemd.notify import Notifier, socket_address
from tidegate.systemd.sockets import Inherited, Passed
from tidegate.systemd.watchdog import Watchdog, watchdog_timeout_s

UNITS = Path(__file__).resolve().parents[2] / "packaging" / "systemd"
WATCHDOG_US = 400_000
QUIET_S = 1.2
"""Six periods of that watchdog without a word: it is not fed."""

needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@dataclass
class Manager:
    """The far end of `$NOTIFY_SOCKET`."""

    socket: socket.socket
    address: str
    heard: list[dict[str, str]] = field(default_factory=list)

    def hear(self, bound_s: float) -> dict[str, str] | None:
        """The next datagram; None: none came in time."""
        if not select.select([self.socket], [], [], max(bound_s, 0.0))[0]:
            return None
        lines = self.socket.recv(4096).decode().split("\n")
        self.heard.append(dict(line.split("=", 1) for line in lines))
        return self.heard[-1]

    def wait_for(self, key: str, text: str = "", bound_s: float = READY_S) -> dict[str, str]:
        """The next datagram with `key` in which its value has `text`. Raises: AssertionError."""
        deadline_s = time.monotonic() + bound_s
        while (said := self.hear(deadline_s - time.monotonic())) is not None:
            if key in said and text in said[key]:
                return said
        raise AssertionError(f"no {key}={text} within {bound_s} s, only {self.heard}")


@contextmanager
def manager(folder: Path, *, abstract: bool = False) -> Iterator[Manager]:
    address = f"@tidegate-test-{os.getpid()}-{folder.name}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if abstract else address)
        yield Manager(listening, address)


LAUNCH = """
import json, os, sys
passed, words = json.loads(sys.argv[1]), sys.argv[2:]
for place, descriptor in enumerate(passed, 3):
    os.dup2(descriptor, place)
    os.close(descriptor)
for variable in ("LISTEN_PID", "WATCHDOG_PID"):
    if os.environ.get(variable) == "own":
        os.environ[variable] = str(os.getpid())
os.execv(words[0], words)
"""
"""Between fork and exec, as a manager: passed descriptors go to 3, 4, …, and `own` becomes the process id."""


@contextmanager
def launched(
    sockets: Sequence[socket.socket | TextIO], names: str | None, *words: str, environ: dict[str, str] | None = None
) -> Iterator[Process]:
    """`tidegate serve WORDS` with inherited sockets."""
    told = {"LISTEN_FDS": str(len(sockets)), "LISTEN_PID": "own"} if sockets else {}
    if names is not None:
        told["LISTEN_FDNAMES"] = names
    high = [fcntl.fcntl(passed.fileno(), fcntl.F_DUPFD, 100) for passed in sockets]
    try:
        popen = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, json.dumps(high), *TIDEGATE, "serve", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=high,
            env={**os.environ, **told, **(environ or {})},
        )
    finally:
        for place in high:
            os.close(place)
    try:
        yield Process(popen, None)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        for stream in (popen.stdout, popen.stderr):
            assert stream is not None
            stream.close()


def listening(address: str | tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    made.bind(address)
    made.listen()
    return made


def where(made: socket.socket) -> str:
    return "{}:{}".format(*made.getsockname())


def ask(address: str | tuple[str, int], message: Any) -> Any:
    """The answer to one message on a stream."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.settimeout(READY_S)
        client.connect(address)
        client.sendall(json.dumps(message).encode() + b"\n")
        with client.makefile("rb") as lines:
            return json.loads(lines.readline())


def refusal(process: Process) -> str:
    """What a daemon that does not start says."""
    assert process.popen.wait(READY_S) == 2
    assert process.popen.stderr is not None
    said = process.popen.stderr.read().decode()
    assert "Traceback" not in said
    return said


NOTHING_ELSE = ("--http", "127.0.0.1:0", "--unix", "", "--admin", "")


# -- readiness and status ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_ready_is_told_when_listeners_accept_and_stopping_before_the_end(tmp_path: Path, abstract: bool) -> None:
    with manager(tmp_path, abstract=abstract) as systemd:
        with started(
            "serve", "--http", "127.0.0.1:0", "--unix", str(tmp_path / "s"), "--admin", "",
            environ={"NOTIFY_SOCKET": systemd.address},
        ) as process:  # fmt: skip
            first = systemd.wait_for("READY", "1")
            assert first["STATUS"] == "{0} backends: {0} not needed".format(len(default_backends()))
            assert "result" in ask(str(tmp_path / "s"), INITIALIZE)
            systemd.wait_for("STATUS", "{0} backends: {0} ready".format(len(default_backends())))
            process.popen.send_signal(signal.SIGTERM)
            last = systemd.wait_for("STOPPING", "1")
            assert int(last["EXTEND_TIMEOUT_USEC"]) >= 5_000_000
            assert process.popen.wait(END_S) == 0
        assert systemd.hear(0) is None
        assert not any("WATCHDOG" in said for said in systemd.heard)


def test_the_status_line_names_the_backend_that_is_down(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path)
    with config.open("a", encoding="utf-8") as more:
        more.write('[backends.gone]\ncommand = ["false"]\n[backends.box]\nbuiltin = "host"\n')
    with manager(tmp_path) as systemd, started(
        "serve", "--config", str(config), "--http", "127.0.0.1:0", "--unix", str(tmp_path / "s"), "--admin", "",
        environ={"NOTIFY_SOCKET": systemd.address},
    ):  # fmt: skip
        assert systemd.wait_for("READY")["STATUS"] == "3 backends: 3 not needed"
        assert "result" in ask(str(tmp_path / "s"), INITIALIZE)
        systemd.wait_for("STATUS", "3 backends: 2 ready, 1 down (gone)")
        os.kill(children(pids)[0], signal.SIGKILL)
        systemd.wait_for("STATUS", "down (s")


def test_a_daemon_that_cannot_start_tells_why(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine", encoding="utf-8")
    words = ("--http", "127.0.0.1:0", "--unix", str(tmp_path / "s"), "--admin", "")
    with manager(tmp_path) as systemd, started("serve", *words, environ={"NOTIFY_SOCKET": systemd.address}) as process:
        assert "is no socket" in systemd.wait_for("STATUS")["STATUS"]
        assert "is no socket" in refusal(process)
        assert not any("READY" in said for said in systemd.heard)


@pytest.mark.parametrize("address", ["/nowhere/notify", "@tidegate-nobody", "vsock:2:1", "garbage"])
def test_a_manager_that_is_not_there_harms_nothing(tmp_path: Path, address: str) -> None:
    with started("serve", *NOTHING_ELSE, environ={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}) as process:
        assert read_line(process.popen.stdout)["ready"] is True
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(END_S) == 0


def switches(pid: int) -> int:
    """How often the main thread has gone to sleep."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def sleeps_through(pid: int) -> bool:
    before = switches(pid)
    select.select([], [], [], QUIET_S)
    return switches(pid) == before


@pytest.mark.parametrize("managed", [False, True], ids=["alone", "without-watchdog"])
def test_an_idle_daemon_that_is_not_watched_does_not_wake_up(tmp_path: Path, managed: bool) -> None:
    with manager(tmp_path) as systemd:
        environ = {"NOTIFY_SOCKET": systemd.address} if managed else {}
        with started("serve", *NOTHING_ELSE, environ=environ) as process:
            assert read_line(process.popen.stdout)["ready"] is True
            wait_until(lambda: sleeps_through(process.popen.pid), "the daemon sleeps")


def test_without_a_manager_nothing_of_the_contract_is_imported() -> None:
    with started("serve", *NOTHING_ELSE, environ={"PYTHONPROFILEIMPORTTIME": "1"}) as process:
        assert read_line(process.popen.stdout)["ready"] is True
        process.popen.send_signal(signal.SIGTERM)
        _, said = process.popen.communicate(timeout=END_S)
    assert b"tidegate.daemon" in said
    assert b"tidegate.systemd" not in said


# -- watchdog -----------------------------------------------------------------------------------------------------


@contextmanager
def watched(systemd: Manager, *words: str, whose: str | None = "own") -> Iterator[Process]:
    told = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": str(WATCHDOG_US)}
    with launched([], None, *words, environ=told | ({"WATCHDOG_PID": whose} if whose is not None else {})) as process:
        systemd.wait_for("READY")
        yield process


@pytest.mark.parametrize("whose", ["own", None])
def test_the_watchdog_is_fed(tmp_path: Path, whose: str | None) -> None:
    with manager(tmp_path) as systemd, watched(systemd, *NOTHING_ELSE, whose=whose):
        for _ in range(5):
            systemd.wait_for("WATCHDOG", "1")


def test_somebody_elses_watchdog_is_not_fed(tmp_path: Path) -> None:
    with manager(tmp_path) as systemd, watched(systemd, *NOTHING_ELSE, whose="1"):
        assert systemd.hear(QUIET_S) is None


def test_the_canary_starts_no_server_and_is_nobodys_request(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path)
    words = ("--config", str(config), "--http", "127.0.0.1:0", "--unix", "", "--admin", "127.0.0.1:0")
    with manager(tmp_path) as systemd, watched(systemd, *words) as process:
        admin = read_line(process.popen.stdout)["admin"]
        for _ in range(5):
            systemd.wait_for("WATCHDOG", "1")
        with urllib.request.urlopen(f"{admin}/metrics", timeout=READY_S) as page:
            assert "\ntidegate_requests_total{" not in page.read().decode()
        with urllib.request.urlopen(f"{admin}/status", timeout=READY_S) as page:
            status = json.load(page)
        assert (status["sessions"], status["connections"]["open"], status["connections"]["served_total"]) == (0, 0, 0)
        assert not children(pids)


def test_a_blocked_loop_is_not_fed_for_and_is_again_when_it_turns(tmp_path: Path) -> None:
    """Nobody reads the daemon's log and its pipe is full, so the next warning stops the loop, as it would on a box."""
    config, pids = configuration(tmp_path)
    words = ("--config", str(config), "--http", "127.0.0.1:0", "--unix", str(tmp_path / "s"), "--admin", "")
    with manager(tmp_path) as systemd, watched(systemd, *words) as process:
        assert "result" in ask(str(tmp_path / "s"), INITIALIZE)
        systemd.wait_for("WATCHDOG", "1")
        full = os.open(f"/proc/{process.popen.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(full, b" " * 4096)
        with suppress(BlockingIOError):
            while True:
                os.write(full, b" ")
        os.close(full)
        systemd.wait_for("WATCHDOG", "1")  # a full log alone is no reason
        systemd.wait_for("WATCHDOG", "1")
        os.kill(children(pids)[0], signal.SIGKILL)  # "backend_lost" is what is to be logged
        deadline_s = time.monotonic() + READY_S
        while systemd.hear(QUIET_S) is not None:
            assert time.monotonic() < deadline_s, "it is still fed"
        assert process.popen.poll() is None
        assert process.popen.stderr is not None
        while b"backend_lost" not in os.read(process.popen.stderr.fileno(), 1 << 20):
            pass
        systemd.wait_for("WATCHDOG", "1")
        process.popen.send_signal(signal.SIGABRT)  # what the manager does to a daemon that does not feed
        _, said = process.popen.communicate(timeout=END_S)
        assert b"Fatal Python error: Aborted" in said
        assert b"daemon.py" in said


def test_clients_that_use_up_all_connections_do_not_starve_the_watchdog(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text("[limits]\nconnections = 1\nrate_per_s = 0.001\nburst = 1\n", encoding="utf-8")
    words = ("--config", str(config), "--http", "127.0.0.1:0", "--unix", str(tmp_path / "s"), "--admin", "")
    with manager(tmp_path) as systemd, watched(systemd, *words), socket.socket(socket.AF_UNIX) as only:
        only.connect(str(tmp_path / "s"))
        for _ in range(5):
            systemd.wait_for("WATCHDOG", "1")
        with pytest.raises((json.JSONDecodeError, ConnectionError, BrokenPipeError)):
            ask(str(tmp_path / "s"), INITIALIZE)


class Echo(asyncio.Protocol):
    """Answers whatever it hears with the same id; `deaf` hangs up instead."""

    def __init__(self, deaf: bool) -> None:
        self._deaf = deaf
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._transport.abort()
        else:
            self._transport.write(json.dumps({"id": json.loads(data)["id"]}).encode() + b"\n")


def test_a_canary_opens_a_new_connection_when_its_own_broke() -> None:
    async def fly() -> list[str]:
        heard: asyncio.Queue[str] = asyncio.Queue()
        deaf = iter([True, False])
        async with asyncio.TaskGroup() as tasks:
            canary = Canary(
                lambda: Echo(next(deaf)),
                spawn=lambda step, *, name: tasks.create_task(step(), name=name),
                answered=lambda: heard.put_nowait("answered"),
                lost=lambda: heard.put_nowait("lost"),
            )
            found = []
            for _ in range(3):
                canary.ask()
                async with asyncio.timeout(READY_S):
                    found.append(await heard.get())
            canary.close()
        return found

    assert asyncio.run(fly()) == ["lost", "answered", "answered"]


@dataclass
class Bench:
    """A `Watchdog` on a clock that is turned by hand: what it asked and fed, and its timers."""

    clock: ManualClock = field(default_factory=ManualClock)
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    asked: int = 0
    fed: int = 0

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        self.timers.append((self.clock.now_s() + seconds, step))

    def ask(self) -> None:
        self.asked += 1

    def feed(self) -> None:
        self.fed += 1

    def watchdog(self, timeout_s: float) -> Watchdog:
        return Watchdog(timeout_s, self.clock, ask=self.ask, feed=self.feed, later=self.later)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        due = [step for at_s, step in self.timers if at_s <= self.clock.now_s()]
        self.timers = [timer for timer in self.timers if timer[0] > self.clock.now_s()]
        for step in due:
            step()


def test_only_an_answered_canary_feeds() -> None:
    bench = Bench()
    watchdog = bench.watchdog(30.0)
    watchdog.beat()
    assert (bench.asked, bench.fed) == (1, 0)
    watchdog.answered()
    assert (bench.asked, bench.fed) == (1, 1)
    watchdog.answered()  # what nobody asked feeds nobody
    bench.advance(14.9)
    assert (bench.asked, bench.fed) == (1, 1)
    bench.advance(0.1)
    assert (bench.asked, bench.fed) == (2, 1)
    bench.advance(15.0)
    bench.advance(15.0)
    assert (bench.asked, bench.fed) == (2, 1)  # no answer: no further canary, no feeding
    watchdog.answered()
    assert (bench.asked, bench.fed) == (2, 2)
    bench.advance(15.0)
    assert (bench.asked, bench.fed) == (3, 2)


def test_a_canary_whose_connection_broke_is_sent_again_and_feeds_nothing_itself() -> None:
    bench = Bench()
    watchdog = bench.watchdog(30.0)
    watchdog.beat()
    watchdog.lost()
    assert bench.fed == 0
    bench.advance(15.0)
    assert (bench.asked, bench.fed) == (2, 0)
    watchdog.answered()
    assert bench.fed == 1
    watchdog.close()
    bench.advance(15.0)
    assert (bench.asked, bench.timers) == (2, [])


@pytest.mark.parametrize(
    ("environ", "timeout_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None),
        ({"WATCHDOG_USEC": "soon", "WATCHDOG_PID": "7"}, None),
        ({"WATCHDOG_PID": "7"}, None),
    ],
)
def test_who_is_watched(environ: dict[str, str], timeout_s: float | None) -> None:
    assert watchdog_timeout_s(environ, 7) == timeout_s


# -- what is said -------------------------------------------------------------------------------------------------


def rows(**states: str) -> list[dict[str, Any]]:
    return [{"backend": name, "slots": [{"state": state} for state in text.split()]} for name, text in states.items()]


@pytest.mark.parametrize(
    ("backends", "text"),
    [
        (rows(), "no backends"),
        (rows(a="", b="idle"), "2 backends: 2 not needed"),
        (rows(a="ready", b="ready", files="down"), "3 backends: 2 ready, 1 down (files)"),
        (rows(a="down ready", b="down starting"), "2 backends: 1 ready, 1 starting (b)"),
        (rows(a="ready", b="parked"), "2 backends: 1 ready, 1 parked (b)"),
        (rows(**{f"b{n}": "down" for n in range(7)}), "7 backends: 7 down (b0, b1, b2, b3, b4, 2 more)"),
    ],
)
def test_the_status_line(backends: list[dict[str, Any]], text: str) -> None:
    assert status_text(backends) == text


def test_reloading_carries_the_monotonic_time_and_ready_ends_it(tmp_path: Path) -> None:
    with manager(tmp_path) as systemd:
        environ = {"NOTIFY_SOCKET": systemd.address, "LISTEN_PID": "1", "LISTEN_FDS": "1", "WATCHDOG_USEC": "5"}

        async def reload() -> None:
            contract = Contract(environ, ManualClock(12.5))
            contract.reloading()
            contract.ready()
            contract.close()

        asyncio.run(reload())
        assert systemd.hear(0) == {"RELOADING": "1", "MONOTONIC_USEC": "12500000"}
        assert systemd.hear(0) == {"READY": "1", "STATUS": "no backends"}
        assert environ == {}


def test_what_a_busy_manager_has_no_room_for_is_said_later_in_order(tmp_path: Path) -> None:
    later: list[Callable[[], None]] = []
    with manager(tmp_path) as systemd:
        notifier = Notifier(systemd.address, lambda _, step: later.append(step))
        sent = 0
        while not later:
            notifier.send(STATUS=str(sent))
            sent += 1
        notifier.send(STOPPING="1")
        assert len(later) == 1
        for number in range(sent - 1):
            assert systemd.hear(0) == {"STATUS": str(number)}
        assert systemd.hear(0) is None
        later[0]()
        assert systemd.hear(0) == {"STATUS": str(sent - 1)}
        assert systemd.hear(0) == {"STOPPING": "1"}
        notifier.send(STATUS="a\nREADY=1\ud800" + "x" * 9000)
        said = systemd.hear(0)
        assert said is not None
        assert said["STATUS"].startswith("a READY=1?xxx")
        assert len(said["STATUS"]) == 1024
        notifier.close()


@pytest.mark.parametrize(
    ("text", "address"), [("/run/n", "/run/n"), ("@n", "\0n"), ("@", None), ("", None), ("vsock:2:5", None)]
)
def test_addresses_of_the_notify_socket(text: str, address: str | None) -> None:
    assert socket_address(text) == address


# -- sockets --------------------------------------------------------------------------------------------------------


def test_every_listener_takes_the_socket_of_its_name(tmp_path: Path) -> None:
    http, tcp, admin = (listening(("127.0.0.1", 0)) for _ in range(3))
    unix = listening(str(tmp_path / "s"))
    try:
        early = socket.create_connection(tcp.getsockname(), READY_S)
        early.sendall(json.dumps(INITIALIZE).encode() + b"\n")
        # The embedded default would bind 8808, 8809 and a socket of its own: names replace all that a listener has.
        with launched(
            [admin, unix, tcp, http], "admin:unix:tcp:http", environ={"TIDEGATE_SOCKET": str(tmp_path / "other")}
        ) as process:
            ready = read_line(process.popen.stdout)
            assert ready["http"] == [f"http://{where(http)}/mcp"]
            assert (ready["tcp"], ready["unix"]) == ([where(tcp)], str(tmp_path / "s"))
            assert ready["admin"] == f"http://{where(admin)}"
            with early, early.makefile("rb") as lines:  # it came before the daemon did
                assert "result" in json.loads(lines.readline())
            assert "result" in ask(str(tmp_path / "s"), INITIALIZE)
            with urllib.request.urlopen(f"{ready['admin']}/health/ready", timeout=READY_S) as page:
                assert page.status == 200
            request = urllib.request.Request(
                ready["http"][0],
                json.dumps(INITIALIZE).encode(),
                {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
            )
            with urllib.request.urlopen(request, timeout=READY_S) as page:
                assert b'"result"' in page.read()
            assert not (tmp_path / "other").exists()
            process.popen.send_signal(signal.SIGTERM)
            assert process.popen.wait(END_S) == 0
        assert (tmp_path / "s").exists()  # it is the manager's
        waiting = socket.create_connection(tcp.getsockname(), READY_S)  # and so is the queue: the next daemon serves it
        waiting.close()
    finally:
        for made in (http, tcp, admin, unix):
            made.close()


def test_a_socket_of_another_name_is_for_the_listener_at_its_address(tmp_path: Path) -> None:
    http, admin, unix = listening(("127.0.0.1", 0)), listening(("127.0.0.1", 0)), listening(str(tmp_path / "s"))
    try:
        with launched(
            [unix, http, admin], "tidegate.socket:tidegate.socket:unknown",
            "--http", where(http), "--http", "127.0.0.1:0", "--unix", str(tmp_path / "s"),
            "--admin", where(admin).replace("127.0.0.1", "localhost"),
        ) as process:  # fmt: skip
            ready = read_line(process.popen.stdout)
            assert ready["http"][0] == f"http://{where(http)}/mcp"
            assert len(ready["http"]) == 2  # the other one is bound as always
            assert ready["admin"] == f"http://{where(admin)}"
            assert "result" in ask(str(tmp_path / "s"), INITIALIZE)
    finally:
        for made in (http, admin, unix):
            made.close()


def test_sockets_for_another_process_are_left_alone(tmp_path: Path) -> None:
    tcp = listening(("127.0.0.1", 0))
    try:
        with launched([tcp], "tcp", *NOTHING_ELSE, environ={"LISTEN_PID": "1"}) as process:
            assert "tcp" not in read_line(process.popen.stdout)
    finally:
        tcp.close()


CHILD = """
import json, os, sys
with open(sys.argv[1], "w") as told:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    inodes = [os.stat(link).st_ino for link in links if os.path.exists(link)]
    json.dump({"environ": sorted(os.environ), "inodes": inodes}, told)
sys.stdin.read()
"""


def test_children_inherit_neither_the_sockets_nor_the_variables(tmp_path: Path) -> None:
    script, told = tmp_path / "child.py", tmp_path / "told"
    script.write_text(CHILD, encoding="utf-8")
    config = tmp_path / "tidegate.toml"
    command = json.dumps([sys.executable, "-I", "-S", str(script), str(told)])
    config.write_text(f"[backends.s]\ncommand = {command}\n", encoding="utf-8")
    tcp = listening(("127.0.0.1", 0))
    try:
        with manager(tmp_path) as systemd:
            environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "own"}
            with launched([tcp], "tcp", "--config", str(config), *NOTHING_ELSE, environ=environ) as process:
                read_line(process.popen.stdout)
                with socket.create_connection(tcp.getsockname(), READY_S) as client:
                    client.sendall(json.dumps(INITIALIZE).encode() + b"\n")
                    wait_until(lambda: told.exists() and told.stat().st_size > 0, "the child tells")
        found = json.loads(told.read_text(encoding="utf-8"))
        assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} & set(found["environ"])
        assert not {"WATCHDOG_USEC", "WATCHDOG_PID"} & set(found["environ"])
        assert os.fstat(tcp.fileno()).st_ino not in found["inodes"]
    finally:
        tcp.close()


def test_a_socket_that_is_nobodys_is_refused_with_what_to_do() -> None:
    tcp = listening(("127.0.0.1", 0))
    try:
        with launched([tcp], "tidegate.socket", *NOTHING_ELSE) as process:
            said = refusal(process)
            assert where(tcp) in said
            assert "FileDescriptorName=" in said
    finally:
        tcp.close()


def test_something_else_than_a_listening_socket_is_refused(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    with near, far, launched([near], "unix", *NOTHING_ELSE) as process:
        assert "Accept=no" in refusal(process)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with launched([datagrams], "tcp", *NOTHING_ELSE) as process:
            assert "ListenStream=" in refusal(process)
    with (tmp_path / "file").open("w", encoding="utf-8") as file, launched([file], "unix", *NOTHING_ELSE) as process:
        assert "is no socket" in refusal(process)


def test_an_inherited_public_address_needs_what_a_bound_one_needs() -> None:
    with socket.socket() as made:
        inherited = Inherited([Passed("tcp", made, "0.0.0.0:8810")])
        (address,) = inherited.adopt(Listen()).tcp
        passed = inherited.take("tcp", address)
        assert passed is not None
        with passed, pytest.raises(ConfigError, match=r"listen\.allow_public"):
            asyncio.run(listen_tcp(asyncio.Protocol, address, public=False, inherited=passed))
    assert inherited.take("tcp", address) is None


@pytest.mark.parametrize(
    ("name", "address"),
    [("unix", "127.0.0.1:1"), ("http", "/run/s"), ("tcp", "/run/s"), ("admin", "/run/s")],
)
def test_a_name_that_does_not_fit_its_socket_is_refused(name: str, address: str) -> None:
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    with socket.socket(family) as made, pytest.raises(ConfigError, match=name):
        Inherited([Passed(name, made, address)]).adopt(Listen())


def test_two_sockets_for_the_one_admin_listener_are_refused() -> None:
    with socket.socket() as one, socket.socket() as two, pytest.raises(ConfigError, match="one `admin` listener"):
        Inherited([Passed("admin", one, "127.0.0.1:1"), Passed("admin", two, "127.0.0.1:2")]).adopt(Listen())


# -- units ------------------------------------------------------------------------------------------------------------


def service(name: str = "tidegate.service") -> str:
    return (UNITS / name).read_text(encoding="utf-8")


@needs_analyze
def test_the_unit_is_exposed_by_at_most_1_5() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", UNITS / "tidegate.service"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"Overall exposure level for tidegate\.service: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= 1.5


@needs_analyze
def test_the_units_are_verified_without_a_word(tmp_path: Path) -> None:
    # Where the command is installed is the package's business.
    text, count = re.subn(r"(?m)^ExecStart=/usr/bin/tidegate ", f"ExecStart={sys.executable} ", service())
    assert count == 1
    (tmp_path / "tidegate.service").write_text(text, encoding="utf-8")
    shutil.copy(UNITS / "tidegate.socket", tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "tidegate.service", tmp_path / "tidegate.socket"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_unit_says_what_the_daemon_relies_on() -> None:
    text = service()
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "Restart=on-failure",
        "User=tidegate",
        "MemoryDenyWriteExecute=no",
    ):
        assert f"\n{line}\n" in text
    assert re.search(r"\nWatchdogSec=\d+s\n", text)
    # setpriv starts every child; a later line adds to what an earlier one took away.
    assert re.search(r"\nSystemCallFilter=~@privileged @resources\n(#.*\n)*SystemCallFilter=capset ", text)
    assert "Accept=" not in service("tidegate.socket")
