"""Processes of this box that look like a gateway, and what they were started with, as far as this user may see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def gateway_pids() -> Iterator[int]:
    """Those that run `tidegate serve`."""
    for place in Path("/proc").glob("[0-9]*"):
        words = command_line(int(place.name))
        if "serve" not in words[1:]:
            continue
        before = words[: words.index("serve", 1)]
        if Path(before[-1]).name == "tidegate":
            yield int(place.name)


def config_files(pid: int) -> tuple[str, ...]:
    """The files that `serve` was started with, from its command line and working directory."""
    words, directory = command_line(pid), _directory(pid)
    if directory is None:
        return ()
    found = []
    for number, word in enumerate(words):
        if word == "--config" and number + 1 < len(words):
            found.append(words[number + 1])
        elif word.startswith("--config="):
            found.append(word.removeprefix("--config="))
    return tuple(str(directory / name) for name in found)


def command_line(pid: int) -> list[str]:
    """The words a process was started with; none when it is gone or somebody else's."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in text.rstrip(b"\0").split(b"\0")] if text else []


def in_its_directory(pid: int, file: str) -> str:
    """A file as the process named it, from its own working directory."""
    directory = _directory(pid)
    return file if directory is None else str(directory / file)


def _directory(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
