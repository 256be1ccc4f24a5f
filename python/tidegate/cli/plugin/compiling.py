"""Has the child compile, while a person sees that something happens."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tidegate.cli.passing_line import PassingLine
from tidegate.cli.plugin.refused import Refused
from tidegate.clock import Clock
from tidegate.sandbox.compiling import Check, CompilationFailed, Compiled, compile_in_child

_TICK_S = 1.0


def compiled(file: Path, digest: str, directory: Path, check: Check, *, quiet: bool) -> Compiled:
    """Raises: Refused. An interrupt from the keyboard ends the child, too."""
    return asyncio.run(_compiled(file, digest, directory, check, quiet))


async def _compiled(file: Path, digest: str, directory: Path, check: Check, quiet: bool) -> Compiled:
    failure = None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_show_waiting(file.name, quiet), name="progress")
        try:
            return await compile_in_child(file, digest, directory, check=check)
        except CompilationFailed as error:
            failure = error
        finally:
            waiting.cancel()
    raise Refused(f"`{file}` cannot be used: {failure}") from failure


async def _show_waiting(name: str, quiet: bool) -> None:
    line, clock = PassingLine(), Clock()
    began_s = clock.now_s()
    try:
        while line.live and not quiet:
            await asyncio.sleep(_TICK_S)
            line.show(f"compiling {name}", f"  {clock.now_s() - began_s:.0f} s")
    finally:
        line.clear()
