"""Log lines on stderr: what is printed, and how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, os, sys
from tidegate.control.telemetry.console import print_lines
from tidegate.control.telemetry.log_ring import LogRing
if sys.argv[2] == "journal":
    found = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
print_lines(sys.stderr, sys.argv[1])
LogRing(str).attach()
log = logging.getLogger("tidegate.x")
log.info("an info")
log.warning("two\\nlines\\r")
logging.getLogger("other").info("of a library")
try:
    raise ValueError("odd")
except ValueError:
    log.exception("failed")
"""


def printed(tmp_path: Path, level: str, where: str) -> list[str]:
    said = tmp_path / "stderr"
    with said.open("wb") as stderr:
        subprocess.run([sys.executable, "-c", PROGRAM, level, where], stderr=stderr, check=True)
    return said.read_text(encoding="utf-8").splitlines()


def test_the_console_prints_what_was_asked_for_although_the_ring_keeps_more(tmp_path: Path) -> None:
    lines = printed(tmp_path, "warning", "console")
    assert lines[0].endswith(" WARNING tidegate.x two\\nlines\\r")
    assert lines[1].endswith(" ERROR tidegate.x failed")
    assert lines[-1] == "ValueError: odd"


@pytest.mark.parametrize("where", ["console", "journal"])
def test_more_can_be_asked_for_and_libraries_stay_silent(tmp_path: Path, where: str) -> None:
    text = "\n".join(printed(tmp_path, "info", where))
    assert "an info" in text
    assert "of a library" not in text


@pytest.mark.parametrize("where", ["console", "journal"])
def test_what_a_server_said_cannot_steer_the_terminal(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\\x1b]0;mine\\x07 \\x9b2J \\u202e \\ud800 ünï \\t."
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", PROGRAM + f'log.warning("{said}")\n')
    line = printed(tmp_path, "warning", where)[-1]
    assert line.endswith("\\x1b]0;mine\\x07 \\u009b2J \\u202e \\ud800 ünï \t.")


def test_in_the_journal_each_line_has_a_priority_and_no_time(tmp_path: Path) -> None:
    lines = printed(tmp_path, "info", "journal")
    assert lines[0] == "<6>tidegate.x an info"
    assert lines[1] == "<4>tidegate.x two\\nlines\\r"
    assert lines[2] == "<3>tidegate.x failed"
    assert all(line.startswith("<3>") for line in lines[2:])
