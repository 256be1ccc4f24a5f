"""The machine a benchmark runs on, and what programs say about themselves."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TREE = Path(os.environ.get("BENCH_TREE", HERE.parent)).resolve()
"""Whose gateway is measured, built already: this one's, or what the environment names."""
_VERSIONS = {
    "rustc": ("rustc", "-V"),
    "nginx": ("nginx", "-v"),
    "wrk": ("wrk", "-v"),
    "valgrind": ("valgrind", "--version"),
}


def run(
    *command: str | Path, cwd: Path = HERE, timeout_s: float | None = 60, environment: dict[str, str] | None = None
) -> str:
    """What the command printed; its complaints go where ours go.

    Raises: subprocess.CalledProcessError, subprocess.TimeoutExpired.
    """
    words = [str(word) for word in command]
    return subprocess.run(  # noqa: S603 - our words
        words,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        timeout=timeout_s,
        env={**os.environ, **(environment or {})},
    ).stdout


def need(*tools: str) -> None:
    """Raises: SystemExit, when one is not installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        sys.exit(
            f"this benchmark needs {', '.join(missing)}: `apt-get install -y nginx-light wrk valgrind`, "
            "and a Rust toolchain"
        )


def surroundings() -> dict[str, Any]:
    """Processor, kernel, versions of what is installed, and the commit of the tree."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": model.partition(":")[2].strip(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "uvloop": __import__("uvloop").__version__,
        **{name: _version(command) for name, command in _VERSIONS.items() if shutil.which(command[0])},
        "commit": described(TREE),
    }


def described(tree: Path) -> str:
    """The commit of a working tree, and whether what is measured was changed since; the name of any other."""
    if not (tree / ".git").exists():
        return tree.name
    commit = run("git", "rev-parse", "--short", "HEAD", cwd=tree).strip()
    return commit + (" and changes" if run("git", "status", "--porcelain", "python", "rust", cwd=tree) else "")


def machine_line(machine: dict[str, Any]) -> str:
    """What a record says of its machine."""
    busy = machine["load_before"] > machine["cpus"]
    after = f" and after {machine['load_after']:.1f}" if "load_after" in machine else ""
    programs = ", ".join(f"{name} {machine[name]}" for name in _VERSIONS if name in machine)
    return (
        f"{machine['cpus']} virtual cores of {machine['cpu']}, {machine['memory_mib'] // 1024} GiB, "
        f"Linux {machine['kernel']}, load before {machine['load_before']:.1f}{after}. CPython {machine['python']}, "
        f"uvloop {machine['uvloop']}, {programs}."
        + (" Other work ran on the machine meanwhile: absolute numbers and tails suffer from it." if busy else "")
    )


def _version(command: tuple[str, ...]) -> str:
    """The first number a program says about itself, wherever; wrk fails when asked for its version."""
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603 - our words
    found = re.search(r"\d+\.\d+(\.\d+)?", ended.stdout + ended.stderr)
    return found[0] if found else "unknown"
