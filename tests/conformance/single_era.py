"""The everything-server as one that knows a single era, as a stdio command and as a process that listens."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

from era_filter import Only
from everything import STDIO, listening

FILTER = Path(__file__).resolve().parent / "era_filter.py"


def single_era_stdio(only: Only) -> list[str]:
    """The command of one on stdin and stdout."""
    return [*_filter(only), "--stdio", *STDIO]


def single_era_http(only: Only) -> AbstractContextManager[str]:
    """The URL of a running one."""
    return listening([*_filter(only), "--http", "0"], {}, "/mcp")


def _filter(only: Only) -> list[str]:
    return [sys.executable, str(FILTER), "--only", only]
