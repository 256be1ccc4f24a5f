"""The `mcpServers` JSON of desktop hosts, taken over into the layout of `tidegate.toml`.

Claude Desktop, Cursor and many others write `{"mcpServers": {name: server}}`; VS Code writes `{"servers": ...}` in
`mcp.json` and `{"mcp": {"servers": ...}}` in its settings; Zed writes `context_servers`; Codex, in TOML,
`mcp_servers`. Those files belong to another program: what it keeps beside the servers is left alone, and a server key
that is not known is noted, not refused.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from tidegate.config.document import Document, Place, Tree
from tidegate.config.locate import KeyPath

_HOMES: Final[tuple[KeyPath, ...]] = (
    ("mcpServers",),
    ("servers",),
    ("mcp", "servers"),
    ("context_servers",),
    ("mcp_servers",),
)

_AS_THEY_ARE: Final = frozenset({"command", "args", "env", "cwd", "url", "headers"})

_TRANSPORTS: Final = {"streamable-http": "http", "streamableHttp": "http", "streamable_http": "http"}
"""Spellings of `type` in the wild that mean Streamable HTTP."""

_REFUSED: Final = {
    "envFile": "`envFile` is not read; move its variables to `env` or to the environment of the gateway",
}
"""Keys that change what the server does, so that dropping them silently would be wrong."""


def adopt(tree: Any, places: dict[KeyPath, Place], document: Document) -> None:
    """Fills `document` from the parsed JSON `tree`, whose keys stand at `places`."""
    found = _servers(tree)
    if found is None:
        document.problems.append(
            Place(document.files[0], 1, "").problem(
                "expected an object with `mcpServers` (or `servers`, as VS Code has it)"
            )
        )
        return
    home, servers = found
    backends: Tree = {}
    document.tree["backends"] = backends
    document.places[("backends",)] = places[home]
    for name, server in servers.items():
        ours = backend_name(name)
        theirs = (*home, name)
        path: KeyPath = ("backends", ours)
        if isinstance(server, dict) and launches_tidegate(server):
            # What `tidegate install` wrote: a gateway that is its own server would call itself for ever.
            document.notes.append(places[theirs].problem("is this gateway itself and is left out"))
            continue
        if ours in backends:
            document.problems.append(
                places[theirs].problem(f"expected server names that differ in more than spelling; `{ours}` is taken")
            )
            continue
        document.places[path] = places[theirs]
        if ours != name:
            document.notes.append(places[theirs].problem(f"is called `{ours}` here"))
        backends[ours] = _server(server, theirs, path, places, document) if isinstance(server, dict) else server


def backend_name(name: str) -> str:
    """A name the catalogue can use as a prefix, as near to `name` as possible."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower())
    return re.sub(r"_{2,}", "_", plain).strip("_-")[:32].rstrip("_-") or "server"


def launches_tidegate(server: Tree) -> bool:
    """Whether the server is `tidegate connect`, however it is started: by its path, by `python -m`, by `uvx`."""
    command: object = server.get("command")
    args: object = server.get("args")
    words = [item for part in (command, args) for item in (part if isinstance(part, list) else [part])]
    names = [word.rpartition("/")[2] for word in words if isinstance(word, str)]
    return any(pair == ("tidegate", "connect") for pair in pairwise(names))


def _servers(tree: Any) -> tuple[KeyPath, dict[str, Any]] | None:
    for home in _HOMES:
        value = tree
        for key in home:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict):
            return home, value
    return None


def _server(server: Tree, theirs: KeyPath, ours: KeyPath, places: dict[KeyPath, Place], document: Document) -> Tree:
    table: Tree = {}
    for key, value in server.items():
        place = places[(*theirs, key)]
        if value is None:
            continue
        if key in _AS_THEY_ARE:
            table[key] = _env(value) if key == "env" else value
            target = key
        elif key == "type":
            table["transport"] = _TRANSPORTS.get(value, value) if isinstance(value, str) else value
            target = "transport"
        elif key == "disabled":
            table["enabled"] = not value if isinstance(value, bool) else value
            target = "enabled"
        elif key in _REFUSED:
            document.problems.append(place.problem(_REFUSED[key]))
            continue
        else:
            document.notes.append(place.problem("has no meaning here and is left out"))
            continue
        old = (*theirs, key)
        for path, found in places.items():
            if path[: len(old)] == old:
                document.places[(*ours, target, *path[len(old) :])] = found
    return table


def _env(value: Any) -> Any:
    """VS Code also takes numbers, and null for "not set"."""
    if not isinstance(value, dict):
        return value
    return {
        name: str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item
        for name, item in value.items()
        if item is not None
    }
