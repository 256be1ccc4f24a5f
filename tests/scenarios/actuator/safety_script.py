"""What the demonstration asks of the machine, and what has to come of it; played for real, step by step."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from driven import Driven, Said, SdkClient, driven
from envelope import guarded, machine_table
from machine_log import Approvals, MachineLog

SILENCE_S = 20.0
"""How long the demonstration waits for the gateway to stop the machine, which takes half a second."""
FILTER = "filter `safety` "


@dataclass(frozen=True)
class Ask:
    """One command. `person`: what they say if they are asked; None where nobody is to be asked."""

    tool: str
    arguments: dict[str, Any]
    arrives: bool
    person: Said | None = None


@dataclass(frozen=True)
class Silence:
    """The client says nothing until the gateway has stopped the machine."""

    gone: bool = False
    """It has even left."""


@dataclass(frozen=True)
class Burst:
    """Commands all at once; how many can arrive is not known before, only that each is safe after the one before it."""

    tool: str
    each: tuple[dict[str, Any], ...]


Move: TypeAlias = Ask | Silence | Burst


@dataclass(frozen=True)
class Act:
    title: str
    client: SdkClient
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class Shown:
    """A row: what was asked, what the gateway said, what the machine saw. The last two line by line."""

    asked: str
    said: tuple[tuple[str, bool], ...] = ()
    """Words, and whether they say that it was done."""
    person: tuple[str, Said] | None = None
    """The question, and the answer."""
    saw: tuple[str, ...] = ()
    wrong: str = ""


def _move(joint: str, to: Any, arrives: bool, person: Said | None = None) -> Ask:
    return Ask("arm__move", {"joint": joint, "to": to}, arrives, person)


ACTS = (
    Act(
        "A client of 2026-07-28, without a session",
        SdkClient("python", "auto", "http"),
        (
            _move("elbow", 15, arrives=True),
            _move("elbow", 120, arrives=False),
            _move("elbow", 45, arrives=False),
            _move("elbow", "30", arrives=False),
            Ask("arm__move", {"joint": "elbow", "to": 30, "force": 9}, arrives=False),
            _move("elbow", 35, arrives=True),
            _move("elbow", 50, arrives=True),
            _move("elbow", 65, arrives=False, person="decline"),
            _move("elbow", 65, arrives=True, person="accept"),
            Ask("arm__drive", {"speed": 30}, arrives=True),
            Silence(),
            Ask("arm__drive", {"speed": 31}, arrives=False),
            Ask("arm__rearm", {}, arrives=True),
            Ask("arm__drive", {"speed": 31}, arrives=True),
            Silence(gone=True),
        ),
    ),
    Act(
        "A client of 2025-11-25, in a session",
        SdkClient("python", "legacy", "stdio"),
        (
            _move("wrist", -1, arrives=False),
            Burst("arm__move", tuple({"joint": "wrist", "to": to} for to in (50, 20, 90, 5, 40))),
            Ask("nudge", {"joint": "elbow", "to": 20}, arrives=False),
            Ask("nudge", {"joint": "elbow", "to": 70}, arrives=False, person="cancel"),
            Ask("nudge", {"joint": "elbow", "to": 55}, arrives=True, person="accept"),
            Ask("arm__rearm", {}, arrives=True),
            Ask("arm__drive", {"speed": 10}, arrives=True),
            Silence(),
        ),
    ),
)


@dataclass
class Stage:
    """Everything runs. `end` has what the machine's log comes to."""

    log: MachineLog
    approvals: Approvals = field(default_factory=Approvals)
    seen: int = 0

    def saw(self) -> tuple[str, ...]:
        """What arrived since this was asked before."""
        commands = self.log.commands()
        new, self.seen = commands[self.seen :], len(commands)
        return tuple(spoken(one.tool, one.arguments) for one in new)


