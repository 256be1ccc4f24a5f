"""Where desktop hosts keep their list of MCP servers, and in which shape.

`tidegate import` reads these files, `tidegate install` writes one entry into them. Places are those of Linux; those of
macOS do no harm elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal


@dataclass(frozen=True, slots=True)
class Host:
    """One host application."""

    title: str
    places: tuple[str, ...]
    """Files of the user, the best first."""
    project: str = ""
    """File of a project, relative to its directory; empty: it has none."""
    home: tuple[str, ...] = ("mcpServers",)
    """Where in the file the servers stand."""
    entry: Callable[[Sequence[str]], dict[str, Any]] = lambda words: {"command": words[0], "args": [*words[1:]]}
    """What stands there for a server that is started by these words."""
    format: Literal["json", "toml"] = "json"
    """json: with comments and trailing commas where the host allows them."""
    restart: str = "start it again"
    """What makes it read the file."""


def _typed(words: Sequence[str]) -> dict[str, Any]:
    return {"type": "stdio", "command": words[0], "args": [*words[1:]]}


def _zed(words: Sequence[str]) -> dict[str, Any]:
    return {"source": "custom", "command": words[0], "args": [*words[1:]], "env": {}}


def _opencode(words: Sequence[str]) -> dict[str, Any]:
    return {"type": "local", "command": [*words], "enabled": True}


_MAC: Final = "{home}/Library/Application Support"

HOSTS: Final = {
    "claude-desktop": Host(
        "Claude Desktop",
        ("{config}/Claude/claude_desktop_config.json", f"{_MAC}/Claude/claude_desktop_config.json"),
    ),
    "claude-code": Host(
        "Claude Code",
        ("{home}/.claude.json",),
        ".mcp.json",
        entry=_typed,
        restart="start a new session of it; one that runs now may write its own file over this",
    ),
    "cursor": Host("Cursor", ("{home}/.cursor/mcp.json",), ".cursor/mcp.json"),
    "vscode": Host(
        "VS Code",
        (
            "{config}/Code/User/mcp.json",
            "{config}/Code - Insiders/User/mcp.json",
            "{config}/Code - OSS/User/mcp.json",
            "{config}/VSCodium/User/mcp.json",
            f"{_MAC}/Code/User/mcp.json",
        ),
        ".vscode/mcp.json",
        ("servers",),
        _typed,
        restart="run `MCP: List Servers` in it and start the server",
    ),
    "windsurf": Host("Windsurf", ("{home}/.codeium/windsurf/mcp_config.json",)),
    "zed": Host(
        "Zed",
        ("{config}/zed/settings.json",),
        ".zed/settings.json",
        ("context_servers",),
        _zed,
        restart="nothing more to do; it reads its settings by itself",
    ),
    "codex": Host("Codex", ("{codex}/config.toml",), ".codex/config.toml", ("mcp_servers",), format="toml"),
    "gemini": Host("Gemini CLI", ("{home}/.gemini/settings.json",), ".gemini/settings.json"),
    "opencode": Host(
        "opencode",
        ("{config}/opencode/opencode.json", "{config}/opencode/opencode.jsonc"),
        "opencode.json",
        ("mcp",),
        _opencode,
    ),
    "cline": Host(
        "Cline",
        ("{config}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",),
    ),
    "lmstudio": Host("LM Studio", ("{home}/.lmstudio/mcp.json",)),
}

IMPORTED: Final = tuple(name for name in HOSTS if name != "opencode")
"""Those whose servers can be read back; opencode has a shape of its own."""


def places_of(name: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Every place the host may keep its file at, whether there is one or not: of the project here, then the user's."""
    project = HOSTS[name].project
    return [*([project] if project else []), *user_places(name, environ)]


def user_places(name: str, environ: Mapping[str, str] | None = None) -> list[str]:
    environ = os.environ if environ is None else environ
    home = environ.get("HOME") or str(Path.home())
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    codex = environ.get("CODEX_HOME") or f"{home}/.codex"
    return [place.format(home=home, config=config, codex=codex) for place in HOSTS[name].places]
