"""Has the child compile, while a person sees that something happens."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tidegate.cli.passing_line import PassingLine
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean
from tidegate.clock import Clock
from tidegate.sandbox.compiling import Check, CompilationFailed, Compiled, compile_in_child

_TICK_S = 1.0


def compiled(file: Path, digest: str, directory: Path, check: Check, *, shown: str, quiet: bool) -> Compiled:
    """`shown`: how the file is called in what is said. An interrupt from the keyboard ends the child, too.

    Raises: Refused.
    """
    try:
        return asyncio.run(_compiled(file, digest, directory, check, "" if quiet else shown))
    except CompilationFailed as error:
        raise Refused(f"`{shown}` cannot be used: {error}") from error


async def _compiled(file: Path, digest: str, directory: Path, check: Check, shown: str) -> Compiled:
    """Raises: CompilationFailed."""
    failure = None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_show_waiting(shown), name="progress")
        try:
            return await compile_in_child(file, digest, directory, check=check)
        except CompilationFailed as error:
            failure = error
        finally:
            waiting.cancel()
    raise failure


async def _show_waiting(shown: str) -> None:
    line, clock = PassingLine(), Clock()
    began_s = clock.now_s()
    try:
        while line.live and shown:
            await asyncio.sleep(_TICK_S)
            line.show(clean(f"compiling {shown}"), f"  {clock.now_s() - began_s:.0f} s")
    finally:
        line.clear()
