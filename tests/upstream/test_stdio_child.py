"""One child as a link: what its owner is told, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import sys
from pathlib import Path

import anyio
import pytest

from tidegate.config.snapshot import Backend
from tidegate.errors import ChildEnded, TidegateError, UpstreamUnreachable
from tidegate.pipeline.upstream.child.mark import daemon_mark, next_mark
from tidegate.pipeline.upstream.child.orphans import end_orphans
from tidegate.pipeline.upstream.child.proc import read_row
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.stdio_child import StdioChild

pytestmark = pytest.mark.anyio

BOUND_S = 15


class Owner:
    """Hears everything."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.messages: list[bytes] = []
        self.told = asyncio.Event()
        self.loss: asyncio.Future[TidegateError] = asyncio.get_running_loop().create_future()

    def received(self, message: bytes, call: Call | None) -> None:
        self.messages.append(message)
        self.told.set()

    def garbled(self, reason: str, call: Call | None) -> None: ...

    def oversized(self, limit_bytes: int) -> None: ...

    def call_failed(self, call: Call, error: TidegateError) -> None: ...

    def ending(self) -> None: ...

    def lost(self, error: TidegateError) -> None:
        self.loss.set_result(error)


def child(*command: str, cwd: str | None = None) -> StdioChild:
    backend = Backend("files", "stdio", command=command, cwd=cwd)
    return StdioChild(backend, max_bytes=1 << 20, write_buffer_bytes=1 << 20)


def script(text: str) -> StdioChild:
    return child("/bin/sh", "-c", text)


async def ended(link: StdioChild) -> ChildEnded:
    """What is told of one that ends by itself."""
    owner = Owner()
    await link.open(owner)
    error = await asyncio.wait_for(owner.loss, BOUND_S)
    await link.aclose()
    assert isinstance(error, ChildEnded)
    return error


def descriptors() -> set[str]:
    return {entry.name for entry in os.scandir("/proc/self/fd")}


