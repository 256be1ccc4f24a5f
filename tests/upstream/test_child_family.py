"""Who belongs to a child, told from rows of /proc; and the keeper, on every shell there is."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tidegate.pipeline.upstream.child import keeper
from tidegate.pipeline.upstream.child.family import Family
from tidegate.pipeline.upstream.child.mark import daemon_mark, marked, next_mark, started
from tidegate.pipeline.upstream.child.proc import Row, read_row, read_variable

LEADER = 100
SHELLS = [path for path in ("/bin/sh", "/bin/dash", "/bin/bash", shutil.which("busybox") or "") if Path(path).is_file()]


def row(pid: int, parent: int = 1, group: int = 0, session: int = 0, at: int = 50) -> Row:
    return Row(pid, "S", parent, group or pid, session or pid, at, 0)


def members(*rows: Row, carriers: tuple[int, ...] = ()) -> set[int]:
    family = Family(row(LEADER, at=10), "mark")
    family._marks = {(one.pid, one.started): True for one in rows if one.pid in carriers}
    return {one.pid for one in family._members(list(rows))}


def test_group_session_mark_and_descent_make_a_member() -> None:
    leader = row(LEADER, at=10)
    assert members(leader, row(101, parent=100)) == {100, 101}
    assert members(leader, row(101, group=100), row(102, session=100), row(103)) == {100, 101, 102}
    assert members(leader, row(101), row(102), carriers=(101,)) == {100, 101}
    # In the session of one that carries the mark, in whatever order they are listed.
    assert members(row(104, group=103), row(103, session=102), row(102), leader, carriers=(102,)) == {
        100,
        102,
        103,
        104,
    }


def test_a_pid_that_is_used_again_makes_nobody_a_member() -> None:
    stranger = row(LEADER, at=99)
    friend = row(101, group=LEADER, session=LEADER)
    assert members(stranger, friend, row(102, parent=LEADER)) == set()
    assert members(stranger, friend, row(103), carriers=(103,)) == {103}


def test_the_gateway_itself_is_never_a_member() -> None:
    own = row(os.getpid(), group=LEADER)
    assert members(row(LEADER, at=10), own, carriers=(os.getpid(),)) == {LEADER}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_keeper_ends_groups_and_carriers_and_nobody_else(shell: str) -> None:
    reading, writing = os.pipe()
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    mark = f"{daemon_mark()}keeper"
    process = subprocess.Popen(
        [*words, "-c", keeper._SCRIPT, "tidegate-keeper", mark, str(started())],
        stdin=reading, stderr=subprocess.DEVNULL, env={}, start_new_session=True,
    )  # fmt: skip
    os.close(reading)
    environ = {"PATH": os.environ["PATH"], "LINES": "one\ntwo\n" * 100}
    hidden = "setsid sleep 600 & echo $!; exec sleep 600"
    carrier = subprocess.Popen(
        ["sh", "-c", hidden], env=marked(environ, mark), stdout=subprocess.PIPE, start_new_session=True
    )
    told, untold, other = (subprocess.Popen(["sleep", "600"], env=environ, start_new_session=True) for _ in range(3))
    assert carrier.stdout is not None
    grandchild = int(carrier.stdout.readline())
    try:
        for line in (f"+ {told.pid}", f"+ {untold.pid}", "+ 99999999", f"- {untold.pid}"):
            os.write(writing, line.encode() + b"\n")
        os.close(writing)
        assert process.wait(30) == 0
        assert (carrier.wait(5), told.wait(5)) == (-9, -9)
        assert (untold.poll(), other.poll()) == (None, None)
        deadline_s = time.monotonic() + 10
        while read_variable(grandchild, "TIDEGATE_CHILD"):
            assert time.monotonic() < deadline_s
    finally:
        for one in (process, carrier, told, untold, other):
            one.kill()
            one.wait()
        carrier.stdout.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_keeper_leaves_without_a_deed_when_it_is_told_to(shell: str) -> None:
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    mark = next_mark()
    spared = subprocess.Popen(["sleep", "600"], env=marked({"PATH": os.environ["PATH"]}, mark))
    try:
        done = subprocess.run(
            [*words, "-c", keeper._SCRIPT, "tidegate-keeper", mark, str(started())],
            input=b"+ 99999999\n.\n",
            env={},
            timeout=30,
        )
        assert done.returncode == 0
        assert spared.poll() is None
    finally:
        spared.kill()
        spared.wait()


def test_a_row_tells_what_the_kernel_does() -> None:
    found = read_row(os.getpid())
    assert found is not None
    assert (found.parent, found.group, found.session) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert not found.dead
    assert read_row(99999999) is None
    assert read_variable(os.getpid(), "NO_SUCH_VARIABLE") == b""
