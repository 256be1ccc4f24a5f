"""Reading configuration files from the daemon, without the validator ever entering the daemon.

`read_snapshot` starts `python -m tidegate.config.validate`, a child that lives for one reading, and rebuilds the
frozen dataclasses from what it prints. The child sees the daemon's environment, so `${NAME}` means the same to both.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tidegate.config.embedded import default_snapshot
from tidegate.config.problems import Problem, config_error
from tidegate.config.snapshot import Snapshot
from tidegate.config.transfer import decode_snapshot
from tidegate.errors import ConfigError

__all__ = ["READ_TIMEOUT_S", "default_snapshot", "read_snapshot"]

READ_TIMEOUT_S: Final = 30.0
"""A slow card on a busy box needs seconds to import the validator; a file on a dead mount never comes."""

_REAP_TIMEOUT_S: Final = 5.0


async def read_snapshot(files: Sequence[str], *, timeout_s: float = READ_TIMEOUT_S) -> Snapshot:
    """The validated configuration of `files`, later ones winning key by key; no files is the embedded default.

    Raises: ConfigError listing every problem; the configuration in force is nobody's business here.
    """
    if not files:
        return default_snapshot()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "tidegate.config.validate",
        "--",
        *files,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=_child_environment(),
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await child.communicate()
    except TimeoutError:
        raise ConfigError(
            f"reading {', '.join(files)} took longer than {timeout_s:g} s; is it on a file system that hangs?"
        ) from None
    finally:
        if child.returncode is None:
            await asyncio.shield(_reap(child))
    return _answer(child.returncode, out, err)


def _child_environment() -> dict[str, str]:
    """The daemon's own, and the place this package was imported from: the child must be of the same build.

    An installed package is found without help, and putting its directory before the standard library would shadow that.
    """
    package_root = Path(__file__).absolute().parents[2]
    if package_root.name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(package_root), inherited)))}


def _answer(status: int | None, out: bytes, err: bytes) -> Snapshot:
    try:
        answer: dict[str, Any] = json.loads(out)
        if "snapshot" in answer:
            return decode_snapshot(answer["snapshot"])
        problems = [Problem(**item) for item in answer["problems"]]
    except (ValueError, KeyError, TypeError):
        last = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ConfigError(
            f"the configuration could not be validated: the validator ended with {status}: {last}"
        ) from None
    raise config_error(problems)


async def _reap(child: Process) -> None:
    try:
        child.kill()
    except ProcessLookupError:
        return
    async with asyncio.timeout(_REAP_TIMEOUT_S):
        await child.wait()
