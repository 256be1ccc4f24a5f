"""`make demo-fallback` shows what it says, and tells when something is not as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fallback_script import MODELS, Ask, shown_for
from models_at_hand import installed
from show_fallback import NARROW, SHOW

BOUND_S = 240.0
pytestmark = pytest.mark.skipif(not all(map(installed, MODELS)), reason="the packages of the model are not installed")


def play(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    return subprocess.run(
        [sys.executable, str(SHOW), *options],
        env={**plain, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )


def test_the_demonstration_goes_as_it_should_and_fits_its_width() -> None:
    done = play("--columns", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b[" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "none of the private ones" in done.stdout
    for word in ("preferred", "stays", "failed", "answer_cut", "link_down", "down", "hot"):
        assert f"┃ {word} " in done.stdout


def test_a_gateway_that_does_not_start_is_the_exit_status(tmp_path: Path) -> None:
    broken = tmp_path / "tidegate"
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    done = play("--columns", str(NARROW), TIDEGATE_COMMAND=str(broken))
    assert done.returncode == 1
    assert "ended with 3" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("where", "why", "wrong"), [("local", "link_down", ""), ("cloud", "link_down", "x"), ("local", "hot", "x")]
)
def test_an_answer_from_elsewhere_or_for_another_reason_is_wrong(where: str, why: str, wrong: str) -> None:
    by = {"tool": "chat__chat", "where": where, "why": why, "duration_ms": 1.0, "attempts": [{}]}
    answer = {"result": {"content": [{"text": "Paris"}], "_meta": {"io.tidegate/served-by": by}}}
    assert bool(shown_for(Ask("ask", "?", "local", "link_down"), answer, "").wrong) is bool(wrong)


def test_an_error_is_wrong_unless_it_is_the_one_that_was_to_come() -> None:
    answer = {"error": {"message": "it broke off", "data": {"reason": "answer_cut"}}}
    assert shown_for(Ask("ask", "?", "", "answer_cut"), answer, "Once").wrong == ""
    assert shown_for(Ask("ask", "?", "local", "preferred"), answer, "").wrong
    assert shown_for(Ask("ask", "?", "", "must_stay"), answer, "").wrong
