"""What is said of progress where nobody looks: each line says something, and something new."""

from __future__ import annotations

import pytest

from tidegate.cli.progress import Narrator


def told(capsys: pytest.CaptureFixture[str], *notes: dict[str, object], quiet: bool = False) -> list[str]:
    narrator = Narrator(quiet=quiet)
    for note in notes:
        narrator.told("notifications/progress", note)
    narrator.end()
    return capsys.readouterr().err.splitlines()


def test_a_bare_count_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, {"progress": 0}, {"progress": 1, "message": ""}, {"progress": 2, "message": "x"}) == ["2 x"]


def test_the_same_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    step = {"progress": 1, "total": 2}
    assert told(capsys, step, step, {"progress": 2, "total": 2}) == ["1/2 (50 %)", "2/2 (100 %)"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, {"progress": 1, "total": 2}, quiet=True) == []
