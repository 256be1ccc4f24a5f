"""A conversation as lines of spans: what the client says and hears on the left, the server on the right.

Time goes down the page. A message that the gateway passes on stands beside what it became; one that stands alone was
answered by the gateway itself, or is its own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from abridge import Line, abridged
from conversation import Event, ShownStep
from transcript import Side

from scenarios import Conversation, End

PREFACE = (
    "Each end is a program that knows one revision of MCP; between them is the real daemon. Shown is what went over "
    "either wire, in the order in which it happened, shortened: … is there and left out."
)
FORTH, BACK, NONE = "──▶", "◀──", "   "
BAR: Line = [("┃", "bar")]
GUTTER = 11
"""` ──▶ ┃ ──▶ `"""
MARGIN = 1
NARROW, WIDE = 100, 180
"""Between these a page is as wide as the terminal."""


def page(conversations: list[Conversation], width: int) -> list[Line]:
    """Everything, `width` characters wide."""
    lines: list[Line] = [[(f" {line}", "faint")] for line in textwrap.wrap(PREFACE, width - 2 * MARGIN)]
    for number, conversation in enumerate(conversations, 1):
        lines += list(chapter(number, conversation, width))
    met = sum(not conversation.wrong for conversation in conversations)
    verdict = f"{met} of {len(conversations)} conversations went as they should."
    lines.append([(" " + verdict, "good" if met == len(conversations) else "bad")])
    return lines


def chapter(number: int, conversation: Conversation, width: int) -> Iterator[Line]:
    scenario = conversation.scenario
    side = (width - 2 * MARGIN - GUTTER) // 2
    rule = "━" * (width - 2 * MARGIN)
    yield [(f" {rule}", "bar")]
    yield [(f" {number}  {scenario.title}", "strong")]
    yield []
    for line in ("# tidegate.toml", *conversation.config.splitlines()):
        yield [(f"    {line}", "faint" if line.startswith("#") else "plain")]
    yield []
    yield from _header(scenario.client, scenario.server, side)
    calls: dict[Side, Event] = {}
    for place, step in enumerate(conversation.steps, 1):
        yield from _step(place, step, calls, side, width)
    yield _row([], [], side)
    yield from _outcome(conversation, width)
    yield []


def _header(client: End, server: End, side: int) -> Iterator[Line]:
    yield _row([], [], side, middle=[(" tidegate  ", "strong")])
    left: list[Line] = [[("CLIENT ", "strong"), (client.program, "plain")]]
    right: list[Line] = [[("SERVER ", "strong"), (server.program, "plain")]]
    left.append([(f"{client.revision} over {client.transport}, nothing else", "faint")])
    right.append([(f"{server.revision} over {server.transport}, nothing else", "faint")])
    yield _row(left[0], right[0], side)
    yield _row(left[1], right[1], side)


def _step(number: int, step: ShownStep, calls: dict[Side, Event], side: int, width: int) -> Iterator[Line]:
    """`calls` holds the last call at each end, and is kept up to date."""
    yield _row([], [], side)
    first, *more = textwrap.wrap(step.caption, width - 2 * MARGIN - 4)
    yield [(f" {number:>2}  {first}", "caption")]
    for line in more:
        yield [(f"     {line}", "caption")]
    for left, right in _beside(step.events):
        blocks = [abridged(event, calls.get(event.side), side) if event else [] for event in (left, right)]
        arrows = [(FORTH if event.forth else BACK) if event else NONE for event in (left, right)]
        kinds = [event.kind.value if event else "bar" for event in (left, right)]
        for index in range(max(map(len, blocks))):
            cells = [block[index] if index < len(block) else [] for block in blocks]
            if index == 0:
                middle: Line = [(f" {arrows[0]} ", kinds[0]), *BAR, (f" {arrows[1]} ", kinds[1])]  # type: ignore[list-item]
                yield _row(cells[0], cells[1], side, middle=middle)
            else:
                yield _row(cells[0], cells[1], side)
    calls.update((event.side, event) for event in step.events if event.message.get("method") == "tools/call")


def _beside(events: tuple[Event, ...]) -> Iterator[tuple[Event | None, Event | None]]:
    """(left, right): two that follow each other in one direction are one message on its way."""
    waiting: Event | None = None
    for event in events:
        if waiting is not None:
            if waiting.side != event.side and waiting.forth == event.forth:
                yield (waiting, event) if event.side == "server" else (event, waiting)
                waiting = None
                continue
            yield _alone(waiting)
        waiting = event
    if waiting is not None:
        yield _alone(waiting)


def _alone(event: Event) -> tuple[Event | None, Event | None]:
    return (event, None) if event.side == "client" else (None, event)


def _outcome(conversation: Conversation, width: int) -> Iterator[Line]:
    if not conversation.wrong:
        told = " and ".join(f"“{answer}”" for answer in conversation.answers)
        yield [(" ✔ ", "good"), ("The client got ", "plain"), (f"“{conversation.got}”", "good")]
        yield [(" ✔ ", "good"), ("The server got ", "plain"), (told, "good")]
        return
    for wrong in conversation.wrong:
        for line in textwrap.wrap(wrong, width - 2 * MARGIN - 2):
            yield [(" ✘ ", "bad"), (line, "bad")]


def _row(left: Line, right: Line, side: int, middle: Line | None = None) -> Line:
    pad = side - sum(len(text) for text, _ in left)
    gutter = middle if middle is not None else [(" " * 5, "plain"), *BAR, (" " * 5, "plain")]
    return [(" " * MARGIN, "plain"), *left, (" " * pad, "plain"), *gutter, *right]
