"""`make demo-safety` shows what it says, and tells when something is not as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import machine_log
import pytest
from machine_log import Approvals, MachineLog
from show_safety import NARROW, SHOW

BOUND_S = 60.0


def test_the_demonstration_goes_as_it_should_and_fits_its_width() -> None:
    done = subprocess.run(
        [sys.executable, str(SHOW), "--columns", "100"],
        env={key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b[" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "none of them unsafe" in done.stdout
    for word in ("2026-07-28", "2025-11-25", "the person agrees", "above the most allowed", "arm__stop by itself"):
        assert word in done.stdout


def test_a_gateway_that_does_not_start_is_the_exit_status(tmp_path: Path) -> None:
    broken = tmp_path / "tidegate"
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(SHOW), "--columns", str(NARROW)],
        env={**os.environ, "TIDEGATE_COMMAND": str(broken)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert done.returncode == 1
    assert "ended with 3" in done.stdout
    assert "Traceback" not in done.stderr


SECOND = 10**9


@pytest.mark.parametrize(
    ("commands", "found"),
    [
        ([(0, "move", {"joint": "a", "to": 20}), (1, "move", {"joint": "b", "to": 20})], 0),
        ([(0, "move", {"joint": "a", "to": 21})], 1),
        ([(0, "move", {"joint": "a", "to": 20}), (1, "wave", {"joint": "a", "to": 41})], 1),
        ([(0, "move", {"joint": "a", "to": -1})], 1),
        ([(0, "move", {"joint": "a", "to": "5"})], 1),
        ([(0, "move", {"joint": "a", "to": True})], 1),
        ([(0, "move", {"joint": "a", "to": float("nan")})], 1),
        ([(0, "move", {"joint": "a"})], 1),
        ([(0, "move", {"joint": "a", "to": 5, "force": 9})], 1),
        ([(0, "press", {"force": 51})], 1),
        ([(0, "press", {"force": 50})], 0),
        ([(0, "pour", {"valve": "a", "to": 90}), (30 * SECOND, "pour", {"valve": "a", "to": 60})], 0),
        ([(0, "pour", {"valve": "a", "to": 90}), (3 * SECOND, "pour", {"valve": "a", "to": 60})], 1),
        ([(0, "drive", {"speed": 5}), (1, "stop", {}), (2, "drive", {"speed": 5})], 1),
        ([(0, "drive", {"speed": 5}), (1, "stop", {}), (2, "rearm", {}), (3, "drive", {"speed": 5})], 0),
    ],
)
def test_what_is_unsafe_is_found_in_the_log(commands: list[tuple[int, str, dict[str, object]]], found: int) -> None:
    seen = [machine_log.Command(*one) for one in commands]
    assert len(machine_log.faults(seen, Approvals())) == found


def test_an_approval_counts_once_and_only_for_what_comes_after_it(tmp_path: Path) -> None:
    log = MachineLog(tmp_path / "log")
    line = '{{"at_ns":{},"tool":"press","arguments":{{"force":60}}}}\n'
    question = 'Arguments: {"force":60} (filter `safety` asks before `arm__press` is called)'
    log.path.write_text(line.format(5) + line.format(6), encoding="utf-8")
    assert len(log.unsafe(Approvals([(4, question)]))) == 1
    assert len(log.unsafe(Approvals([(4, question), (5, question)]))) == 0
    assert len(log.unsafe(Approvals([(4, question), (7, question)]))) == 1
    assert len(log.unsafe(Approvals([(4, question.replace("60", "61")), (4, question)]))) == 1
