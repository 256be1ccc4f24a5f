"""A plugin's table in `tidegate.toml` and its files beside it, written and taken away.

The file is copied to `plugins/` in the directory of the configuration, under its name and digest: whoever may read the
one may read the other, whichever user the gateway runs as.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tidegate.cli.config_text import keep_defaults, read_config, write_config
from tidegate.cli.home import Home
from tidegate.cli.plugin.compiling import compiled
from tidegate.cli.plugin.configured import Configured, Section, plugins_of
from tidegate.cli.plugin.opened import Opened
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import say
from tidegate.config.document import dotted
from tidegate.config.json_edit import NotEditable
from tidegate.config.paths import plugins_directory
from tidegate.config.snapshot import Plugin
from tidegate.config.toml_edit import TomlText
from tidegate.sandbox.artefacts import SUFFIX, ArtefactRefused, Artefacts, seal_path, sha256_of, signed_seal
from tidegate.sandbox.compiling import Check
from tidegate.sandbox.engine import NoEngine, engine_key
from tidegate.sandbox.manifest import BrokenManifest, embed, listed_tools, parse_manifest, with_tools
from tidegate.sandbox.shipped_code import shipped_code

DIRECTORY: Final = "plugins"
_DIGEST_CHARS: Final = 12

Edit = Callable[[TomlText, dict[str, Any]], None]
"""Brings a plugin's `wasm` and `digest` into a text. Raises: NotEditable."""


@dataclass(frozen=True, slots=True)
class Change:
    """Where a plugin is put."""

    config: Path
    home: Home
    section: Section
    name: str
    compile: bool
    quiet: bool


def add_table(change: Change, opened: Opened, table: dict[str, Any], *, shipped: bool) -> Opened:
    """Compiles, copies, writes: what is in force then, with its manifest and its tools in it.

    Raises: Refused, and then the configuration is as it was.
    """

    def edit(text: TomlText, values: dict[str, Any]) -> None:
        text.set((change.section, change.name), {**values, **table})

    check_table(change, table)
    return put_in_place(change, opened, edit, shipped=shipped)


def put_in_place(change: Change, opened: Opened, edit: Edit, *, shipped: bool) -> Opened:
    """Compiles, copies, and has `edit` write `wasm` and `digest` (None: needs none) where they belong.

    Raises: Refused, and then the configuration is as it was.
    """
    before = read_config(change.config)
    # Whether it can be written shows before the minute that compiling may take, and before a file is left behind.
    _edited(before, change, edit, {"wasm": "copy.wasm", "digest": "sha256:"})
    whole = opened if shipped else _complete(opened)
    if change.compile:
        whole = _compiled(whole, change, shipped)
    if shipped:
        values = {"wasm": opened.path.stem, "digest": None}
    else:
        copy = _copied(whole, opened.path, change)
        values = {"wasm": f"{DIRECTORY}/{copy.name}", "digest": whole.digest}
        whole = replace(whole, path=copy)
    write_config(change.config, before, _edited(before, change, edit, values))
    return whole


def remove_table(config: str, configured: Configured, home: Home) -> list[str]:
    """Takes the table away, and the files that no other plugin uses; names of those. Raises: Refused."""
    path = Path(config)
    before = read_config(path)
    try:
        text = TomlText(before or "")
        if text.get((configured.section, configured.name)) is None:
            raise Refused(f"`{configured.name}` is not in {config}; give the file that it is in with `--config`")
        text.remove((configured.section, configured.name))
    except NotEditable as error:
        raise Refused(f"`{config}`, {error}; nothing was changed") from error
    write_config(path, before, text.text)
    others = [
        one.plugin
        for one in plugins_of(home.snapshot)
        if (one.section, one.name) != (configured.section, configured.name)
    ]
    return drop_files(path, configured.plugin, others)


def drop_files(config: Path, plugin: Plugin, others: Collection[Plugin]) -> list[str]:
    """Takes away what `add` made for a plugin and none of the `others` uses; names of the files."""
    removed: list[str] = []
    if plugin.shipped:
        return removed
    if plugin.digest not in {one.digest for one in others} and (directory := plugins_directory()) is not None:
        Artefacts(directory).remove(plugin.digest)
    file = Path(plugin.file)
    ours = file.parent == Path(os.path.normpath(config.absolute().parent)) / DIRECTORY
    if ours and plugin.file not in {one.file for one in others}:
        code = file.with_suffix(SUFFIX)
        for one in (file, code, seal_path(code)):
            with suppress(OSError):
                one.unlink()
                removed.append(str(one))
        with suppress(OSError):
            file.parent.rmdir()
    return removed