def carriers() -> list[int]:
    """Processes that any child of this test process has left."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                environ = Path(entry.path, "environ").read_bytes()
            except OSError:
                continue
            if daemon_mark().encode() in environ:
                found.append(int(entry.name))
    return found


async def test_what_it_last_said_is_told_even_without_an_end_of_line() -> None:
    error = await ended(script("echo one >&2; echo two >&2; printf three >&2; exit 4"))
    assert str(error) == "backend `files` exited with status 4; it last said: three"
    assert error.stderr == ("one", "two", "three")


async def test_of_a_long_stderr_the_last_lines_are_kept_each_cut() -> None:
    error = await ended(
        script("i=0; while [ $i -lt 500 ]; do echo line $i >&2; i=$((i+1)); done; printf %09999d 0 >&2")
    )
    assert len(error.stderr) == 100
    assert error.stderr[-2] == "line 499"
    assert error.stderr[-1] == "0" * 500


async def test_what_was_written_before_the_end_is_received_before_the_end_is_told() -> None:
    owner = Owner()
    link = script('i=0; while [ $i -lt 1000 ]; do echo "{}"; i=$((i+1)); done; kill -9 $$')
    await link.open(owner)
    error = await asyncio.wait_for(owner.loss, BOUND_S)
    assert len(owner.messages) == 1000
    assert str(error) == "backend `files` was ended by signal SIGKILL"
    await link.aclose()


async def test_nothing_stays_when_it_is_closed_while_others_close_it_too() -> None:
    # The loop's own descriptors are there after its first pipe.
    await ended(script("exit 1"))
    before = descriptors()
    link = script("setsid sleep 600 & sleep 600 & trap '' TERM; echo '{}'; cat; sleep 600")
    owner = Owner()
    await link.open(owner)
    await asyncio.wait_for(owner.told.wait(), BOUND_S)
    tasks = asyncio.all_tasks()
    async with anyio.create_task_group() as group:
        group.start_soon(link.aclose)
        group.start_soon(link.aclose)
    assert carriers() == []
    assert asyncio.all_tasks() == tasks
    assert descriptors() == before
    assert not owner.loss.done()


async def test_nothing_stays_of_one_that_is_told_to_end_while_it_is_opened() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        link = script("setsid sleep 600 & cat")
        try:
            await link.open(Owner())
        finally:
            await link.aclose()
    assert carriers() == []


async def test_a_thousand_messages_at_once_do_not_keep_the_loop() -> None:
    owner = Owner()
    link = script('i=0; out=; while [ $i -lt 1000 ]; do out="$out{}\n"; i=$((i+1)); done; printf \'%b\' "$out"; cat')
    await link.open(owner)
    seen = set()
    async with asyncio.timeout(BOUND_S):
        while len(owner.messages) < 1000:
            await asyncio.sleep(0)
            seen.add(len(owner.messages))
    # Others had their turns in between.
    assert max(late - early for early, late in zip(sorted(seen), sorted(seen)[1:], strict=False)) <= 64
    await link.aclose()


@pytest.mark.parametrize("fields", [{}, {"stderr": 1}], ids=["a notification", "a word on stderr"])
async def test_its_statistics_tell_memory_and_last_words(fields: dict[str, int]) -> None:
    owner = Owner()
    link = script("printf hello >&2; echo '{}'; cat")
    await link.open(owner)
    await asyncio.wait_for(owner.told.wait(), BOUND_S)
    async with asyncio.timeout(BOUND_S):
        while not (found := link.statistics())["stderr"]:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)
    assert found["stderr"] == ["hello"]
    assert found["running"] is True
    memory = found["memory_bytes"]
    assert isinstance(memory, int)
    assert 100_000 < memory < 50_000_000
    await link.aclose()
    assert link.statistics()["running"] is False


async def refusal(link: StdioChild) -> str:
    with pytest.raises(UpstreamUnreachable) as caught:
        await link.open(Owner())
    await link.aclose()
    return str(caught.value)


async def test_why_it_cannot_be_started_is_said_in_words(tmp_path: Path) -> None:
    closed = tmp_path / "closed.py"
    closed.write_text("#!/usr/bin/python3\n", encoding="utf-8")
    orphan = tmp_path / "orphan"
    orphan.write_text("#!/opt/no/such/interpreter -x\n", encoding="utf-8")
    orphan.chmod(0o755)
    assert "`nowhere-to-be-found` was not found; install it" in await refusal(child("nowhere-to-be-found"))
    assert f"`{closed}`: it may not be executed" in await refusal(child(str(closed)))
    assert "begins with `#!/opt/no/such/interpreter`" in await refusal(child(str(orphan)))
    assert f"its `cwd` `{tmp_path}/gone` is no directory" in await refusal(child("cat", cwd=str(tmp_path / "gone")))
    assert "too long" in await refusal(child("cat", "x" * 300_000))


async def test_one_that_cannot_be_started_for_want_of_descriptors_leaves_none_open_and_comes_when_there_are(
    tmp_path: Path,
) -> None:
    await ended(script("exit 1"))
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, before))
    for spare in range(14):
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
        owner = Owner()
        link = script("cat")
        try:
            await link.open(owner)
        except UpstreamUnreachable as error:
            assert "as many files open as it may" in str(error)  # noqa: PT017  whether it is raised depends on `spare`
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await link.aclose()
        assert descriptors() == before, spare
        assert carriers() == []
    link = script("echo '{}'; cat")
    owner = Owner()
    await link.open(owner)
    await asyncio.wait_for(owner.told.wait(), BOUND_S)
    await link.aclose()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
async def test_a_fork_that_fails_is_told_with_a_way_out(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tidegate.pipeline.upstream.child.process.subprocess.Popen", fail)
    said = await refusal(child("cat"))
    assert {errno.EAGAIN: "`TasksMax=`", errno.ENOMEM: "memory"}[number] in said
    assert said.endswith("it is tried again")


async def test_lines_of_stderr_are_logged_at_a_bounded_rate_and_cannot_steer_a_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tidegate.child")
    await ended(
        script("printf 'red \\033[31m\\n' >&2; sleep 0.2; i=0; while [ $i -lt 900 ]; do echo $i >&2; i=$((i+1)); done")
    )
    records = [record for record in caplog.records if record.name == "tidegate.child"]
    said = [record.getMessage().partition(" pid=")[2].partition(" ")[2] for record in records]
    assert {record.backend for record in records} == {"files"}  # type: ignore[attr-defined]
    assert said[0] == "red \ufffd[31m"
    assert len(said) < 200
    left_out = sum(int(line[1:].split()[0]) for line in said if line.endswith("lines left out)"))
    assert left_out + sum(not line.endswith("lines left out)") for line in said) == 901


async def test_a_kernel_that_tells_of_no_exit_by_descriptor_is_asked_by_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert str(await ended(script("setsid sleep 600 & exit 6"))) == "backend `files` exited with status 6"
    assert carriers() == []


async def test_without_a_shell_there_is_no_keeper_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tidegate.pipeline.upstream.child.keeper._SHELL", "/no/such/shell")
    assert str(await ended(script("exit 2"))) == "backend `files` exited with status 2"
    assert "keeper_not_started" in caplog.text


async def test_what_a_killed_gateway_and_its_keeper_left_is_ended_and_nothing_else() -> None:
    boot, namespace, *_ = daemon_mark().split(".")
    init = read_row(1)
    assert init is not None
    gone = f"{boot}.{namespace}.1.{init.started + 1}.7"
    left_alone = [
        "",
        "outer.1",
        f"{boot}.1.1.1.7",
        f"0.{namespace}.1.1.7",
        f"{boot}.{namespace}.1.{init.started}.7",
        next_mark(),
    ]
    path = {"PATH": os.environ["PATH"]}
    sleeping = [
        await asyncio.create_subprocess_exec("sleep", "600", env=path | {"TIDEGATE_CHILD": mark}) for mark in left_alone
    ]
    orphans = [
        await asyncio.create_subprocess_exec("sleep", "600", env=path | {"TIDEGATE_CHILD": mark})
        for mark in (gone, f"{gone} {next_mark()}", f"{next_mark()} {gone}")
    ]
    try:
        end_orphans()
        assert [await asyncio.wait_for(orphan.wait(), BOUND_S) for orphan in orphans] == [-9] * 3
        assert [one.returncode for one in sleeping] == [None] * len(sleeping)
    finally:
        for one in (*sleeping, *orphans):
            if one.returncode is None:
                one.kill()
            await one.wait()


async def test_a_gateway_in_a_gateway_hands_on_both_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_CHILD", "outer.1")
    owner = Owner()
    link = child(sys.executable, "-S", "-c", "import os; print(os.environ['TIDEGATE_CHILD'], flush=True); input()")
    await link.open(owner)
    await asyncio.wait_for(owner.told.wait(), BOUND_S)
    outer, own = owner.messages[0].decode().split()
    assert outer == "outer.1"
    assert own.startswith(daemon_mark())
    await link.aclose()
