"""`tidegate plugin add --replace`: another version in the table of one that is there.

The table keeps all that it has; `wasm` and `digest` change, and grants are added where somebody says so. A grant that
the new version no longer asks for is told and stays: it has no effect, a person wrote it, and the version
before needs it again when it comes back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.cli.config_text import names_backends
from tidegate.cli.home import Home
from tidegate.cli.plugin.configured import Configured, plugin_of, plugins_of
from tidegate.cli.plugin.grants import as_table
from tidegate.cli.plugin.opened import Opened, open_plugin
from tidegate.cli.plugin.written import Change, check_table, drop_files, put_in_place
from tidegate.cli.refused import Refused
from tidegate.config.json_edit import NotEditable
from tidegate.config.snapshot import Grants, Plugin
from tidegate.config.toml_edit import TomlText
from tidegate.sandbox.granting import granted
from tidegate.sandbox.manifest import Asks, Folders, Manifest

_VERSION: Final = re.compile(r"(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
_KINDS: Final = {"backends": "serves tools", "filters": "is a filter"}


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What a table stands for before it is replaced."""

    configured: Configured
    opened: Opened | None
    """None: its file is gone, broken or not the one that was pinned; what it asked for is not known then."""

    @property
    def plugin(self) -> Plugin:
        return self.configured.plugin

    @property
    def asks(self) -> Asks:
        return self.opened.manifest.asks if self.opened is not None else Asks()

    @property
    def version(self) -> str | None:
        return self.opened.manifest.version if self.opened is not None else None


def find_predecessor(home: Home, name: str, manifest: Manifest) -> Predecessor:
    """The plugin `name`, whose place this one may take. Raises: Refused."""
    section = "filters" if manifest.world == "filter" else "backends"
    way_out = "; without `--replace`, and with `--name`, this one is added under another name"
    configured = next((one for one in plugins_of(home.snapshot) if (one.section, one.name) == (section, name)), None)
    if configured is None:
        if any(backend.name == name and backend.plugin is None for backend in home.snapshot.backends):
            raise Refused(f"`{name}` is a server, not a plugin{way_out}")
        configured = plugin_of(home, name)
        raise Refused(
            f"`{name}` {_KINDS[configured.section]}, and `{manifest.name}` {_KINDS[section]}; "
            f"`tidegate plugin remove {name}` first, or leave `--replace` out and `--name` another"
        )
    opened = None
    if configured.file is not None:
        with suppress(Refused):
            found = open_plugin(configured.file)
            if configured.plugin.digest in ("", found.digest):
                opened = found
    return Predecessor(configured, opened)


def lacking(asks: Asks, before: Asks, grants: Grants) -> Asks:
    """What of `asks` is not granted yet. `before`: what the version before asked for.

    Where the operator granted other hosts, other tools or less room than that one asked for, that was the last word; of
    these only what is new is lacking.
    """
    effective = granted(asks, grants)
    writable = {path for path, _ in effective.writable}
    given = writable | {path for path, _ in effective.folders}
    folders: Folders = tuple(
        (path, how)
        for path, how in asks.folders
        if path not in given or (how == "write" and path not in writable and (path, how) not in before.folders)
    )
    larger = asks.store_bytes > max(before.store_bytes, effective.store_bytes)
    return Asks(
        folders=folders,
        http=_lacking(asks.http, before.http, effective.http),
        store_bytes=asks.store_bytes if larger or not effective.store_bytes else 0,
        log=asks.log and not effective.log,
        time=asks.time and not effective.time,
        random=asks.random and not effective.random,
        call=() if "*" in effective.call else _lacking(asks.call, before.call, effective.call),
    )


def is_news(wanted: Asks, before: Asks) -> bool:
    """Whether the version before did not ask for all of it, so that nobody can have decided about it."""
    readable = {path for path, _ in before.folders}
    return (
        any(
            (path, how) not in before.folders and (how == "write" or path not in readable)
            for path, how in wanted.folders
        )
        or not {*wanted.http} <= {*before.http}
        or not {*wanted.call} <= {*before.call}
        or wanted.store_bytes > before.store_bytes
        or any(getattr(wanted, name) and not getattr(before, name) for name in ("log", "time", "random"))
    )


def together(grants: Grants, more: Grants) -> Grants:
    """What is granted after `more` was added."""
    moved = {path for path, _ in (*more.folders, *more.writable)}
    return Grants(
        folders=(*(pair for pair in grants.folders if pair[0] not in moved), *more.folders),
        writable=(*(pair for pair in grants.writable if pair[0] not in moved), *more.writable),
        http=_both(grants.http, more.http),
        store_bytes=more.store_bytes or grants.store_bytes,
        log=grants.log or more.log,
        time=grants.time or more.time,
        random=grants.random or more.random,
        call=_both(grants.call, more.call),
    )


def is_lower(version: str, than: str) -> bool:
    """By the rules of semantic versions; False where one of the two is none."""
    keys = [_version_key(one) for one in (version, than)]
    return None not in keys and keys[0] < keys[1]  # type: ignore[operator]


def replace_table(change: Change, before: Predecessor, opened: Opened, more: Grants, *, shipped: bool) -> Opened:
    """What is in force then. Raises: Refused, and then everything is as it was."""
    path = (change.section, change.name)
    by_default = change.section == "backends" and not names_backends(change.home)

    def edit(text: TomlText, values: dict[str, Any]) -> None:
        if text.get((*path, "wasm")) is None:
            if not by_default:
                raise NotEditable(f"`{change.name}` is not in it; give the file that it is in with `--config`")
            prefix = getattr(before.configured.table, "prefix", None)
            values = values if prefix is None else {**values, "prefix": prefix}
        text.set(path, values)
        if given := _changed_grants(text.get((*path, "grants")) or {}, more):
            _set_grants(text, path, given)

    check_table(change, {"grants": as_table(together(before.plugin.grants, more))})
    return put_in_place(change, opened, edit, shipped=shipped)


def drop_predecessor(change: Change, before: Predecessor) -> list[str]:
    """Takes away the files of the version before that nobody uses now; their names."""
    from tidegate.config.load import load

    files = [file for file in change.home.files if Path(file).exists()]
    now = [one.plugin for one in plugins_of(load(files, resolve_references=False).snapshot)]
    return drop_files(change.config, before.plugin, now)


def _changed_grants(table: dict[str, Any], more: Grants) -> dict[str, Any]:
    """The keys of `grants` that are another with `more`."""
    changed: dict[str, Any] = {}
    for key, value in as_table(more).items():
        if isinstance(value, dict):
            changed[key] = {**table.get(key, {}), **value}
            other = "writable" if key == "folders" else "folders"
            if not {*table.get(other, {})}.isdisjoint(value):
                rest = changed.get(other, table[other])
                changed[other] = {inside: outside for inside, outside in rest.items() if inside not in value}
        elif isinstance(value, list):
            changed[key] = [*_both(table.get(key, []), value)]
        else:
            changed[key] = value
    return {key: value for key, value in changed.items() if value != table.get(key)}


def _set_grants(text: TomlText, path: tuple[str, str], changed: dict[str, Any]) -> None:
    """Raises: NotEditable."""
    try:
        text.set((*path, "grants"), changed)
    except NotEditable:
        # They stand in the table itself, on one line or as `grants.log = true`.
        text.set(path, {"grants": {**(text.get((*path, "grants")) or {}), **changed}})


def _lacking(asked: tuple[str, ...], before: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in asked if one not in given and (not given or one not in before))


def _both(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _version_key(version: str) -> tuple[Any, ...] | None:
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    before = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in (found[2] or "").split(".")]
    return numbers, not found[2], before
