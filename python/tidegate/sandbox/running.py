"""The sandbox of a gateway: loads plugins, and carries what they say and ask between their threads and the loop.

Made for the first plugin; until then neither this nor the WASM runtime is imported.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tidegate import __version__, _sandbox
from tidegate.config.snapshot import Plugin as Configured
from tidegate.errors import PluginRefused, TidegateError
from tidegate.sandbox.granting import bounded, granted
from tidegate.sandbox.guest import Answered, Job
from tidegate.sandbox.manifest import BrokenManifest, Manifest, manifest_of, read_wasm
from tidegate.sandbox.plugin import Plugin, PluginCall
from tidegate.sandbox.sections import Kind, NotWasm, kind_of
from tidegate.sandbox.shipped import shipped_file

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

    async def artefact(self, file: Path, digest: str, name: str) -> Artefact:
        """Native code for this file, compiled before or now. Raises: PluginRefused."""

    def fetch(self, plugin: str, request: str, granted: tuple[str, ...], timeout_s: float, answered: Answered) -> Job:
        """Makes an HTTP request, in the plugin's words, to one of the granted hosts. May answer before it returns."""


class Sandbox:
    """All plugins of one gateway. On the event loop, but for what it says otherwise."""

    def __init__(self, services: Services, store: Path | None) -> None:
        """`store`: the file that plugins keep things in; None for memory only. Raises: OSError."""
        self._services = services
        threads = _THREADS_A_CORE * len(os.sched_getaffinity(0))
        self._native = _sandbox.Sandbox(str(store) if store is not None else None, threads)
        self._calls: dict[int, PluginCall] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._native.fileno(), self._take)

    # -- loading ----------------------------------------------------------------------------------------------

    async def load(self, name: str, configured: Configured, world: str) -> Plugin:
        """Raises: PluginRefused."""
        try:
            read = await asyncio.to_thread(_read, name, configured)
        except (NotWasm, BrokenManifest) as error:
            raise PluginRefused(f"plugin `{name}` is refused: its file {error}") from error
        except OSError as error:
            raise PluginRefused(f"plugin `{name}` cannot be read: {error.strerror}: {configured.file}") from error
        manifest = read.manifest
        if manifest.world != world:
            raise PluginRefused(
                f"plugin `{name}` is a {manifest.world}, and cannot be used as a {world}; "
                f"a {manifest.world} stands under `{'filters' if manifest.world == 'filter' else 'backends'}`"
            )
        artefact = await self._services.artefact(read.file, read.digest, name)
        grants = granted(manifest.asks, configured.grants)
        bounds = bounded(manifest.limits, configured.bounds)
        folders = [(inside, outside, False) for inside, outside in grants.folders]
        folders += [(inside, outside, True) for inside, outside in grants.writable]

        def map_it() -> _sandbox.Plugin:
            return self._native.load(
                name,
                str(artefact.path),
                artefact.sha256,
                kind=read.kind,
                world=manifest.world,
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

        try:
            native = await asyncio.to_thread(map_it)
        except ValueError as error:
            raise PluginRefused(f"plugin `{name}` is refused: {error}") from error
        return Plugin(name, self, native, manifest, grants)

    # -- calls ------------------------------------------------------------------------------------------------

    def begin(self, call: PluginCall, token: int | None) -> PluginCall:
        """`token`: None where too many wait."""
        if token is None:
            self._loop.call_soon(call.end, "failed", "plugin_busy", "too many calls wait for it already")
        else:
            call.token = token
            self._calls[token] = call
            if call.plugin is not None:
                call.plugin.calls += 1
        return call

    def cancel(self, token: int) -> None:
        self._native.cancel(token)

    def _take(self) -> None:
        for kind, token, number, first, second, third in self._native.take():
            call = self._calls.get(token)
            if token == 0:
                _log.log(_LEVELS[number], "plugins_store text=%r", first)
            if call is None:
                continue
            try:
                self._told(call, kind, token, number, first, second, third)
            except Exception:
                # What goes wrong for one call must not lose what others were told.
                _log.exception("plugin_event_failed kind=%s", kind)

    def _told(self, call: PluginCall, kind: str, token: int, number: int, first: str, second: str, third: str) -> None:
        plugin = call.plugin
        if kind == "log":
            if plugin is not None:
                _log.log(_LEVELS[number], "plugin_says plugin=%s text=%r", plugin.name, first)
        elif kind in _QUESTIONS:
            if plugin is not None:
                _QUESTIONS[kind](self, call, plugin, _Answer(self._native, token, number), first, second, third)
        else:
            del self._calls[token]
            if plugin is not None:
                plugin.cpu_s += number / 1e9
            call.end(kind, first, second)

    # -- what plugins ask for ---------------------------------------------------------------------------------

    def _fetch(self, call: PluginCall, plugin: Plugin, answer: _Answer, request: str, _2: str, _3: str) -> None:
        job = self._services.fetch(plugin.name, request, plugin.grants.http, _LONGEST_WAIT_S, answer)
        call.questions = [job]

    def _call_tool(self, call: PluginCall, plugin: Plugin, answer: _Answer, name: str, arguments: str, _3: str) -> None:
        if not _matches(name, plugin.grants.call):
            answer.refuse(f"`{name[:128]}` is not among the tools that it was granted")
            return
        call.questions = [call.caller.call_tool(name, arguments.encode(), answer)]

    def _arm(
        self, call: PluginCall, plugin: Plugin, answer: _Answer, key: str, when_and_name: str, arguments: str
    ) -> None:
        after_ms, _, name = when_and_name.partition(" ")
        if not _matches(name, plugin.grants.call):
            answer.refuse(f"`{name[:128]}` is not among the tools that it was granted")
            return
        try:
            call.caller.arm(f"{plugin.name}\n{key}", int(after_ms), name, arguments.encode())
        except TidegateError as error:
            answer.refuse(str(error))
        else:
            answer(b"null", None)

    def _disarm(self, call: PluginCall, plugin: Plugin, answer: _Answer, key: str, _2: str, _3: str) -> None:
        call.caller.disarm(f"{plugin.name}\n{key}")
        answer(b"null", None)

    # -- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        self._loop.remove_reader(self._native.fileno())
        self._native.close()
        self._calls.clear()

    def statistics(self) -> dict[str, object]:
        calls, threads = self._native.counts()
        return {"calls": calls, "threads": threads}


class _Answer:
    """To one question of a guest. As `Answered`."""

    __slots__ = ("_native", "_number", "_token")

    def __init__(self, native: _sandbox.Sandbox, token: int, number: int) -> None:
        self._native = native
        self._token = token
        self._number = number

    def __call__(self, json: bytes | None, error: TidegateError | None) -> None:
        if json is None:
            self.refuse(str(error))
        else:
            self._native.answer(self._token, self._number, json.decode())

    def refuse(self, why: str) -> None:
        self._native.answer(self._token, self._number, "", why)


_Question = Callable[[Sandbox, PluginCall, Plugin, _Answer, str, str, str], None]
_QUESTIONS: Final[dict[str, _Question]] = {
    "http": Sandbox._fetch,
    "call": Sandbox._call_tool,
    "arm": Sandbox._arm,
    "disarm": Sandbox._disarm,
}

_LONGEST_WAIT_S: Final = 60.0
"""For what a guest asked; its own deadline ends before."""


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class _Read:
    file: Path
    digest: str
    kind: Kind
    manifest: Manifest


def _read(name: str, configured: Configured) -> _Read:
    """On a thread. Raises: NotWasm, BrokenManifest, OSError, PluginRefused."""
    import hashlib

    path = shipped_file(configured.file) if configured.shipped else Path(configured.file)
    if path is None:
        raise PluginRefused(f"plugin `{name}` is refused: no plugin `{configured.file}` comes with tidegate")
    wasm = read_wasm(path)
    digest = f"sha256:{hashlib.sha256(wasm).hexdigest()}"
    if configured.digest and configured.digest != digest:
        raise PluginRefused(
            f"plugin `{name}` is refused: {path} is not the file that was added; its digest is {digest}, "
            f"and the configuration says {configured.digest}"
        )
    return _Read(path, digest, kind_of(wasm), manifest_of(wasm, path))
