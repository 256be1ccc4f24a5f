"""The table of `docs/eras.md`, made from the marks of the tests in this folder.

    python -m tests.eras.table            rewrites the block between its two markers
    python -m tests.eras.table --check    fails when the block is out of step

Fails, too, when a cell says yes without a test, when a gap has none, or when a mark names what is not listed.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))

from abilities import ABILITIES, CELLS, GAPS, MOOT, Gap  # noqa: E402 - found by the line above

PAGE = _HERE.parents[1] / "docs" / "eras.md"
BEGIN = "<!-- table: from tests/eras -->\n"
END = "<!-- /table -->"
Shown = set[tuple[str, str]]
"""(ability, cell)."""


class Marks:
    """What the collected tests show; a plugin of pytest."""

    def __init__(self) -> None:
        self.proved: Shown = set()
        self.gaps: Shown = set()
        self.faults: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for name, shown in (("proves", self.proved), ("shows_gap", self.gaps)):
                for mark in item.iter_markers(name):
                    cells = list(_cells(item, mark))
                    if not cells:
                        self.faults.append(f"{item.nodeid} names no cell")
                    shown.update((str(ability), cell) for ability in mark.args for cell in cells)


def _cells(item: pytest.Item, mark: pytest.Mark) -> Iterator[str]:
    """Of the mark itself, or of the road that the test takes."""
    if "cell" in mark.kwargs:
        yield mark.kwargs["cell"]
    yield from mark.kwargs.get("cells", ())
    if not mark.kwargs and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        for value in item.callspec.params.values():
            if hasattr(value, "client") and hasattr(value, "server"):
                yield f"{value.client}-{value.server}"


def collected() -> Marks:
    """Raises: SystemExit when tests cannot be collected."""
    marks = Marks()
    status = pytest.main(
        ["--collect-only", "-qq", "--no-header", "-p", "no:cacheprovider", str(_HERE)], plugins=[marks]
    )
    if status != pytest.ExitCode.OK:
        raise SystemExit(f"the tests cannot be collected: {status!r}")
    return marks


def faults(marks: Marks) -> list[str]:
    """Everything that is said without a test, or shown without being said."""
    found = list(marks.faults)
    for ability, cell in sorted(marks.proved | marks.gaps):
        if ability not in ABILITIES or cell not in CELLS:
            found.append(f"a mark names `{ability}` in `{cell}`, which abilities.py does not list")
    listed = {(gap.ability, cell): gap for gap in GAPS for cell in gap.cells}
    found += [f"`{ability}` in {cell} is shown as a gap and not listed" for ability, cell in marks.gaps - set(listed)]
    for ability in ABILITIES:
        for cell in CELLS:
            at = (ability, cell)
            gap = listed.get(at)
            if gap is not None and at not in marks.gaps:
                found.append(f"the gap of `{ability}` in {cell} has no test")
            if gap is not None and (at in marks.proved) != (gap.kind == "partly"):
                found.append(f"`{ability}` in {cell} is a gap (kind {gap.kind}) and its tests say otherwise")
            if gap is None and at not in marks.proved and cell not in MOOT.get(ability, {}):
                found.append(f"`{ability}` in {cell} has no test")
    return found


def rendered(marks: Marks) -> str:
    """The block, without its markers."""
    numbers: dict[Gap, int] = {}
    listed = {(gap.ability, cell): gap for gap in GAPS for cell in gap.cells}
    lines = [f"| | {' | '.join(CELLS.values())} |", f"| --- |{' --- |' * len(CELLS)}"]
    for ability, words in ABILITIES.items():
        row = []
        for cell in CELLS:
            gap = listed.get((ability, cell))
            if gap is not None:
                number = numbers.setdefault(gap, len(numbers) + 1)
                row.append(f"{'yes, but' if gap.kind == 'partly' else 'no'} [{number}](#gap-{number})")
            elif (ability, cell) in marks.proved:
                row.append("yes")
            else:
                row.append("–")
        lines.append(f"| {words} | {' | '.join(row)} |")
    lines += ["", "–: the question does not arise there.", "", "What one era cannot express:", ""]
    for gap, number in numbers.items():
        words = f'{number}. <a id="gap-{number}"></a>{ABILITIES[gap.ability]}: {gap.reason} {gap.instead}'
        lines += textwrap.wrap(words, 120, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def replaced(page: str, block: str) -> str:
    """The page with its block. Raises: SystemExit without markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no `{BEGIN.strip()}` … `{END}`")
    return before + BEGIN + block + END + after


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the table of docs/eras.md from the tests.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when it is out of step")
    options = parser.parse_args()
    marks = collected()
    if found := faults(marks):
        raise SystemExit("\n".join(found))
    page = PAGE.read_text(encoding="utf-8")
    fresh = replaced(page, rendered(marks))
    if options.check and fresh != page:
        raise SystemExit("docs/eras.md is out of step with the tests: python -m tests.eras.table")
    if not options.check:
        PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
