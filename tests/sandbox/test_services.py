"""What a guest gets of the store and of HTTP: one in C, compiled here, on the real sandbox."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Grants, Limits
from tidegate.config.snapshot import Plugin as Configured
from tidegate.errors import PluginDeadline, PluginFailed, PluginNotGranted
from tidegate.events import Event, Events, PluginActed
from tidegate.pipeline.plugins import Plugins
from tidegate.sandbox.artefacts import Artefacts, sha256_of_file
from tidegate.sandbox.engine import engine_key
from tidegate.sandbox.plugin import Plugin

if TYPE_CHECKING:
    from tidegate._sandbox import Wire

FAILURES = {failure.slug: failure for failure in PluginFailed.__subclasses__()}
pytestmark = pytest.mark.anyio

WAIT_S = 30.0
"""Bound of each wait; never reached when all is well."""
SOURCE = Path(__file__).with_name("puppet.c")
CLANG = ("--target=wasm32", "-std=c11", "-O1", "-fno-builtin", "-Werror", "-nostdlib", "-Wl,--no-entry,--strip-all")
MANIFEST = """
name = "puppet"
version = "1.0.0"
description = "Does what it is told."
world = "tool"
tools = [{ name = "do", description = "…", input_schema = { type = "object" } }]
asks = { store_bytes = 1000, http = ["*"] }
limits = { deadline_ms = 20000 }
"""


@pytest.fixture(scope="session")
def puppet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        pytest.skip("needs clang and wasm-ld")
    pytest.importorskip("tidegate._sandbox")
    file = tmp_path_factory.mktemp("puppet") / "puppet.wasm"
    subprocess.run([clang, *CLANG, "-o", file, SOURCE], check=True, timeout=60)
    file.with_suffix(".toml").write_text(MANIFEST)
    return file


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled code stays from one test to the next."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def directory(state: Path) -> Path:
    for file in state.glob("plugins.sqlite3*"):
        file.unlink()
    return state


class Ended:
    def __init__(self) -> None:
        self.answer: Any = None
        self._over = asyncio.Event()

    def __call__(self, answer: Any) -> None:
        assert not self._over.is_set()
        self.answer = answer
        self._over.set()

    async def got(self) -> Any:
        async with asyncio.timeout(WAIT_S):
            await self._over.wait()
        if "error" in self.answer:
            raise FAILURES[self.answer["error"]["data"]["reason"]](self.answer["error"]["message"])
        return self.answer["result"]["structuredContent"]["got"]


class Started:
    """A call over a wire of its own."""

    def __init__(self, wire: Wire, number: int) -> None:
        self._wire = wire
        self._number = number

    def cancel(self) -> None:
        self._wire.cancel(b"%d" % self._number)


NUMBERS = itertools.count(1)
OPEN: dict[int, Ended] = {}


def receive(lines: bytes) -> None:
    for line in lines.splitlines():
        answer = json.loads(line)
        OPEN.pop(answer["id"])(answer)


def start(plugin: Plugin, what: str, arguments: object = None, timeout_s: float = 20.0) -> tuple[Ended, Started]:
    number = next(NUMBERS)
    ended = OPEN[number] = Ended()
    plugin.receive = receive
    wire = plugin.wire(64, timeout_s, 1 << 24)
    params = {"name": what, "arguments": arguments or {}}
    request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    assert wire.send(json.dumps(request).encode())
    return ended, Started(wire, number)


async def do(plugin: Plugin, what: str, arguments: object = None, timeout_s: float = 20.0) -> Any:
    return await start(plugin, what, arguments, timeout_s)[0].got()


def kept(directory: Path) -> list[str]:
    """Names of the store's files."""
    return sorted(file.name for file in directory.glob("plugins.sqlite3*"))


