"""Rules between fields: what no single value can break.

They look at the tables as written, so that they are reported together with what is wrong with single values. Each takes
the document for the places of its keys and yields problems, or notes on what is allowed but perhaps not meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tidegate.config.document import OPENAI_KEYS, PLUGIN_KEYS, REACH_KEYS, Document, Tree, names_file
from tidegate.config.exposure import refused_addresses
from tidegate.config.locate import KeyPath
from tidegate.config.model_workers import CAPABILITIES_BACKEND, names_model_folder
from tidegate.config.problems import Problem
from tidegate.config.snapshot import Listen, Power

_TRANSPORTS: Final = {
    "command": ("stdio",),
    "url": ("http", "sse"),
    "tcp": ("tcp",),
    "unix": ("unix",),
    "builtin": ("builtin",),
    "wasm": ("wasm",),
    "models": ("stdio",),
    "openai": ("openai",),
}

_POWER: Final = Power()

_KNOWN_TRANSPORTS: Final = [transport for row in _TRANSPORTS.values() for transport in row]

_WAYS: Final = "`command`, `url`, `tcp`, `unix`, `builtin`, `wasm`, `models` or `openai`"


def reach_problems(document: Document) -> Iterator[Problem]:
    """Exactly one way to reach each backend, and a `transport` that goes with it."""
    for name, table in tables(document.tree, "backends"):
        path: KeyPath = ("backends", name)
        ways = [key for key in REACH_KEYS if key in table]
        if not ways:
            yield document.place(path).problem(f"expected one of {_WAYS}")
        elif len(ways) > 1:
            both = " and ".join(f"`{way}`" for way in ways)
            yield document.place((*path, ways[1])).problem(f"expected one way to reach the server, got {both}")
        else:
            transport = table.get("transport")
            fitting = _TRANSPORTS[ways[0]]
            if transport in _KNOWN_TRANSPORTS and transport not in fitting:
                words = " or ".join(f'"{item}"' for item in fitting)
                message = f'expected {words} (or nothing) beside `{ways[0]}`, got "{transport}"'
                yield document.place((*path, "transport")).problem(message)
        if "args" in table and "command" not in table:
            yield document.place((*path, "args")).problem("expected `command` beside `args`")
        if "replicas" in table and "command" not in table and ways:
            hint = f"; a list of several is one replica each: `{ways[0]}`" if ways[0] in ("url", "tcp", "unix") else ""
            yield document.place((*path, "replicas")).problem(f"expected `command` beside `replicas`{hint}")


def plugin_problems(document: Document) -> Iterator[Problem]:
    """Plugins are pinned, their keys go with them, and each has a name and places of its own."""
    backends = dict(tables(document.tree, "backends"))
    for section in ("backends", "filters"):
        for name, table in tables(document.tree, section):
            path: KeyPath = (section, name)
            if section == "filters" and name in backends:
                yield document.place(path).problem("expected a name of its own; a backend has this one")
            if "wasm" not in table:
                for key in PLUGIN_KEYS if section == "backends" else ():
                    if key in table:
                        yield document.place((*path, key)).problem(f"expected `wasm` beside `{key}`")
                continue
            wasm = table["wasm"]
            if isinstance(wasm, str) and names_file(wasm) and "digest" not in table:
                yield document.place((*path, "wasm")).problem(
                    'expected `digest = "sha256:..."` beside a file; `tidegate plugin add FILE.wasm` writes it, '
                    "`sha256sum FILE.wasm` prints it"
                )
            grants = table.get("grants")
            folders, writable = (
                found if isinstance(found := grants.get(key) if isinstance(grants, dict) else None, dict) else {}
                for key in ("folders", "writable")
            )
            for inside in writable:
                if inside in folders:
                    place = document.place((*path, "grants", "writable", inside))
                    yield place.problem("expected another path; it is in `folders`, too")


def model_problems(document: Document) -> Iterator[Problem]:
    """Models are pinned, and a service that chats says by which model."""
    for name, table in tables(document.tree, "backends"):
        path: KeyPath = ("backends", name)
        models = table.get("models")
        for index, model in enumerate(models if isinstance(models, list) else ()):
            folder = model.get("path") if isinstance(model, dict) else None
            if isinstance(folder, str) and names_model_folder(folder) and "digest" not in model:
                yield document.place((*path, "models", index, "path")).problem(
                    'expected `digest = "sha256:..."` beside a folder; `tidegate model add FOLDER` writes it, '
                    "`sha256sum FOLDER/model.toml` prints it"
                )
        for key in OPENAI_KEYS:
            if key in table and "openai" not in table:
                yield document.place((*path, key)).problem(f"expected `openai` beside `{key}`")
        if "openai" in table and not any(key in table for key in OPENAI_KEYS):
            yield document.place((*path, "openai")).problem(
                "expected `chat_model` or `embedding_model` beside it; without one it has no tool"
            )


def capability_problems(document: Document) -> Iterator[Problem]:
    """Each is made of other tools, and its backend has its name to itself."""
    found = dict(tables(document.tree, "capabilities"))
    for name, table in found.items():
        written = table.get("order")
        order: list[object] = written if isinstance(written, list) else []
        for index, tool in enumerate(order):
            place = document.place(("capabilities", name, "order", index))
            if tool in found:
                yield place.problem("expected a tool of a backend; this is a capability, which may lead back here")
            elif tool in order[:index]:
                yield place.problem("expected each tool once")
    if found and CAPABILITIES_BACKEND in dict(tables(document.tree, "backends")):
        place = document.place(("backends", CAPABILITIES_BACKEND))
        yield place.problem("expected another name; the capabilities of this file are served under this one")
    power = document.tree.get("power")
    if isinstance(power, dict):
        hot, cool = (power.get(key, getattr(_POWER, key)) for key in ("hot_c", "cool_c"))
        if isinstance(hot, int | float) and isinstance(cool, int | float) and cool >= hot:
            key = "cool_c" if "cool_c" in power else "hot_c"
            yield document.place(("power", key)).problem(
                "expected `cool_c` below `hot_c`, or the box changes its mind at every degree"
            )


def alias_problems(document: Document) -> Iterator[Problem]:
    """No two tools shown under one name."""
    taken: dict[str, str] = {}
    for name, table in tables(document.tree, "backends"):
        aliases = table.get("aliases")
        for upstream, shown in aliases.items() if isinstance(aliases, dict) else ():
            if not isinstance(shown, str):
                continue
            if shown in taken:
                place = document.place(("backends", name, "aliases", upstream))
                yield place.problem(f"expected a name of its own; `{shown}` is already the alias of {taken[shown]}")
            else:
                taken[shown] = f"`{upstream}` of backend `{name}`"


def token_problems(document: Document) -> Iterator[Problem]:
    """No two clients with one token: which of them would it be?"""
    taken: dict[str, str] = {}
    for name, table in tables(document.tree, "clients"):
        digest = table.get("token_sha256")
        if isinstance(digest, str):
            other = taken.setdefault(digest.lower(), name)
            if other != name:
                place = document.place(("clients", name, "token_sha256"))
                yield place.problem(f"expected a token of its own; client `{other}` has the same")


def listen_problems(document: Document, listen: Listen, has_clients: bool) -> Iterator[Problem]:
    """Each address once, and none of them open to the network unguarded."""
    seen: dict[str, KeyPath] = {}
    listed: list[tuple[KeyPath, str]] = [
        (("listen", key, index), address)
        for key, addresses in (("http", listen.http), ("tcp", listen.tcp))
        for index, address in enumerate(addresses)
    ]
    for path, address in (*listed, (("listen", "admin"), listen.admin)):
        if address and not address.endswith(":0") and seen.setdefault(address, path) != path:
            other = seen[address][1]
            yield document.place(path).problem(
                f"expected an address of its own; `{address}` is also in `listen.{other}`"
            )
    for exposure in refused_addresses(listen, has_clients):
        yield document.place(("listen", exposure.key, exposure.index)).problem(exposure.message)


def notes(document: Document) -> Iterator[Problem]:
    """What is allowed but does nothing, or hardly what was meant."""
    for name, table in tables(document.tree, "backends"):
        path: KeyPath = ("backends", name)
        if "url" in table:
            for key in ("env", "cwd"):
                if table.get(key):
                    yield document.place((*path, key)).problem("has no effect on a server that is not started here")
            urls = table["url"] if isinstance(table["url"], list) else [table["url"]]
            old = any(isinstance(url, str) and url.rstrip("/").endswith("/sse") for url in urls)
            if old and "transport" not in table:
                yield document.place((*path, "url")).problem(
                    'ends in `/sse`; if the server speaks the old HTTP+SSE, say `transport = "sse"`'
                )
        elif table.get("headers") and "openai" not in table:
            yield document.place((*path, "headers")).problem("has no effect on a server that is not reached by `url`")
    backends = document.tree.get("backends")
    if isinstance(backends, dict) and not backends:
        yield document.place(("backends",)).problem("names no server, so clients will find nothing to call")


def tables(tree: Tree, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The named tables of a section, passing over what is no table."""
    found = tree.get(section)
    for name, table in found.items() if isinstance(found, dict) else ():
        if isinstance(table, dict):
            yield name, table
