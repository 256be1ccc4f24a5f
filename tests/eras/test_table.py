"""The table of `docs/eras.md` says what these tests show, no more and no less."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from abilities import ABILITIES, CELLS, GAPS, MOOT

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_table_is_in_step_with_the_tests_and_no_cell_lacks_one() -> None:
    """In a process of its own: this one may have collected some of the tests only."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.eras.table", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


def test_gaps_and_what_does_not_arise_are_of_the_table() -> None:
    for gap in GAPS:
        assert gap.ability in ABILITIES
        assert set(gap.cells) <= set(CELLS)
        assert gap.reason.endswith(".")
        assert gap.instead.endswith(".")
        assert not set(gap.cells) & set(MOOT.get(gap.ability, {}))
    for ability, cells in MOOT.items():
        assert ability in ABILITIES
        assert set(cells) <= set(CELLS)
