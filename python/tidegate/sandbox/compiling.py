"""Has a plugin compiled by a child process and put among the artefacts.

The daemon waits for it without blocking, the command line with a line of progress. Below is `compile_child.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tidegate.config.read import child_environment

COMPILE_TIMEOUT_S: Final = 900.0
"""The largest known guests take a minute on a fast core; a small board is ten times slower."""

_REAP_TIMEOUT_S: Final = 5.0


Check = Literal["code", "tool", "filter", "tools"]
"""What is asked of it beside the code: nothing, whether it can be loaded as one of the two, or what tools it has."""


class CompilationFailed(Exception):
    """The message says why, for a person."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of it; the artefact itself is where `Artefacts.find` looks."""

    artefact_bytes: int
    tools: str = ""
    """What a component said when it was asked for its tools, where that was wanted: JSON, not yet checked."""


async def compile_in_child(
    file: Path, digest: str, directory: Path, *, check: Check = "code", timeout_s: float = COMPILE_TIMEOUT_S
) -> Compiled:
    """Compiles `file`, which must have this digest, into the artefacts of `directory`.

    Raises: CompilationFailed. The child is gone when this returns, however it does.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "tidegate.sandbox.compile_child",
            str(file),
            digest,
            str(directory),
            check,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=child_environment(),
        )
    except (OSError, ValueError) as error:
        raise CompilationFailed(f"no process could be started: {error}") from error
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await child.communicate()
    except TimeoutError:
        raise CompilationFailed(f"compiling it took longer than {timeout_s:g} s") from None
    finally:
        if child.returncode is None:
            await asyncio.shield(_reap(child))
    return _outcome(child.returncode, out, err)


def _outcome(status: int | None, out: bytes, err: bytes) -> Compiled:
    """Raises: CompilationFailed."""
    try:
        answer: dict[str, Any] = json.loads(out)
        if "error" in answer:
            raise CompilationFailed(str(answer["error"]))
        return Compiled(int(answer["artefact_bytes"]), str(answer.get("tools", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        last = err.decode("utf-8", "replace").strip().rpartition("\n")[2][:500]
        why = f": {last}" if last else ""
        raise CompilationFailed(f"the compiler ended with {status}{why}") from None


async def _reap(child: asyncio.subprocess.Process) -> None:
    try:
        child.kill()
    except ProcessLookupError:
        return
    async with asyncio.timeout(_REAP_TIMEOUT_S):
        await child.wait()
