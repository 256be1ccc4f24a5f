"""A running daemon whose configuration file changes: by every trigger, for better and for worse."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from heard import within
from living_daemon import LISTEN, TIDEGATE, Living, living
from plain_server import PLAIN_SERVER

pytestmark = pytest.mark.anyio
ONE = f"[backends.one]\ncommand = {json.dumps(PLAIN_SERVER)}\n"
TWO = f"[backends.two]\ncommand = {json.dumps(PLAIN_SERVER)}\n"
BAD = f"{ONE}\n[limits]\ndrain = 1\n"
Trigger = Callable[[Living], Awaitable[object]]


@pytest.fixture(scope="module")
async def unwatched() -> AsyncIterator[Living]:
    """One daemon for all that is asked for; its file is not watched."""
    async with living(ONE, "--no-watch") as daemon:
        yield daemon


async def set_to(daemon: Living, text: str) -> int:
    """Puts `text` into force; the generation."""
    daemon.write(text)
    status, told = await daemon.post()
    assert status == 200, told
    generation = told["generation"]
    assert isinstance(generation, int)
    return generation


async def by_signal(daemon: Living) -> None:
    daemon.hang_up()


async def by_verb(daemon: Living) -> None:
    await daemon.verb("reload")


@pytest.mark.parametrize("trigger", [by_signal, by_verb])
async def test_asked_for_it_takes_up_what_changed_and_refuses_what_is_bad(unwatched: Living, trigger: Trigger) -> None:
    daemon = unwatched
    generation = await set_to(daemon, ONE)
    client = await daemon.join()
    pid = (await client.tool("echo").reply()).text

    daemon.write(BAD)
    await trigger(daemon)
    last = await daemon.last_reload(lambda last: last["result"] == "refused")
    assert last["generation"] == generation
    (problem,) = last["problems"]
    assert (problem["file"], problem["line"], problem["key"]) == (str(daemon.config), 5, "limits.drain")
    assert any(f"{daemon.config}:5: limits.drain: unknown key" in line for line in daemon.log)
    assert (await client.tool("echo").reply()).text == pid

    daemon.write(ONE + TWO)
    await trigger(daemon)
    await client.notices.wait(lambda item: item["method"] == "notifications/tools/list_changed")
    assert await client.names() == ["one__echo", "two__echo"]
    assert (await client.tool("one__echo").reply()).text == pid
    configuration = (await daemon.status())["configuration"]
    assert (configuration["generation"], configuration["watched"]) == (generation + 1, False)
    assert configuration["last_reload"]["result"] == "applied"


async def test_the_admin_listener_answers_when_it_is_in_force_and_never_a_browser(unwatched: Living) -> None:
    daemon = unwatched
    generation = await set_to(daemon, ONE + TWO)
    client = await daemon.join("modern")
    assert await client.names() == ["one__echo", "two__echo"]
    daemon.write(ONE)
    for headers in ({"Origin": daemon.admin}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-origin"}):
        assert (await daemon.post(**headers))[0] == 403
    assert (await daemon.post(Host="evil.example.org"))[0] == 403
    assert (await client.tool("two__echo").reply()).result
    status, told = await daemon.post()
    assert (await client.tool("two__echo").reply()).error["message"] == "Unknown tool: `two__echo`"
    assert (status, told["result"], told["generation"]) == (200, "applied", generation + 1)
    assert told["changed"]["backends"] == {
        "added": [], "removed": ["two"], "changed": [], "adjusted": [], "unchanged": ["one"]
    }  # fmt: skip
    assert (await daemon.post())[1]["result"] == "unchanged"
    daemon.write(BAD)
    status, told = await daemon.post()
    assert (status, told["result"], told["problems"][0]["key"]) == (422, "refused", "limits.drain")
    assert told["error"].startswith(f"{daemon.config}:5: limits.drain: ")


async def test_the_verb_says_what_changed_and_tells_by_its_exit_code(unwatched: Living) -> None:
    daemon = unwatched
    now = await set_to(daemon, ONE)
    daemon.write(f"{ONE}exclude = ['x']\n{TWO}[limits]\nin_flight = 7\nbody_bytes = 4096\n")
    code, out, err = await daemon.verb("reload")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"configuration {now + 1} is in force",
        "  backends, added: two",
        "  backends, changed, goes on: one",
        "  limits: in_flight",
        "  limits, for connections opened from now on: body_bytes",
    ]
    assert await daemon.verb("reload") == (0, f"nothing changed; configuration {now + 1} stays in force\n", "")
    daemon.write(BAD)
    code, out, err = await daemon.verb("reload")
    assert (code, out) == (2, "")
    assert f"{daemon.config}:5: limits.drain: unknown key" in err
    assert f"configuration {now + 1} stays in force" in err
    code, out, _ = await daemon.verb("reload", "--json")
    assert (code, json.loads(out)["problems"][0]["line"]) == (2, 5)


async def test_reloads_asked_for_at_once_are_two(unwatched: Living) -> None:
    daemon = unwatched
    generation = await set_to(daemon, ONE)
    daemon.write(ONE + TWO)
    answers = await asyncio.gather(*(daemon.post() for _ in range(4)))
    assert {status for status, _ in answers} == {200}
    assert {told["generation"] for _, told in answers} == {generation + 1}
    assert len({told["at"] + str(told["took_s"]) for _, told in answers}) <= 2


def test_where_nobody_is_there_to_reload_it_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    from tidegate.cli import main

    assert main(["reload", "--admin", "127.0.0.1:1"]) == 3
    assert "no gateway answers at `127.0.0.1:1`" in capfd.readouterr().err


async def test_changed_files_and_secrets_are_taken_up_by_themselves(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("first", encoding="utf-8")
    good = f'{ONE}[backends.two]\ncommand = {json.dumps(PLAIN_SERVER)}\nenv = {{ TOKEN = "${{file:{secret}}}" }}\n'
    async with living(good) as daemon:
        client = await daemon.join()
        before = [(await client.tool(f"{name}__echo").reply()).text for name in ("one", "two")]
        daemon.write(BAD)
        last = await daemon.last_reload(lambda last: True)
        assert (last["cause"], last["result"]) == ("a changed file", "refused")
        daemon.write(f"{good}[limits]\nin_flight = 9\n")
        last = await daemon.last_reload(lambda last: last["result"] == "applied")
        assert last["changed"]["limits"]["now"] == ["in_flight"]
        beside = tmp_path / "new"
        beside.write_text("second-secret", encoding="utf-8")
        beside.replace(secret)
        last = await daemon.last_reload(lambda last: last["generation"] == 3)
        assert last["changed"]["backends"]["changed"] == ["two"]
        after = [(await client.tool(f"{name}__echo").reply()).text for name in ("one", "two")]
        assert (before[0] == after[0], before[1] == after[1]) == (True, False)
        status = await daemon.status()
        assert status["configuration"]["watched"] is True
        assert "second-secret" not in json.dumps(status)


async def test_killed_in_the_middle_of_a_reload_it_starts_again_with_what_the_file_says(tmp_path: Path) -> None:
    async with living(ONE, "--no-watch", folder=tmp_path) as daemon:
        client = await daemon.join()
        await client.names()
        daemon.write(ONE + TWO)
        daemon.hang_up()
        daemon.process.kill()
        await within(daemon.process.wait())
    async with living(ONE + TWO, folder=tmp_path) as daemon:
        assert await (await daemon.join()).names() == ["one__echo", "two__echo"]


async def test_sigterm_during_a_reload_ends_it() -> None:
    async with living(ONE, "--no-watch") as daemon:
        daemon.write(ONE + TWO)
        daemon.hang_up()
        daemon.process.terminate()
        assert await within(daemon.process.wait()) == 0


async def test_the_service_manager_hears_of_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        loop = asyncio.get_running_loop()

        async def told(key: str) -> dict[str, str]:
            while True:
                said = (await within(loop.sock_recv(manager, 8192))).decode()
                fields = dict(line.split("=", 1) for line in said.splitlines())
                if key in fields:
                    return fields

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with living(ONE, "--no-watch", environ=environ) as daemon:
            assert (await told("READY"))["STATUS"].startswith("1 backend: ")
            daemon.write(BAD)
            daemon.hang_up()
            assert int((await told("RELOADING"))["MONOTONIC_USEC"]) > 0
            status = (await told("READY"))["STATUS"]
            refused = f"the changed configuration is refused: {daemon.config}:5: limits.drain: unknown key"
            assert status.startswith("1 backend: ")
            assert refused in status
            daemon.write(ONE + TWO)
            daemon.hang_up()
            await told("RELOADING")
            mended = (await told("READY"))["STATUS"]
            assert mended.startswith("2 backends: ")
            assert "refused" not in mended


def test_whose_terminal_is_closed_ends_instead_of_reloading(tmp_path: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(TIDEGATE[0], [*TIDEGATE, "serve", *LISTEN, "--unix", str(tmp_path / "s")])
    said = b""
    while b'"ready": true' not in said:
        said += os.read(terminal, 4096)
    os.kill(pid, signal.SIGHUP)
    # It goes on: the terminal is there, and so the signal was somebody's.
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status)
    assert not (tmp_path / "s").exists()
