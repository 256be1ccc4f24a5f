"""What the kernel says of child processes."""

from __future__ import annotations

import subprocess
import sys

from tidegate.control.telemetry.process_trees import group_usage

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], stdin=subprocess.PIPE)
input()
"""


def test_a_child_counts_with_what_it_started() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        usage = group_usage({process.pid, 2**22 + 1})
        process.stdin.close()
    assert list(usage) == [process.pid]
    assert usage[process.pid].processes == 2
    assert usage[process.pid].memory_bytes > 4_000_000
    assert 0 <= usage[process.pid].cpu_s < 60


def test_who_is_gone_has_no_row() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as process:
        process.wait()
        assert group_usage({process.pid}) == {}
    assert group_usage(()) == {}
