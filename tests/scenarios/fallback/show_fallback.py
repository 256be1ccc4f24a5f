"""`make demo-fallback`: a model on the box, a cloud behind it, and what goes wrong with both.

    show_fallback.py [--svg FILE] [--columns N]

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
from textwrap import shorten

for _folder in ("scenarios/eras", "scenarios/fallback", "ecosystem", "models"):
    sys.path.append(str((Path(__file__).resolve().parents[2] / _folder).resolve()))

import anyio  # noqa: E402
from abridge import Line  # noqa: E402 - found by the lines above
from fallback_script import MODELS, Happens, Shown, Verdict, play  # noqa: E402
from gateway_process import GatewayFailed  # noqa: E402
from models_at_hand import installed  # noqa: E402
from picture import picture  # noqa: E402
from show import coloured, painted, plain  # noqa: E402

SHOW = Path(__file__).resolve()
TITLE = "A model on the box and a cloud behind it: what is asked, who served it, and why"
NARROW, ROOMY, WIDE = 92, 110, 150
SERVED, WHY, TOOK = 6, 10, 7
"""Widths of columns; what was said has the rest."""
MOST_SAID = 110
"""Characters."""
BAR = " ┃ "
RULES = (
    "Two capabilities of the same two tools: `ask` has the model on the box first and the cloud behind it, `advise` "
    "the cloud first and the model behind that. Data of the class `private` stay on the box."
)


def opening(width: int) -> Iterator[Line]:
    for line in textwrap.wrap(RULES, width - 2):
        yield [(f" {line}", "faint")]
    yield []
    titles = (("ASKED", asked_width(width)), ("SERVED", SERVED), ("WHY", WHY), ("MS", TOOK), ("WHAT WAS SAID", 0))
    yield [(" ", "plain"), *_joined([(f"{title:<{wide}}", "strong") for title, wide in titles])]
    yield [(f" {'━' * (width - 2)}", "bar")]


def asked_width(width: int) -> int:
    return 40 if width >= ROOMY else 32


def _joined(cells: Line) -> Line:
    line: Line = []
    for cell in cells:
        line += [cell] if not line else [(BAR, "bar"), cell]
    return line


def event(happens: Happens, width: int) -> Iterator[Line]:
    for place, line in enumerate(textwrap.wrap(happens.what, width - 6)):
        yield [(f" {'──' if not place else '  '} {line}", "question")]


def row(shown: Shown, width: int) -> Iterator[Line]:
    """One question; longer words take more lines."""
    wide_asked = asked_width(width)
    rest = width - wide_asked - SERVED - WHY - TOOK - 4 * len(BAR) - 2
    ask = shown.ask
    more = [word for word, is_so in (("private", ask.private), ("in pieces", ask.in_pieces)) if is_so]
    words = f"{ask.capability}: {ask.text}" + (f" ({', '.join(more)})" if more else "")
    asked: Line = [(line, "plain") for line in textwrap.wrap(words, wide_asked, subsequent_indent="  ")]
    style = {"local": "good", "cloud": "request"}.get(shown.where, "error")
    said: Line = [(f"{line} …", "faint") for one in shown.before for line in textwrap.wrap(one, rest - 2)]
    short = shorten(shown.said, MOST_SAID, placeholder=" …")
    said += [(line, style) for line in textwrap.wrap(short, rest)]
    served: Line = [(shown.where or "nobody", style)]
    why: Line = [(shown.why, "plain")]
    took: Line = [(f"{shown.duration_ms:>{TOOK}.1f}" if shown.where else " " * TOOK, "plain")]
    for cells in zip_longest(asked, served, why, took, said, fillvalue=("", "plain")):
        wides = (wide_asked, SERVED, WHY, TOOK, 0)
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
    async for what in play():
        if isinstance(what, Happens):
            say(event(what, width))
        elif isinstance(what, Shown):
            say(row(what, width))
            fine &= not what.wrong
        else:
            fine &= _end(what, fine, say)
    return fine


def _end(verdict: Verdict, fine: bool, say: Callable[[Iterator[Line]], None]) -> bool:
    wrong = verdict.wrong or ("" if fine else "not all was as it should be")
    say(iter([[], [(f" ✘ {wrong}", "bad") if wrong else (f" ✔ {verdict.words}", "good")]]))
    return not verdict.wrong


def main() -> int:
    words = argparse.ArgumentParser(prog="show_fallback.py", description="A model on the box, and a cloud behind it.")
    words.add_argument("--columns", type=int, help="width, instead of that of the terminal")
    words.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of it, too")
    asked = words.parse_args()
    width = asked.columns or shutil.get_terminal_size((120, 24)).columns
    width = min(max(width, NARROW), WIDE)
    paint = painted if coloured(sys.stdout, os.environ) else plain
    if not all(map(installed, MODELS)):
        print(paint([(" ✘ the model `chat` is not installed: `make demo-fallback` does that", "bad")]))
        return 1
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
