"""Models that are broken, hang, or want more than there is, behind a daemon that is a process: each is told by its
name, and nobody else notices.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from clients import Client
from heard import BOUND_S, until
from hostile_folders import HOSTILE, MIB, ROW, SOUND, Hostile, counting, summed, write
from living_daemon import Living, living
from onnx_writing import doubling
from plain_server import PLAIN_SERVER

pytestmark = pytest.mark.anyio
pytest.importorskip("onnxruntime")

WAYS = (("session", "tcp"), ("modern", "http"))
ROUNDS = 5
"""Of all that is broken, in both eras: some 200 calls."""
LONG = 1 << 40
"""To count so far takes hours."""
FOREVER = summed(LONG)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Living]:
    folder = tmp_path_factory.mktemp("models")
    entries = ", ".join(write(folder, one) for one in (*HOSTILE, *SOUND))
    kin = write(folder / "kin", Hostile("twice", "", "", doubling()))
    text = (
        f"access_log = true\n[limits]\nrate_per_s = 0\n"
        f'[backends.m]\nprefix = ""\nmemory_bytes = {1024 * MIB}\nmodels = [{entries}]\n'
        f'[backends.kin]\nprefix = ""\nmodels = [{kin}]\n'
        f"[backends.plain]\ncommand = {json.dumps(PLAIN_SERVER)}\n"
    )
    async with living(text) as alive:
        yield alive
        born = _family(alive.process.pid)
    assert not [pid for pid in born if _runs(pid)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
async def client(daemon: Living, request: pytest.FixtureRequest) -> Client:
    return await daemon.join(*request.param)


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def _runs(pid: int) -> bool:
    return not _status(pid).get("State", "Z").startswith("Z")


def _family(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_family(int(child))]
    return found


def _resident(pid: int) -> int:
    return int(_status(pid)["VmRSS"].split()[0]) * 1024


async def _worker(alive: Living, backend: str) -> int:
    """Its process; 0: there is none."""
    for found in (await alive.status())["backends"]:
        if found["backend"] == backend:
            pids = [slot.get("link", {}).get("pid") for slot in found["slots"]]
            return int(pids[0]) if pids and pids[0] else 0
    raise AssertionError(backend)


async def _kill(alive: Living, backend: str) -> int:
    """Returns which process it was, once the daemon knows."""
    worker = await _worker(alive, backend)
    os.kill(worker, signal.SIGKILL)
    await _another(alive, backend, worker)
    return worker


async def _another(alive: Living, backend: str, than: int) -> None:
    """Waits until its process is another one, or there is none."""
    with anyio.fail_after(BOUND_S):
        while True:
            if await _worker(alive, backend) != than:
                return
            await anyio.sleep(0.02)


async def _doubled(client: Client, tool: str = "double") -> None:
    result = (await client.tool(tool, ROW).reply()).result
    assert result["structuredContent"]["outputs"]["y"]["data"] == [[2.0, 4.0, 6.0]]


async def _echoed(client: Client, text: str) -> None:
    assert (await client.tool("plain__echo", {"text": text}).reply()).text.startswith(text)


@pytest.mark.parametrize("one", HOSTILE, ids=lambda one: one.name)
async def test_what_is_broken_has_its_name_and_the_next_one_is_served(client: Client, one: Hostile) -> None:
    error = (await client.tool(one.name, one.arguments).reply()).error
    assert error["data"]["reason"] == one.slug, error
    assert f"`{one.name}`" in error["message"]
    assert one.said in error["message"]
    await _doubled(client)


async def test_two_hundred_broken_calls_leave_nothing_and_keep_nobody(daemon: Living) -> None:
    clients = [await daemon.join(*way) for way in WAYS]
    others = await daemon.join("modern", "tcp")
    before = 0
    await _doubled(others, "twice")
    await _echoed(others, "first ")
    running = _family(daemon.process.pid)
    for turn in range(ROUNDS):
        pending = [client.tool(one.name, one.arguments) for client in clients for one in HOSTILE]
        for number in range(len(HOSTILE)):
            await _echoed(others, f"{turn}.{number} ")
        await _doubled(others, "twice")
        told = [(await call.reply()).error["data"]["reason"] for call in pending]
        assert told == 2 * [one.slug for one in HOSTILE]
        # What the first of them took was for all.
        before = before or _resident(daemon.process.pid)
    assert _resident(daemon.process.pid) - before < 4 * MIB
    assert len(_family(daemon.process.pid)) <= len(running)

    def counted() -> int:
        return sum("backend=m " in line and "outcome=error" in line for line in daemon.log)

    # Each in the access log, which is read behind the answers.
    await until(lambda: counted() >= 2 * ROUNDS * len(HOSTILE))


async def test_a_worker_that_is_killed_is_an_error_for_each_and_the_next_call_starts_one(daemon: Living) -> None:
    clients = [await daemon.join(*way) for way in WAYS for _ in range(2)]
    long = [client.begin("tools/call", {"name": "count", "arguments": FOREVER}) for client in clients]
    behind = [client.tool("count", summed(number)) for number, client in enumerate(clients)]
    for client in clients:
        # What came before it is with the worker now.
        await _doubled(client)
    worker = await _kill(daemon, "m")
    for call in (*long, *behind):
        error = (await call.reply()).error
        assert "was ended by signal SIGKILL" in error["message"], error
    for client in clients:
        await _doubled(client)
    assert await _worker(daemon, "m") != worker
    assert not _runs(worker)


async def test_one_that_does_not_return_is_told_so_in_time_and_others_go_on(client: Client, daemon: Living) -> None:
    pending = client.tool("hang", FOREVER)
    other = await daemon.join("session", "tcp")
    while not pending.answer.done():
        await _doubled(other)
        await _echoed(other, "meanwhile ")
    error = (await pending.reply()).error
    assert error["data"]["reason"] == "model_deadline"
    assert error["message"] == "model `hang` did not answer within 1.5 s"
    await _kill(daemon, "m")  # it would end itself half a minute later


async def test_a_worker_that_is_stopped_keeps_nobody_else(client: Client, daemon: Living) -> None:
    await _doubled(client)
    worker = await _worker(daemon, "m")
    os.kill(worker, signal.SIGSTOP)
    pending = client.tool("double", ROW)
    other = await daemon.join("session", "tcp")
    for number in range(20):
        await _echoed(other, f"{number} ")
        await _doubled(other, "twice")
    assert not pending.answer.done()
    os.kill(worker, signal.SIGCONT)
    assert (await pending.reply()).result["structuredContent"]["outputs"]["y"]["data"] == [[2.0, 4.0, 6.0]]


@pytest.fixture
async def poor(tmp_path: Path) -> AsyncIterator[Living]:
    """Each of two sets fits, both together do not."""
    text = f"[models]\nmemory_bytes = {95 * MIB}\n"
    for name in ("one", "two"):
        entry = write(tmp_path, Hostile(name, "", "", counting(), limits={"memory_bytes": MIB}))
        text += f'[backends.{name}]\nprefix = ""\nmodels = [{entry}]\n'
    async with living(text) as alive:
        yield alive


async def test_of_two_over_the_budget_the_idle_one_gives_way_and_of_two_busy_ones_the_larger(poor: Living) -> None:
    client = await poor.join("modern", "tcp")
    for name in ("one", "two", "one"):
        assert (await client.tool(name, summed(3)).reply()).result["structuredContent"]["outputs"]["y"]["data"] == 3
    # Of the two it is the one that nobody used for longer, at the looks of a whole second, or the larger one.
    with anyio.fail_after(BOUND_S):
        while True:
            if not (await _worker(poor, "one") and await _worker(poor, "two")):
                break
            await anyio.sleep(0.02)
    long = [client.tool(name, FOREVER) for name in ("one", "two")]
    await until(lambda: any(call.answer.done() for call in long))
    (error,) = (call.answer.result().error for call in long if call.answer.done())
    assert "all models together used" in error["message"]