@asynccontextmanager
async def loaded(
    puppet: Path, directory: Path | None, grants: Grants, *names: str, told: list[Event] | None = None
) -> AsyncIterator[list[Plugin]]:
    """`told`: gets what is said of what plugins do."""
    events = Events()
    if told is not None:
        events.subscribe(told.append)
    plugins = Plugins(directory, (), Limits(), Clock(), events)
    configured = Configured(str(puppet), digest=sha256_of_file(puppet), grants=grants)
    try:
        yield [await plugins.load_backend(Backend(name, "wasm", plugin=configured)) for name in names or ("puppet",)]
    finally:
        async with asyncio.timeout(WAIT_S):
            await plugins.aclose()


# -- its code -------------------------------------------------------------------------------------------------------


async def test_code_with_a_good_seal_that_cannot_be_run_here_is_told_and_compiled_anew(
    puppet: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after the disk was moved to a box with an older processor."""
    engine = engine_key()
    Artefacts(tmp_path).put(sha256_of_file(puppet), engine, b"no code at all")
    async with loaded(puppet, tmp_path, Grants(store_bytes=1000)) as (plugin,):
        assert await do(plugin, "get") is None
    assert any(line.startswith("plugin_artefact_ignored plugin=puppet reason=") for line in caplog.messages)
    caplog.clear()
    async with loaded(puppet, tmp_path, Grants(store_bytes=1000)) as (plugin,):
        assert await do(plugin, "get") is None
    assert not caplog.messages


# -- the store ------------------------------------------------------------------------------------------------------


async def test_what_is_kept_outlives_the_call_and_the_gateway_and_is_the_plugins_own(
    puppet: Path, directory: Path
) -> None:
    grants = Grants(store_bytes=1000)
    async with loaded(puppet, directory, grants, "one", "two") as (one, two):
        assert await do(one, "get") is None
        assert await do(one, "set", {"a": 1}) == 0
        assert await do(one, "get") == {"a": 1}
        assert await do(two, "get") is None
        assert await do(two, "set", {"b": 2}) == 0
    async with loaded(puppet, directory, grants, "one", "two") as (one, two):
        assert await do(one, "get") == {"a": 1}
        assert await do(one, "delete") == 0
        assert await do(one, "get") is None
        assert await do(two, "get") == {"b": 2}


async def test_nothing_is_kept_on_disk_without_a_place_for_it(puppet: Path) -> None:
    async with loaded(puppet, None, Grants(store_bytes=1000)) as (plugin,):
        assert await do(plugin, "set", {"a": 1}) == 0
        assert await do(plugin, "get") == {"a": 1}
    async with loaded(puppet, None, Grants(store_bytes=1000)) as (plugin,):
        assert await do(plugin, "get") is None


async def test_over_its_quota_a_guest_is_told_and_the_old_value_stays(puppet: Path, directory: Path) -> None:
    async with loaded(puppet, directory, Grants(store_bytes=1000)) as (plugin,):
        assert await do(plugin, "set", {"a": 1}) == 0
        assert await do(plugin, "set", {"a": "x" * 1000}) == 1
        assert await do(plugin, "get") == {"a": 1}


async def test_without_the_grant_there_is_no_store(puppet: Path, directory: Path) -> None:
    async with loaded(puppet, directory, Grants()) as (plugin,):
        with pytest.raises(PluginNotGranted, match="store"):
            await do(plugin, "get")
    assert kept(directory) == []


async def test_a_damaged_file_is_told_to_the_operator_and_begun_anew(
    puppet: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "plugins.sqlite3").write_bytes(b"x" * 5000)
    async with loaded(puppet, directory, Grants(store_bytes=1000)) as (plugin,):
        assert await do(plugin, "set", {"a": 1}) == 0
        assert await do(plugin, "get") == {"a": 1}
    assert "plugins.sqlite3.damaged" in caplog.text


# -- HTTP -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def server(answer: bytes | None) -> AsyncIterator[tuple[str, asyncio.Queue[bytes]]]:
    """`host:port` of one that says `answer` to whatever it hears; None: nothing until the client is gone."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            assert await reader.read() == b""
            heard.put_nowait(b"gone")
        else:
            writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield f"{host}:{port}", heard


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


async def test_a_guest_reaches_a_granted_host(puppet: Path, directory: Path) -> None:
    async with (
        server(OK) as (place, heard),
        loaded(puppet, directory, Grants(http=(place,))) as (plugin,),
    ):
        got = await do(plugin, "http", {"url": f"http://{place}/x", "headers": {"X-A": "b"}})
        assert got["ok"]["status"] == 200
        assert got["ok"]["body"] == "hi"
        asked = heard.get_nowait()
        assert asked.startswith(b"GET /x HTTP/1.1\r\n")
        assert b"x-a: b\r\n" in asked


async def test_a_guest_that_asks_for_another_host_is_told_so(puppet: Path, directory: Path) -> None:
    async with (
        server(OK) as (place, heard),
        loaded(puppet, directory, Grants(http=("api.example.com",))) as (plugin,),
    ):
        got = await do(plugin, "http", {"url": f"http://{place}/x"})
        assert "is not granted" in got["error"]
        assert heard.empty()


async def test_each_request_of_a_guest_is_told_to_whoever_keeps_account(puppet: Path, directory: Path) -> None:
    told: list[Event] = []
    async with (
        server(OK) as (place, _),
        loaded(puppet, directory, Grants(http=(place,)), told=told) as (plugin,),
    ):
        await do(plugin, "http", {"url": f"http://{place}/x"})
        await do(plugin, "http", {"url": "https://elsewhere.example/y"})
    acts = [event for event in told if isinstance(event, PluginActed)]
    assert [(act.plugin, act.what, act.target, act.outcome) for act in acts] == [
        ("puppet", "http", f"GET http://{place}/x", "ok"),
        ("puppet", "http", "GET https://elsewhere.example/y", "plugin_not_granted"),
    ]


async def test_without_the_grant_there_is_no_http(puppet: Path, directory: Path) -> None:
    async with loaded(puppet, directory, Grants(store_bytes=1000)) as (plugin,):
        with pytest.raises(PluginNotGranted, match="http"):
            await do(plugin, "http", {"url": "https://api.example.com/"})


async def test_a_call_that_is_cancelled_lets_go_of_its_request(puppet: Path, directory: Path) -> None:
    async with (
        server(None) as (place, heard),
        loaded(puppet, directory, Grants(http=(place,))) as (plugin,),
        asyncio.timeout(WAIT_S),
    ):
        _, call = start(plugin, "http", {"url": f"http://{place}/x"})
        await heard.get()
        call.cancel()
        assert await heard.get() == b"gone"


async def test_a_call_that_is_over_lets_go_of_its_request_which_is_told(puppet: Path, directory: Path) -> None:
    told: list[Event] = []
    async with (
        server(None) as (place, heard),
        loaded(puppet, directory, Grants(http=(place,)), told=told) as (plugin,),
        asyncio.timeout(WAIT_S),
    ):
        with pytest.raises(PluginDeadline):
            await do(plugin, "http", {"url": f"http://{place}/x"}, timeout_s=0.2)
        await heard.get()
        assert await heard.get() == b"gone"
    # It was sent, and may have been heeded.
    assert [(act.target, act.outcome) for act in told if isinstance(act, PluginActed)] == [
        (f"GET http://{place}/x", "cancelled")
    ]


# -- the event loop -------------------------------------------------------------------------------------------------


async def test_what_guests_ask_for_at_once_is_looked_at_one_by_one(
    puppet: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take milliseconds of the event loop, which others wait for."""
    async with loaded(puppet, directory, Grants(http=("127.0.0.1",))) as (plugin,):
        put: list[int] = []
        monkeypatch.setattr(plugin.sandbox._questions, "put", lambda what, call, token, *rest: put.append(token))
        first = 1 << 40  # of no other call
        for token in range(first, first + 4):
            plugin.sandbox._told(plugin, "http", 0, token, 1, "{}", "", "")
        # That call is over before its question's turn: nobody waits for an answer.
        plugin.sandbox._told(plugin, "failed", 0, first + 2, 0, "plugin_deadline", "", "")
        for many in (0, 1, 2, 3, 3):
            assert len(put) == many
            await asyncio.sleep(0)
        assert put == [first, first + 1, first + 3]