def check_table(change: Change, table: dict[str, Any]) -> None:
    """Whether the gateway would take what a manifest asked for, or somebody granted. Raises: Refused."""
    from pydantic import ValidationError

    from tidegate.config.explain import explain, key_path
    from tidegate.config.schema import Configuration

    try:
        Configuration.model_validate({change.section: {change.name: {"wasm": "copy.wasm", **table}}})
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        key = dotted(key_path(details))
        raise Refused(f"the gateway would not take `{key}`: {explain(details)}; nothing was changed") from error


def _complete(opened: Opened) -> Opened:
    """With its manifest inside, so that one digest is that of everything. Raises: Refused."""
    return _with_manifest(opened, opened.manifest_text)


def _with_manifest(opened: Opened, text: bytes) -> Opened:
    try:
        wasm = embed(opened.wasm, text)
        manifest = parse_manifest(text)
    except BrokenManifest as error:
        raise Refused(f"`{opened.path}`: {error}") from error
    return replace(opened, wasm=wasm, digest=sha256_of(wasm), manifest=manifest, manifest_text=text)


def _compiled(opened: Opened, change: Change, shipped: bool) -> Opened:
    """Compiled for this box and checked, or precompiled and trusted. Raises: Refused."""
    try:
        engine = engine_key()
    except NoEngine as error:
        raise Refused(f"{error}; `--no-compile` adds it all the same") from error
    with TemporaryDirectory(prefix="tidegate-plugin-") as folder:
        directory = plugins_directory()
        kept = directory if directory is not None else Path(folder) / "artefacts"
        artefacts = Artefacts(kept, change.home.snapshot.trusted_keys)
        if shipped and shipped_code(opened.path.stem, opened.digest, engine) is not None:
            return opened
        if not shipped and _take_precompiled(opened, artefacts, engine):
            return opened
        file = Path(folder) / opened.path.name
        needs_tools = opened.manifest.world == "tool" and not opened.manifest.tools
        check: Check = "tools" if needs_tools else opened.manifest.world
        file.write_bytes(opened.wasm)
        found = compiled(file, opened.digest, kept, check, shown=str(opened.path), quiet=change.quiet)
        if needs_tools:
            artefacts.remove(opened.digest)
            try:
                text = with_tools(opened.manifest_text, listed_tools(found.tools))
            except BrokenManifest as error:
                raise Refused(f"`{opened.path}`: {error}") from error
            opened = _with_manifest(opened, text)
            file.write_bytes(opened.wasm)
            compiled(file, opened.digest, kept, "tool", shown=str(opened.path), quiet=change.quiet)
    return opened


def _take_precompiled(opened: Opened, artefacts: Artefacts, engine: str) -> bool:
    foreign = opened.path.with_suffix(SUFFIX)
    if signed_seal(foreign) is None:
        return False
    try:
        artefacts.take_in(foreign, opened.digest, engine)
    except (ArtefactRefused, OSError) as error:
        say(f"not taken, so it is compiled: {error}")
        return False
    return True


def _copied(opened: Opened, source: Path, change: Change) -> Path:
    """The file in its place, and a precompiled one beside it. Raises: Refused."""
    directory = change.config.absolute().parent / DIRECTORY
    digest = opened.digest.removeprefix("sha256:")
    copy = directory / f"{opened.manifest.name}-{digest[:_DIGEST_CHARS]}.wasm"
    foreign = source.with_suffix(SUFFIX)
    seal = signed_seal(foreign)
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
        _put(copy, opened.wasm)
        if seal is not None and seal.wasm == opened.digest and foreign.exists():
            code = copy.with_suffix(SUFFIX)
            _put(code, foreign.read_bytes())
            _put(seal_path(code), seal.text())
    except OSError as error:
        raise Refused(f"`{error.filename or copy}` cannot be written: {error.strerror}") from error
    return copy


def _put(path: Path, data: bytes) -> None:
    """Whole or not at all, readable by the user of the gateway. Raises: OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _edited(before: str | None, change: Change, edit: Edit, values: dict[str, Any]) -> str:
    """The text, with what there is by default written out where the table would make it go. Raises: Refused."""
    try:
        text = TomlText(before or "")
        if change.section == "backends":
            keep_defaults(text, change.home, but=change.name)
        edit(text, values)
    except NotEditable as error:
        raise Refused(f"`{change.config}`, {error}; nothing was changed") from error
    return text.text
