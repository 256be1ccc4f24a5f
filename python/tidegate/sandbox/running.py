"""The sandbox of a gateway: loads plugins, and carries what they say and ask between their threads and the loop.

Made for the first plugin; until then neither this nor the WASM runtime is imported.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary

from tidegate import __version__, _sandbox
from tidegate.config.shipped import shipped_file
from tidegate.config.snapshot import Grants
from tidegate.config.snapshot import Plugin as Configured
from tidegate.errors import Cancelled, PluginRefused
from tidegate.events import Events
from tidegate.host.memory_room import room_bytes
from tidegate.sandbox.granting import bounded, granted, grants_in_a_line
from tidegate.sandbox.guest import NOBODY, Caller
from tidegate.sandbox.manifest import BrokenManifest, Manifest, World, manifest_of, read_wasm
from tidegate.sandbox.plugin import Plugin, PluginCall, Told
from tidegate.sandbox.questions import KINDS, Fetch, Questions
from tidegate.sandbox.sections import Kind, NotWasm, kind_of

if TYPE_CHECKING:
    from tidegate.sandbox.artefacts import Artefact

if __version__ != _sandbox.VERSION:
    raise ImportError(f"tidegate._sandbox is of version {_sandbox.VERSION}, tidegate of {__version__}: build it again")

_log = logging.getLogger("tidegate.sandbox")

_LEVELS: Final = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
_THREADS_A_CORE: Final = 2
"""Guests that compute at once. More would only take turns."""


class Services(Protocol):
    """What the gateway does for plugins, beyond what their callers may."""

    async def artefact(self, file: Path, digest: str, name: str, shipped: str, *, anew: bool) -> Artefact:
        """Native code for this file, compiled before or (`anew`, in any case) now. `shipped`: the name of the plugin,
        if it came with tidegate. Raises: PluginRefused.
        """

    @property
    def fetch(self) -> Fetch: ...


class Sandbox:
    """All plugins of one gateway. On the event loop, but for what it says otherwise."""

    def __init__(self, services: Services, store: Path | None, events: Events) -> None:
        """`store`: the file that plugins keep things in; None for memory only. Raises: OSError."""
        self._services = services
        threads = _THREADS_A_CORE * len(os.sched_getaffinity(0))
        self._native = _sandbox.Sandbox(str(store) if store is not None else None, threads, room_bytes() // 2)
        self._questions = Questions(self._native, services.fetch, events)
        self._plugins: WeakValueDictionary[int, Plugin] = WeakValueDictionary()
        self._calls: dict[int, PluginCall] = {}
        """Those that somebody attends to, by token. A plugin's tools may be called without."""
        self._asked: dict[int, tuple[Plugin, str, int, str, str, str]] = {}
        """Questions that are not looked at yet, by token: a call has one at most."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._native.fileno(), self._take)

    # -- loading ----------------------------------------------------------------------------------------------

    async def load(self, name: str, configured: Configured, world: World) -> Plugin:
        """Raises: PluginRefused."""
        try:
            read = await asyncio.to_thread(_read, name, configured)
        except NotWasm as error:
            raise PluginRefused(f"plugin `{name}` is refused: its file {error}") from error
        except BrokenManifest as error:
            raise PluginRefused(f"plugin `{name}` is refused: {error}") from error
        except OSError as error:
            raise PluginRefused(f"plugin `{name}` cannot be read: {error.strerror}: {configured.file}") from error
        manifest = read.manifest
        if manifest.world != world:
            raise PluginRefused(
                f"plugin `{name}` is a {manifest.world}, and cannot be used as a {world}; "
                f"a {manifest.world} stands under `{'filters' if manifest.world == 'filter' else 'backends'}`"
            )
        shipped = configured.file if configured.shipped else ""
        grants = granted(manifest.asks, configured.grants)

        async def mapped(*, anew: bool) -> _sandbox.Plugin:
            artefact = await self._services.artefact(read.file, read.digest, name, shipped, anew=anew)
            return await asyncio.to_thread(self._map, name, configured, read, grants, artefact)

        try:
            try:
                native = await mapped(anew=False)
            except ValueError as error:
                # It may be for a processor that this box had, or the disk, before it was moved here.
                _log.warning("plugin_artefact_ignored plugin=%s reason=%s", name, error)
                native = await mapped(anew=True)
        except ValueError as error:
            raise PluginRefused(f"plugin `{name}` is refused: {error}") from error
        _log.info(
            "plugin_loaded name=%s version=%s digest=%s grants=%s",
            name, manifest.version, read.digest, grants_in_a_line(grants),
        )  # fmt: skip
        plugin = self._plugins[native.number] = Plugin(name, self, native, manifest, grants)
        return plugin

    def _map(
        self, name: str, configured: Configured, read: _Read, grants: Grants, artefact: Artefact
    ) -> _sandbox.Plugin:
        """On a thread. Raises: ValueError."""
        bounds = bounded(read.manifest.limits, configured.bounds)
        folders = [(inside, outside, False) for inside, outside in grants.folders]
        folders += [(inside, outside, True) for inside, outside in grants.writable]
        return self._native.load(
            name,
            str(artefact.path),
            artefact.sha256,
            kind=read.kind,
            world=read.manifest.world,
            settings=configured.settings,
            grants={
                "folders": folders,
                "log": grants.log,
                "time": grants.time,
                "random": grants.random,
                "store_bytes": grants.store_bytes,
                "http": bool(grants.http),
                "call": bool(grants.call),
            },
            bounds={
                "memory_bytes": bounds.memory_bytes,
                "deadline_ms": bounds.deadline_ms,
                "output_bytes": bounds.output_bytes,
                "concurrency": bounds.concurrency,
            },
        )

    # -- calls ------------------------------------------------------------------------------------------------

    def attend(self, plugin: Plugin, token: int, caller: Caller, ended: Told | None) -> PluginCall:
        """Has `ended` told of the end of a call that was just started, and what it asks for done for `caller`."""
        call = self._calls[token] = PluginCall(plugin, token, caller, ended)
        return call

    def cancel(self, token: int) -> None:
        self._native.cancel(token)

    def _take(self) -> None:
        lines: dict[Plugin, list[bytes]] = {}
        for event in self._native.take():
            plugin = self._plugins.get(event[1])
            try:
                if event[0] == "line":
                    _, _, token, nanos, line, slug, _ = event
                    assert isinstance(line, bytes)
                    self._asked.pop(token, None)
                    if (call := self._calls.pop(token, None)) is not None:
                        call.end("line", "", "")
                    if plugin is not None:
                        plugin.ended(nanos / 1e9, slug)
                        if slug != Cancelled.slug:
                            lines.setdefault(plugin, []).append(line)
                else:
                    self._told(plugin, *event)
            except Exception:
                # What goes wrong for one call must not lose what others were told.
                _log.exception("plugin_event_failed kind=%s", event[0])
        for plugin, said in lines.items():
            if plugin.receive is not None:
                plugin.receive(said[0] if len(said) == 1 else b"".join(said))

    def _told(
        self,
        plugin: Plugin | None,
        kind: str,
        number: int,
        token: int,
        value: int,
        first: str | bytes,
        second: str,
        third: str,
    ) -> None:
        assert isinstance(first, str)
        if kind == "log":
            name = plugin.name if plugin is not None else "" if number else "(store)"
            _log.log(_LEVELS[value], "plugin_says plugin=%s text=%r", name, first)
        elif kind in KINDS:
            if plugin is None:
                self._native.answer(token, value, "", "the plugin is gone")
                return
            # One at a time: what waits for the loop besides has its turn between two of them.
            self._asked[token] = (plugin, kind, value, first, second, third)
            if len(self._asked) == 1:
                self._loop.call_soon(self._put_one)
        else:
            self._asked.pop(token, None)
            if plugin is not None:
                plugin.ended(value / 1e9, first if kind == "failed" else "")
            if (call := self._calls.pop(token, None)) is not None:
                call.end(kind, first, second)

    def _put_one(self) -> None:
        """The question that has waited longest."""
        token = next(iter(self._asked), None)
        if token is None:
            return
        plugin, kind, number, first, second, third = self._asked.pop(token)
        if self._asked:
            self._loop.call_soon(self._put_one)
        asking = self._calls.get(token) or self.attend(plugin, token, NOBODY, None)
        self._questions.put(kind, asking, token, number, first, second, third)

    # -- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        self._loop.remove_reader(self._native.fileno())
        self._native.close()
        self._asked.clear()
        self._calls.clear()

    def statistics(self) -> dict[str, object]:
        calls, threads = self._native.counts()
        plugins = {plugin.name: plugin.statistics() for plugin in self._plugins.values()}
        return {"calls": calls, "threads": threads, "plugins": plugins}


@dataclass(frozen=True, slots=True)
class _Read:
    file: Path
    digest: str
    kind: Kind
    manifest: Manifest


def _read(name: str, configured: Configured) -> _Read:
    """On a thread. Raises: NotWasm, BrokenManifest, OSError, PluginRefused."""
    from tidegate.sandbox.artefacts import sha256_of

    path = shipped_file(configured.file) if configured.shipped else Path(configured.file)
    if path is None:
        raise PluginRefused(f"plugin `{name}` is refused: no plugin `{configured.file}` comes with tidegate")
    wasm = read_wasm(path)
    digest = sha256_of(wasm)
    if configured.digest and configured.digest != digest:
        raise PluginRefused(
            f"plugin `{name}` is refused: {path} is not the file that was added; its digest is {digest}, "
            f"and the configuration says {configured.digest}"
        )
    return _Read(path, digest, kind_of(wasm), manifest_of(wasm, path))
