"""`make demo-eras`: two conversations that no era can have alone, played for real and shown side by side.

    show.py [--svg FILE] [--columns N]

Exit status 1 if anything was not as it should be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import columns
from abridge import Line, Style
from picture import picture

from scenarios import SCENARIOS, play

TITLE = "Two conversations across the eras of MCP, both ends side by side"
CODES: dict[Style, str] = {
    "faint": "2",
    "strong": "1",
    "caption": "3;35",
    "bar": "2",
    "good": "32",
    "bad": "1;31",
    "request": "1;34",
    "notice": "34",
    "question": "1;33",
    "answer": "1;36",
    "result": "1;32",
    "error": "1;31",
}
"""Select Graphic Rendition of a terminal; from its 16 colours, which suit its background."""


def painted(line: Line) -> str:
    return "".join(f"\x1b[{CODES[style]}m{text}\x1b[0m" if style in CODES else text for text, style in line)


def plain(line: Line) -> str:
    return "".join(text for text, _ in line)


def coloured(out: TextIO, environ: Mapping[str, str]) -> bool:
    return out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def main() -> int:
    words = argparse.ArgumentParser(prog="show.py", description="Two conversations across the eras of MCP.")
    words.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of it, too")
    words.add_argument("--columns", type=int, help="width, instead of that of the terminal")
    asked = words.parse_args()
    width = asked.columns or shutil.get_terminal_size((120, 24)).columns
    width = min(max(width, columns.NARROW), columns.WIDE)
    conversations = [play(scenario) for scenario in SCENARIOS]
    paint = painted if coloured(sys.stdout, os.environ) else plain
    for line in columns.page(conversations, width):
        print(paint(line).rstrip())
    if asked.svg is not None:
        asked.svg.write_text(picture(columns.page(conversations, 120), TITLE), encoding="utf-8")
    return 1 if any(conversation.wrong for conversation in conversations) else 0


if __name__ == "__main__":
    sys.exit(main())
