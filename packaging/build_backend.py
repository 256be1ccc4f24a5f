"""Builds tidegate's wheel: what maturin builds, with the WASM sandbox and the plugins that come with it (PEP 517).

maturin makes one native module a package. The sandbox is a second one, so that a gateway without plugins never maps it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import maturin
from maturin import (
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "UnsupportedOperation",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).parent.parent
SANDBOX = ROOT / "python/tidegate/_sandbox.abi3.so"


class UnsupportedOperation(Exception):
    """Its name in PEP 517: what this backend does not do."""


def build_sdist(directory: str, settings: Any = None) -> str:
    raise UnsupportedOperation(
        "maturin packs the sources of one native module, so the sandbox and the plugins would be missing; "
        "build a wheel where the repository is: `pip wheel .`"
    )


def build_wheel(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    _build_rest()
    return maturin.build_wheel(directory, settings, metadata)


def build_editable(directory: str, settings: Any = None, metadata: str | None = None) -> str:
    _build_rest()
    return maturin.build_editable(directory, settings, metadata)


def _build_rest() -> None:
    target = ROOT / "target"
    command = ["cargo", "build", "--locked", "--profile", "sandbox", "-p", "tidegate-sandbox-pybind"]
    subprocess.run([*command, "--target-dir", str(target)], cwd=ROOT, check=True)
    # In place of the old one, not over it: a gateway may have it mapped.
    fresh = SANDBOX.with_name(f".{SANDBOX.name}.new")
    shutil.copyfile(target / "sandbox/lib_sandbox.so", fresh)
    fresh.replace(SANDBOX)
    if subprocess.run(["make", "--no-print-directory", "-C", str(ROOT / "wasm"), "all"], check=False).returncode:
        print("tidegate: going on without the plugins that come with it", file=sys.stderr)
        return
    # On another processor than this one they are compiled again, when they are needed.
    compiler = [sys.executable, "-m", "tidegate.sandbox.shipped_code"]
    subprocess.run(compiler, env={**os.environ, "PYTHONPATH": str(ROOT / "python")}, check=False)
