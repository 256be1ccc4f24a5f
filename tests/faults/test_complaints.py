"""The complaints about other gateways that issue 4 names, each as what happens here instead.

The real daemon, as a process of its own, with servers that do what was complained of. The mechanisms behind are
tested where they live; this file is what a person who had the trouble would look for.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from clients import Client, HttpClient, StreamClient
from faulty_http import FaultyHttp
from heard import within
from two_backends import LIST_CHANGED, TwoBackends, two_backends

pytestmark = pytest.mark.anyio

CHILDREN = Path(__file__).with_name("children")
PYTHON = [sys.executable, "-S", "-E"]
ASKABLE = {"elicitation": {}, "sampling": {}, "roots": {}}
COUNTED = """
import os, sys, time
sys.path.insert(0, {children!r})
with open({starts!r}, "a") as starts:
    starts.write(f"{{os.getpid()}}\\n")
time.sleep({pause})
import plain
plain.serve(lambda message_id: os._exit(1))
"""
"""A server that writes down each of its starts, takes a while, and whose tool `misbehave` ends it."""


def counted(folder: Path, pause_s: float = 0.0) -> tuple[list[str], Callable[[], int]]:
    """Its command, and how often it was started by now."""
    script, starts = folder / "server.py", folder / "starts"
    script.write_text(COUNTED.format(children=str(CHILDREN), starts=str(starts), pause=pause_s), encoding="utf-8")
    return [*PYTHON, str(script)], lambda: len(starts.read_text().split()) if starts.exists() else 0


def table(command: list[str]) -> str:
    return f"command = {json.dumps(command)}"


async def until(holds: Callable[[], bool], what: str) -> None:
    """Polls what no message tells. Raises: TimeoutError."""
    try:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110  the kernel's process table
                await anyio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"not within 10 s: {what}") from None


def running(mark: str) -> list[int]:
    """Processes with this word on their command line, those that wait to be reaped left out."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
            state = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark.encode() in words and state != "Z" and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


async def both_sessions(home: TwoBackends) -> list[Client]:
    return [
        await home.join(HttpClient(home.http, "session")),
        await home.join(StreamClient(home.tcp, "session")),
    ]


# -- "one dead target kills the session" ------------------------------------------------------------------------------


async def test_one_dead_target_kills_the_session__no_it_takes_its_own_calls_and_tools(tmp_path: Path) -> None:
    command, _ = counted(tmp_path)
    async with two_backends(table(command)) as home:
        sessions = await both_sessions(home)
        for session in sessions:
            assert {"good__echo", "bad__echo"} <= set(await session.names())
        for _ in range(3):
            for session in sessions:
                waits = session.tool("good__echo")
                error = (await session.tool("bad__misbehave").reply()).error["message"]
                assert "`bad`" in error
                assert (await waits.reply()).text == "steady"
        for session in sessions:
            # The same session: nobody greeted the gateway again.
            assert (await session.call("ping")).result == {}
            assert (await session.tool("good__echo").reply()).text == "steady"


async def test_one_dead_target_kills_the_session__not_even_one_that_never_lived(tmp_path: Path) -> None:
    async with two_backends(table([str(tmp_path / "no such program")])) as home:
        for session in await both_sessions(home):
            names = await session.names()
            assert "good__echo" in names
            assert not [name for name in names if name.startswith("bad__")]
            assert (await session.tool("good__echo").reply()).text == "steady"


# -- "a recovered server's tools never come back" ---------------------------------------------------------------------


async def test_a_recovered_servers_tools_never_come_back__they_do_and_clients_are_told(tmp_path: Path) -> None:
    """Nobody calls, nobody lists: the server comes back by itself, also from where it never was."""
    program = tmp_path / "program"
    async with two_backends(table([str(program)])) as home:
        clients = [*await both_sessions(home), await home.join(StreamClient(home.tcp, "modern"))]
        clients[-1].begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await clients[-1].notices.wait(lambda item: item["method"].endswith("acknowledged"))
        heard = []
        for client in clients:
            assert "bad__echo" not in await client.names()
            heard.append(len(client.notices))
        command, _ = counted(tmp_path)
        (tmp_path / "new").write_text(f"#!/bin/sh\nexec {' '.join(command)}\n", encoding="utf-8")
        (tmp_path / "new").chmod(0o755)
        (tmp_path / "new").rename(program)
        for client, before in zip(clients, heard, strict=True):
            await client.notices.wait(lambda item: item["method"] == LIST_CHANGED, skip=before)
            assert "bad__echo" in await client.names()
            assert (await client.tool("bad__echo").reply()).text == "did echo"


