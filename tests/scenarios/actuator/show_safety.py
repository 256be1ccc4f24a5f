"""`make demo-safety`: commands to a machine behind the safety envelope, as they are asked, judged and obeyed.

    show_safety.py [--svg FILE] [--columns N]

Exit status 1 if anything was not as it should be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

for _folder in ("eras", "actuator", "../ecosystem"):
    sys.path.append(str((Path(__file__).resolve().parents[1] / _folder).resolve()))

import anyio  # noqa: E402
from abridge import Line  # noqa: E402 - found by the lines above
from driven import Said  # noqa: E402
from gateway_process import GatewayFailed  # noqa: E402
from picture import picture  # noqa: E402
from safety_script import Act, Shown, play  # noqa: E402
from show import coloured, painted, plain  # noqa: E402

SHOW = Path(__file__).resolve()
TITLE = "Commands to a machine behind the safety envelope: asked, judged, and what the machine saw"
NARROW, WIDE = 92, 150
ASKED, SAW = 27, 20
"""Widths of the outer columns; what the gateway says has the rest."""
BAR, GAP = " ┃ ", 4
RULES = (
    "Behind tidegate is a machine that does whatever it is told, and writes it down. Before it stands the filter "
    "`safety-envelope`, which was told: a joint goes from 0 to 100, by 20 at most each time, and beyond 50 only when a "
    "person agrees; driving has to be renewed within 0.4 s, or else the machine is stopped until it is armed again."
)


def opening(width: int) -> Iterator[Line]:
    for line in textwrap.wrap(RULES, width - 2):
        yield [(f" {line}", "faint")]


def heading(act: Act, width: int) -> Iterator[Line]:
    yield []
    yield [(f" {act.title}", "strong"), (f"   official Python SDK, over {act.client.front}", "faint")]
    yield [(f" {'━' * (width - 2)}", "bar")]
    middle = width - ASKED - SAW - GAP - 2 * len(BAR)
    titles = (("ASKED", ASKED), ("TIDEGATE SAID", middle + 2), ("THE MACHINE SAW", SAW))
    yield [(" ", "plain"), *_joined([(f"{title:<{wide}}", "strong") for title, wide in titles])]


def _joined(cells: Line) -> Line:
    line: Line = []
    for cell in cells:
        line += [cell] if not line else [(BAR, "bar"), cell]
    return line


def row(shown: Shown, width: int) -> Iterator[Line]:
    """One command; longer words take more lines."""
    middle = width - ASKED - SAW - GAP - 2 * len(BAR)
    said: Line = []
    if shown.person is not None:
        question, answer = shown.person
        answers: dict[Said, str] = {"accept": "agrees", "decline": "declines", "cancel": "does not answer"}
        lines = textwrap.wrap(f"a person is asked: {question}", middle)
        said += [(("  " if place else "? ") + line, "question") for place, line in enumerate(lines)]
        said.append((f"  the person {answers[answer]}", "answer"))
    for words, done in shown.said:
        for place, line in enumerate(textwrap.wrap(words, middle)):
            mark = ("✔ " if done else "✘ ") if not place else "  "
            said.append((mark + line, "result" if done else "error"))
    asked: Line = [(line, "plain") for line in textwrap.wrap(shown.asked, ASKED, subsequent_indent="  ")]
    saw: Line = [(line, "good") for line in shown.saw] or [("nothing", "faint")]
    for cells in zip_longest(asked, said, saw, fillvalue=("", "plain")):
        wides = (ASKED, middle + 2, 0)
        padded: Line = [(f"{text:<{wide}}", style) for (text, style), wide in zip(cells, wides, strict=True)]
        yield [(" ", "plain"), *_joined(padded)]
    if shown.wrong:
        yield [(f" ✘ {shown.wrong}", "bad")]


async def show(width: int, paint: Callable[[Line], str], page: list[Line]) -> bool:
    """Whether all was as it should be. `page` gets every line."""
    fine = True

    def say(lines: Iterator[Line]) -> None:
        for line in lines:
            page.append(line)
            print(paint(line).rstrip(), flush=True)

    say(opening(width))
    verdict: Shown | None = None
    async for what in play():
        if isinstance(what, Act):
            say(heading(what, width))
        elif what.said or what.saw:
            say(row(what, width))
            fine &= not what.wrong
        else:
            verdict = what
    say(iter([[]]))
    assert verdict is not None
    if verdict.wrong or not fine:
        print(paint([(f" ✘ {verdict.wrong or 'not all was as it should be'}", "bad")]))
        return False
    say(iter([[(f" ✔ {verdict.asked}", "good")]]))
    return True


def main() -> int:
    words = argparse.ArgumentParser(prog="show_safety.py", description="A machine behind the safety envelope.")
    words.add_argument("--columns", type=int, help="width, instead of that of the terminal")
    words.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of it, too")
    asked = words.parse_args()
    width = asked.columns or shutil.get_terminal_size((120, 24)).columns
    width = min(max(width, NARROW), WIDE)
    paint = painted if coloured(sys.stdout, os.environ) else plain
    try:
        page: list[Line] = []
        fine = anyio.run(show, width, paint, page)
        if asked.svg is not None:
            asked.svg.write_text(picture(page, TITLE), encoding="utf-8")
        return 0 if fine else 1
    except (GatewayFailed, TimeoutError) as failure:
        print(paint([(f" ✘ {failure}", "bad")]))
        return 1


if __name__ == "__main__":
    sys.exit(main())
