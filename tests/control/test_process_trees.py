"""What the kernel says of child processes."""

from __future__ import annotations

import subprocess
import sys

from tidegate.control.telemetry.process_trees import tree_usage

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
        usage = tree_usage(process.pid)
        process.stdin.close()
    assert usage is not None
    assert usage.processes == 2
    assert usage.memory_bytes > 4_000_000
    assert 0 <= usage.cpu_s < 60


def test_who_is_gone_has_no_usage() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as process:
        process.wait()
        assert tree_usage(process.pid) is None
