"""Where desktop hosts keep their list of MCP servers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

HOSTS: Final = {
    "claude-desktop": (
        "{config}/Claude/claude_desktop_config.json",
        "{home}/Library/Application Support/Claude/claude_desktop_config.json",
    ),
    "vscode": (
        ".vscode/mcp.json",
        "{config}/Code/User/mcp.json",
        "{config}/Code - OSS/User/mcp.json",
        "{config}/VSCodium/User/mcp.json",
        "{home}/Library/Application Support/Code/User/mcp.json",
    ),
    "cursor": (
        ".cursor/mcp.json",
        "{home}/.cursor/mcp.json",
    ),
}
"""Relative places are those of a project: the working directory. macOS places do no harm elsewhere."""


def places_of(host: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Every place the host may keep its file at, whether there is one or not."""
    environ = os.environ if environ is None else environ
    home = environ.get("HOME") or str(Path.home())
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return [place.format(home=home, config=config) for place in HOSTS[host]]
