"""The plugins of a gateway: where a file becomes something that can be called, for backends and filters alike.

The sandbox, and the native runtime with it, is there from the first plugin on.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Filter, Limits
from tidegate.errors import PluginRefused
from tidegate.events import Events
from tidegate.sandbox.guest import Answered, Job

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.plugin_http import PluginHttp
    from tidegate.sandbox.artefacts import Artefact, Artefacts
    from tidegate.sandbox.plugin import Plugin
    from tidegate.sandbox.running import Sandbox

_STORE: Final = "plugins.sqlite3"


class Plugins:
    """Implements `Services` for the sandbox."""

    def __init__(
        self, directory: Path | None, trusted_keys: tuple[str, ...], limits: Limits, clock: Clock, events: Events
    ) -> None:
        """`directory`: for compiled code and what plugins keep; None: neither outlives this process."""
        self._directory = directory
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._trusted_keys = trusted_keys
        self._compiling = asyncio.Lock()
        self._compiled: set[str] = set()
        """Digests of what this process had compiled, which is for this processor and no other."""
        self._sandbox: Sandbox | None = None
        self._limits = limits
        self._clock = clock
        self._events = events
        self._http: PluginHttp | None = None

    def take_up(self, trusted_keys: tuple[str, ...]) -> None:
        """For what is loaded from now on."""
        self._trusted_keys = trusted_keys

    async def load_backend(self, backend: Backend) -> Plugin:
        """Raises: PluginRefused."""
        assert backend.plugin is not None
        return await self._running().load(backend.name, backend.plugin, "tool")

    async def load_filter(self, configured: Filter) -> Plugin:
        """Raises: PluginRefused."""
        return await self._running().load(configured.name, configured.plugin, "filter")

    def _running(self) -> Sandbox:
        """Raises: PluginRefused."""
        if self._sandbox is None:
            try:
                from tidegate.sandbox.running import Sandbox

                store = None
                if self._directory is not None:
                    self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                    store = self._directory / _STORE
                self._sandbox = Sandbox(self, store, self._events)
            except (ImportError, OSError) as error:
                raise PluginRefused(f"plugins cannot be run: {error}") from error
        return self._sandbox

    # -- for the sandbox --------------------------------------------------------------------------------------

    async def artefact(self, file: Path, digest: str, name: str, shipped: str, *, anew: bool) -> Artefact:
        from tidegate.sandbox.compiling import CompilationFailed, compile_in_child

        try:
            artefacts, engine = await asyncio.to_thread(self._kept)

            async def known() -> Artefact | None:
                if anew and digest not in self._compiled:
                    return None
                return await asyncio.to_thread(self._found, artefacts, engine, file, digest, shipped)

            found = await known()
            if found is None:
                # One after the other: each takes a core and memory for itself.
                async with self._compiling:
                    # The one before may have been the same.
                    found = await known()
                    if found is None:
                        await compile_in_child(file, digest, artefacts.directory)
                        self._compiled.add(digest)
                        found = await asyncio.to_thread(artefacts.find, digest, engine)
        except (CompilationFailed, OSError) as error:
            raise PluginRefused(f"plugin `{name}` is refused: {error}") from error
        if found is None:
            raise PluginRefused(
                f"plugin `{name}` was compiled, and what came of it is not there: {artefacts.directory}"
            )
        return found

    @staticmethod
    def _found(artefacts: Artefacts, engine: str, file: Path, digest: str, shipped: str) -> Artefact | None:
        """On a thread. What was compiled here goes before what came: that may be for another processor."""
        from tidegate.sandbox.shipped_code import shipped_code

        if not shipped:
            return artefacts.find(digest, engine, file)
        return artefacts.find(digest, engine) or shipped_code(shipped, digest, engine)

    def _kept(self) -> tuple[Artefacts, str]:
        """On a thread: where artefacts are, and for which engine. Raises: OSError."""
        from tidegate.sandbox.artefacts import Artefacts
        from tidegate.sandbox.engine import NoEngine, engine_key

        directory = self._directory
        if directory is None:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="tidegate-plugins-")
            directory = Path(self._temporary.name)
        try:
            return Artefacts(directory, self._trusted_keys), engine_key()
        except NoEngine as error:
            raise OSError(str(error)) from error

    def fetch(self, plugin: str, request: str, granted: tuple[str, ...], timeout_s: float, answered: Answered) -> Job:
        if self._http is None:
            from tidegate.pipeline.upstream.plugin_http import PluginHttp

            self._http = PluginHttp(self._limits, self._clock)
        return self._http.fetch(plugin, request, granted, timeout_s, answered)

    # -- the end ----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def statistics(self) -> dict[str, object] | None:
        """None while no plugin was needed."""
        return self._sandbox.statistics() if self._sandbox is not None else None
