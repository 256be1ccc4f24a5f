"""The filters that are in force, and which of them a tool has.

A filter is loaded when the configuration names it, not when it is first needed; a call that comes before that waits for
it. One that could not be loaded fails every call that it should have seen.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from tidegate.config.snapshot import Filter as Configured
from tidegate.errors import FilterFailed, TidegateError
from tidegate.sandbox.guest import FilterGuest, Which

_log = logging.getLogger("tidegate.filters")

_CACHE_ENTRIES: Final = 4096
"""Tools whose filters are remembered."""

Load = Callable[[Configured], Awaitable[FilterGuest]]
"""Raises: TidegateError."""
Spawn = Callable[..., None]
Use = Callable[["FilterGuest | None", "TidegateError | None"], None]


class Filter:
    """One filter, as long as the configuration of it is the same. Compare by identity."""

    __slots__ = ("_error", "_guest", "_waiting", "config", "name")

    def __init__(self, config: Configured) -> None:
        self.config = config
        self.name = config.name
        self._guest: FilterGuest | None = None
        self._error: TidegateError | None = None
        self._waiting: list[Use] = []

    def matches(self, tool: str) -> bool:
        return any(fnmatchcase(tool, pattern) for pattern in self.config.tools)

    @property
    def ages(self) -> bool:
        """Whether it might say otherwise a moment later: one that sees no clock, keeps nothing and asks nobody says the
        same of the same call for ever.
        """
        grants = self.config.plugin.grants
        return bool(
            self.inspects("request")
            and (grants.time or grants.store_bytes or grants.call or grants.http or grants.folders or grants.writable)
        )

    @property
    def may_pass(self) -> bool:
        """What it fails over goes on all the same."""
        return self.config.on_failure == "pass"

    def inspects(self, which: Which) -> bool:
        """As long as nobody knows: yes."""
        return self._guest is None or which in self._guest.manifest.inspects

    def with_guest(self, use: Use) -> None:
        """Calls `use` with the plugin, or with why there is none: now, or once it is loaded."""
        if self._guest is None and self._error is None:
            self._waiting.append(use)
        else:
            use(self._guest, self._error)

    def statistics(self) -> dict[str, object]:
        state = "ready" if self._guest is not None else "loading" if self._error is None else "failed"
        reason = str(self._error) if self._error is not None else ""
        return {
            "filter": self.name,
            "tools": list(self.config.tools),
            "state": state,
            "reason": reason,
            "on_failure": self.config.on_failure,
        }

    async def load(self, load: Load) -> None:
        try:
            self._guest = await load(self.config)
        except TidegateError as error:
            self._error = error
            _log.error("filter_not_loaded filter=%s error=%s", self.name, error)
        except BaseException:
            self._error = FilterFailed(f"filter `{self.name}` could not be loaded")
            raise
        finally:
            waiting, self._waiting = self._waiting, []
            for use in waiting:
                use(self._guest, self._error)


class Filters:
    """Those of the configuration in force, in its order."""

    def __init__(self, spawn: Spawn, load: Load) -> None:
        """`spawn` starts a named task; `load` loads a plugin."""
        self._spawn = spawn
        self._filters: tuple[Filter, ...] = ()
        self._of: dict[str, tuple[Filter, ...]] = {}
        self.load = load
        self.rules = object()
        """Another one whenever other filters came into force."""

    def __bool__(self) -> bool:
        return bool(self._filters)

    def __iter__(self) -> Iterator[Filter]:
        return iter(self._filters)

    def take_up(self, configured: tuple[Configured, ...]) -> bool:
        """These from now on; whether they are others than before. One that did not change stays as it is, loaded."""
        before = {one.name: one for one in self._filters}
        if tuple(one.config for one in self._filters) == configured:
            return False
        now: list[Filter] = []
        for config in configured:
            old = before.get(config.name)
            now.append(old if old is not None and old.config == config else Filter(config))
        self._filters = tuple(now)
        self._of = {}
        self.rules = object()
        for one in now:
            if before.get(one.name) is not one:
                self._spawn(self._load, one, name=f"load filter {one.name}")
        return True

    async def _load(self, one: Filter) -> None:
        await one.load(self.load)

    def of(self, tool: str) -> tuple[Filter, ...]:
        """The filters of the tool that clients know by this name."""
        if not self._filters:
            return ()
        found = self._of.get(tool)
        if found is None:
            found = tuple(one for one in self._filters if one.matches(tool))
            if len(self._of) >= _CACHE_ENTRIES:
                self._of.clear()
            self._of[tool] = found
        return found
