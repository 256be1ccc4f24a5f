"""Reading configuration files from the daemon, without the validator ever entering the daemon.

`read` starts `python -m tidegate.config.validate`, a child that lives for one reading, and rebuilds the
frozen dataclasses from what it prints. The child sees the daemon's environment, so `${NAME}` means the same to both.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tidegate.config.embedded import default_snapshot
from tidegate.config.paths import package_root
from tidegate.config.problems import Problem, config_error, problems_of
from tidegate.config.snapshot import Snapshot
from tidegate.config.transfer import decode_snapshot
from tidegate.errors import ConfigError

READ_TIMEOUT_S: Final = 30.0
"""A slow card on a busy box needs seconds to import the validator; a file on a dead mount never comes."""

_REAP_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading the files once."""

    snapshot: Snapshot | None
    """None: they cannot be used."""
    problems: tuple[Problem, ...] = ()
    secret_files: tuple[str, ...] = ()
    """What the files refer to by `${file:…}`, as far as that could be read."""

    def usable(self) -> Snapshot:
        """Raises: ConfigError listing every problem."""
        if self.snapshot is None:
            raise config_error(self.problems)
        return self.snapshot


class Source:
    """Where a daemon's configuration comes from: its files, and what its command line says beside them."""

    def __init__(self, files: Sequence[str], adjust: Callable[[Snapshot], Snapshot]) -> None:
        self.files = tuple(files)
        self._adjust = adjust

    async def read(self) -> Reading:
        """Raises nothing for the files' sake."""
        reading = await read(self.files)
        return reading if reading.snapshot is None else replace(reading, snapshot=self._adjust(reading.snapshot))


async def read_snapshot(files: Sequence[str], *, timeout_s: float = READ_TIMEOUT_S) -> Snapshot:
    """The validated configuration of `files`, later ones winning key by key; no files is the embedded default.

    Raises: ConfigError listing every problem; the configuration in force is nobody's business here.
    """
    return (await read(files, timeout_s=timeout_s)).usable()


async def read(files: Sequence[str], *, timeout_s: float = READ_TIMEOUT_S) -> Reading:
    """As `read_snapshot`, for whoever goes on when the files cannot be used. Raises nothing for the files' sake."""
    if not files:
        return Reading(default_snapshot())
    try:
        status, out, err = await _validated(files, timeout_s)
    except ConfigError as error:
        return Reading(None, tuple(problems_of(error)))
    return _reading(status, out, err)


async def _validated(files: Sequence[str], timeout_s: float) -> tuple[int | None, bytes, bytes]:
    """Exit status, stdout and stderr of the validating child. Raises: ConfigError."""
    try:
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
            env=child_environment(),
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"the configuration could not be validated: no process could be started: {reason}") from None
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
    return child.returncode, out, err


def child_environment() -> dict[str, str]:
    """The daemon's own, and the place this package was imported from: the child must be of the same build."""
    root = package_root()
    if root is None:
        return dict(os.environ)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(root), inherited)))}


def _reading(status: int | None, out: bytes, err: bytes) -> Reading:
    try:
        answer: dict[str, Any] = json.loads(out)
        secrets = tuple(answer["secret_files"])
        if "snapshot" in answer:
            return Reading(decode_snapshot(answer["snapshot"]), secret_files=secrets)
        return Reading(None, tuple(Problem(**item) for item in answer["problems"]), secrets)
    except (ValueError, KeyError, TypeError):
        last = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
        message = f"the configuration could not be validated: the validator ended with {status}: {last}"
        return Reading(None, (Problem("", 0, "", message),))


async def _reap(child: Process) -> None:
    try:
        child.kill()
    except ProcessLookupError:
        return
    async with asyncio.timeout(_REAP_TIMEOUT_S):
        await child.wait()
