"""The checks, one fault a file, in the order they are told in. A new one is a file, a name here, and a page.

The page is `docs/operations/checks/NAME.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Final

from tidegate.cli.doctor.check import Check

NAMES: Final = (
    "configuration",
    "environment",
    "config_readable",
    "commands",
    "node_version",
    "python_version",
    "plugin_files",
    "model_files",
    "exits_at_once",
    "stdout_noise",
    "slow_start",
    "name_resolution",
    "connection",
    "certificate",
    "http_answer",
    "ports",
    "socket_directory",
    "stale_socket",
    "open_doors",
    "state_directory",
    "disk_space",
    "descriptors",
    "memory",
    "clock",
    "another_gateway",
    "outdated_configuration",
    "backends_down",
    "missing_tools",
    "host_entries",
)


def load_checks(names: Iterable[str]) -> list[Check]:
    """Imports those that are wanted, in their own order."""
    wanted = set(names)
    found: list[Check] = []
    for name in NAMES:
        if name in wanted:
            check = import_module(f"{__name__}.{name}").CHECK
            assert check.name == name
            found.append(check)
    return found
