"""Where Node and the npm tools are. `tests/setup_node.sh` installs them; nothing is downloaded from here."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
MODULES = TESTS / "node_modules"
LOOPBACK_ONLY = str(Path(__file__).resolve().parent / "loopback_only.cjs")
"""Preload for Node programs that would listen on every interface."""
OLDEST_NODE = 22
"""Major version: the conformance suite uses `fs.globSync`."""


class NodeMissing(RuntimeError):
    """The npm side of the tests is not installed."""


@functools.cache
def node() -> str:
    """A Node that is new enough: `TIDEGATE_NODE`, the one on the path, or the pinned one from npm.

    Raises: NodeMissing
    """
    pinned = [str(path) for path in MODULES.glob("node-linux-*/bin/node")]
    for candidate in [os.environ.get("TIDEGATE_NODE"), shutil.which("node"), *pinned]:
        if candidate and _major(candidate) >= OLDEST_NODE:
            return candidate
    raise NodeMissing(f"no Node {OLDEST_NODE} or newer: run `tests/setup_node.sh`")


def package_file(package: str, path: str) -> str:
    """The absolute path of a file inside an installed npm package.

    Raises: NodeMissing
    """
    found = MODULES / package / path
    if not found.exists():
        raise NodeMissing(f"`{package}` is not installed: run `tests/setup_node.sh`")
    return str(found)


def _major(executable: str) -> int:
    try:
        answer = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=20, check=False)
        return int(answer.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0