def spoken(tool: str, arguments: dict[str, Any]) -> str:
    """`arm__move elbow → 15`; what a reader knows anyway is left out."""
    parts = []
    for key, value in arguments.items():
        shown = json.dumps(value)
        parts.append(value if key == "joint" else f"→ {shown}" if key == "to" else f"{key} {shown}")
    return " ".join((tool, *parts))


def short(text: str) -> str:
    """The gateway's words, less what is the same each time."""
    for words in (FILTER, "refused this call: ", "safety envelope: ", "needs a person's approval of this call: "):
        text = text.removeprefix(words)
    return text


async def play() -> AsyncIterator[Act | Shown]:
    """Starts everything; yields what happens, as it happens; ends everything. The last row is the verdict."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        # A machine that just began knows nothing of one before it, and neither may the gateway.
        os.environ["TIDEGATE_STATE"] = folder
        stage = Stage(MachineLog(Path(folder) / "log"))
        with machine_table("stdio", stage.log.path) as table, guarded(table) as daemon:
            for act in ACTS:
                yield act
                async with AsyncExitStack() as room:
                    client = await room.enter_async_context(driven(act.client, daemon))
                    for move in act.moves:
                        if isinstance(move, Ask):
                            yield await _ask(client, stage, move)
                        elif isinstance(move, Burst):
                            yield await _burst(client, stage, move)
                        else:
                            if move.gone:
                                await room.aclose()
                            yield await _silence(stage, move)
        unsafe = stage.log.unsafe(stage.approvals)
        count = len(stage.log.commands())
        words = f"The machine's own log has {count} commands, none of them unsafe."
        yield Shown(words, wrong="; ".join(unsafe) if unsafe else stray(stage.saw()))


def stray(saw: tuple[str, ...]) -> str:
    return f"the machine saw more: {', '.join(saw)}" if saw else ""


async def _ask(client: Driven, stage: Stage, move: Ask) -> Shown:
    asked: list[str] = []

    def person(question: str) -> Said:
        asked.append(question)
        if move.person == "accept":
            stage.approvals.note(question)
        return move.person or "cancel"

    client.person = person
    reply = await client.call(move.tool, move.arguments)
    saw = stage.saw()
    wrong = ""
    if (len(saw) == 1) is not move.arrives or reply.failed is move.arrives:
        wrong = "this should have arrived" if move.arrives else "this should not have arrived"
    elif len(asked) != (move.person is not None):
        wrong = "a person should have been asked" if move.person else "nobody should have been asked"
    question = (asked[0].split("Arguments:")[0].strip(), move.person or "cancel") if asked else None
    said = ((short(reply.text), not reply.failed),)
    return Shown(spoken(move.tool, move.arguments), said, question, saw, wrong)


async def _burst(client: Driven, stage: Stage, move: Burst) -> Shown:
    said: list[tuple[str, bool]] = []

    async def one(arguments: dict[str, Any]) -> None:
        reply = await client.call(move.tool, arguments)
        said.append((short(reply.text), not reply.failed))

    async with anyio.create_task_group() as group:
        for arguments in move.each:
            group.start_soon(one, arguments, name=str(arguments))
    saw = stage.saw()
    done = sum(1 for _, done in said if done)
    values = ", ".join(str(arguments["to"]) for arguments in move.each)
    wrong = "" if 0 < done == len(saw) else f"{done} are said to be done, and the machine saw {len(saw)}"
    first = dict(move.each[0], to=0)
    return Shown(spoken(move.tool, first).replace("→ 0", f"→ {values} at once"), tuple(said), None, saw, wrong)


async def _silence(stage: Stage, move: Silence) -> Shown:
    with anyio.move_on_after(SILENCE_S):
        while len(stage.log.commands()) == stage.seen:  # noqa: ASYNC110 - the log is another process's
            await anyio.sleep(0.02)
    saw = stage.saw()
    said = (("not renewed in time: tidegate calls arm__stop by itself", False),) if saw else ()
    return Shown(
        "the client is gone" if move.gone else "(says nothing)",
        said,
        None,
        saw,
        "" if saw == ("stop",) else "the machine should have been stopped",
    )