# -- "2,018 orphaned processes and 38 GB after two weeks" -------------------------------------------------------------


async def test_orphaned_processes_and_38_gb__clients_that_vanish_leave_no_process(tmp_path: Path) -> None:
    """Each of these clients is given a process of its own, since the server may ask it something."""
    command, starts = counted(tmp_path)
    async with two_backends(table(command)) as home:
        for round_number in range(3):
            clients: list[Client] = [
                await home.join(StreamClient(home.tcp, "session", capabilities=ASKABLE)) for _ in range(3)
            ]
            for client in clients:
                assert (await client.tool("bad__echo").reply()).text == "did echo"
            for client in clients:
                assert isinstance(client, StreamClient)
                assert client.transport is not None
                client.tool("bad__echo")
                client.transport.abort()
            await until(lambda: not running(str(tmp_path / "server.py")), f"round {round_number} leaves nothing")
        assert starts() == 9


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is what ties a child to its daemon")
async def test_orphaned_processes_and_38_gb__a_killed_gateway_leaves_none_either(tmp_path: Path) -> None:
    """The server has two hundred processes of its own, which ignore SIGTERM and hide in sessions of their own."""
    folder = tmp_path / "children"
    shutil.copytree(CHILDREN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    async with two_backends(table([*PYTHON, str(folder / "forks.py")]), timeout_s=10) as home:
        client = await home.join(StreamClient(home.tcp, "session"))
        assert (await client.tool("bad__misbehave").reply()).text == "200"
        await until(lambda: len(running(str(folder))) >= 200, "all of its processes run")
        home.process.kill()
        await within(home.process.wait())
        await until(lambda: not running(str(folder)), "nothing of it is left")


# -- "a fork failure takes the gateway down" --------------------------------------------------------------------------

SOMEBODY = 61_871
"""A user id with no processes: the kernel counts them by user, and never root's."""
MOST = 40
_KEEP_CAPABILITIES, _AMBIENT, _RAISE = 8, 47, 2  # prctl(2)
_READ_ANYTHING = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: wherever Python is installed
SHELL_SERVER = r"""#!/bin/sh
while read -r line; do
  id=${line#*\"id\":} id=${id%%[,\}]*}
  case $line in
    *\"initialize\"*)
      result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *\"tools/list\"*) result='{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}' ;;
    *\"tools/call\"*) result='{"content":[{"type":"text","text":"did echo"}]}' ;;
    *\"id\":*) echo '{"jsonrpc":"2.0","id":'$id',"error":{"code":-32601,"message":"no"}}'; continue ;;
    *) continue ;;
  esac
  echo '{"jsonrpc":"2.0","id":'$id',"result":'$result'}'
done
"""
"""For a user who may not even read where Python is."""
FILL = """
import os, signal, time
while True:
    try:
        if os.fork() == 0:
            signal.pause()
    except BlockingIOError:
        break
print("full", flush=True)
signal.pause()
"""


def become_somebody_with_few_processes() -> None:
    """Runs between fork and exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_NPROC, (MOST, MOST))
    libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)
    mask = sum(1 << capability for capability in _READ_ANYTHING)
    header = struct.pack("=Ii", 0x20080522, 0)
    if libc.capset(header, struct.pack("=6I", mask, mask, mask, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for capability in _READ_ANYTHING:
        libc.prctl(_AMBIENT, _RAISE, capability, 0, 0)


@asynccontextmanager
async def full_process_table() -> AsyncIterator[None]:
    """Nobody of that user can start a process or a thread."""
    filler = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", FILL,
        stdout=asyncio.subprocess.PIPE, preexec_fn=become_somebody_with_few_processes, start_new_session=True,
    )  # fmt: skip
    try:
        assert filler.stdout is not None
        assert await within(filler.stdout.readline()) == b"full\n"
        yield
    finally:
        os.killpg(filler.pid, signal.SIGKILL)
        await within(filler.wait())


@pytest.fixture
def shell_server() -> Iterator[str]:
    """A path that everybody can reach, unlike those below pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        Path(name).chmod(0o755)
        script = Path(name) / "server.sh"
        script.write_text(SHELL_SERVER, encoding="utf-8")
        yield str(script)


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to be somebody else")
async def test_a_fork_failure_takes_the_gateway_down__it_says_so_lives_and_tries_again(shell_server: str) -> None:
    command = table(["/bin/sh", shell_server])
    async with two_backends(command, before=become_somebody_with_few_processes, timeout_s=5) as home:
        async with full_process_table():
            session = await home.join(StreamClient(home.tcp, "session"))
            for _ in range(5):
                assert "bad" in (await session.tool("bad__echo").reply()).error["message"]
                assert (await session.tool("good__echo").reply()).text == "steady"
            why = (await home.bad_status())["slots"][0]["error"]
            assert "process" in why, why
            assert home.process.returncode is None
            heard = len(session.notices)
        # Nobody calls: it tries again by itself.
        await session.notices.wait(lambda item: item["method"] == LIST_CHANGED, skip=heard)
        assert (await session.tool("bad__echo").reply()).text == "did echo"


# -- "one call starts a hundred containers" ---------------------------------------------------------------------------


async def test_one_call_starts_a_hundred_containers__a_hundred_calls_start_one(tmp_path: Path) -> None:
    command, starts = counted(tmp_path, pause_s=0.5)
    async with two_backends(table(command), timeout_s=10) as home:
        clients = [await home.join(StreamClient(home.tcp, "modern")) for _ in range(10)]
        pending = [client.tool("bad__echo") for client in clients for _ in range(10)]
        assert [(await one.reply()).text for one in pending] == ["did echo"] * 100
        assert starts() == 1


async def test_one_call_starts_a_hundred_containers__nor_does_a_server_that_dies_of_every_call(tmp_path: Path) -> None:
    command, starts = counted(tmp_path)
    async with two_backends(table(command)) as home:
        client = await home.join(StreamClient(home.tcp, "modern"))
        await client.names()
        for _ in range(100):
            assert "`bad`" in (await client.tool("bad__misbehave").reply()).error["message"]
        assert starts() <= 8
        assert (await client.tool("good__echo").reply()).text == "steady"


async def test_one_call_starts_a_hundred_containers__nor_do_a_hundred_clients_that_may_be_asked(tmp_path: Path) -> None:
    """Such a client has a process of its own; `max_connections` bounds them."""
    command, starts = counted(tmp_path)
    async with two_backends(table(command) + "\nmax_connections = 5", timeout_s=10) as home:
        clients = [await home.join(StreamClient(home.tcp, "session", capabilities=ASKABLE)) for _ in range(12)]
        replies = [await one.reply() for one in [client.tool("bad__echo") for client in clients]]
        assert sum("result" in reply.message for reply in replies) == 5
        assert all("`max_connections`" in reply.error["message"] for reply in replies if "error" in reply.message)
        assert starts() == 5


# -- "expired upstream sessions are never opened again" ---------------------------------------------------------------


async def test_expired_upstream_sessions_are_never_opened_again__the_next_call_opens_one(tmp_path: Path) -> None:
    server = FaultyHttp("session")
    await server.start()
    try:
        async with two_backends(f'url = "{server.url}"', timeout_s=5) as home:
            clients = [*await both_sessions(home), await home.join(StreamClient(home.tcp, "modern"))]
            for _ in range(3):
                for client in clients:
                    assert (await client.tool("bad__echo").reply()).text == "did echo"
                greeted = server.asked["initialize"]
                server.sessions.clear()
                for client in clients:
                    assert (await client.tool("bad__echo").reply()).text == "did echo"
                assert server.asked["initialize"] == greeted + 1
            for client in clients:
                assert "bad__echo" in await client.names()
    finally:
        server.stop()
