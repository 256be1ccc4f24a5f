"""What went wrong with tools not long ago, and until when that is held against them.

The way to a server is one for all its tools; what a tool itself could not do is its own. Each further failure is held
against it for longer, up to a minute. Then one call finds out how it is now, while others are still kept from it; one
answer, and all is forgotten.
"""

from __future__ import annotations

from typing import Final

from tidegate.clock import Clock
from tidegate.pipeline.backoff import Backoff
from tidegate.pipeline.capabilities.decision import Ended

_FIRST_S: Final = 4.0
_MOST_S: Final = 60.0
_MEMORY_S: Final = 10.0
"""A model is unloaded, or another one is, and there is room again."""
_WARM_S: Final = 10.0
"""A model that was used is not unloaded sooner, unless memory is scarce."""
_MOST_KEPT: Final = 1024


class _Trouble:
    """Of one backend or tool."""

    __slots__ = ("_backoff", "probed", "until_s")

    def __init__(self) -> None:
        self._backoff = Backoff(_FIRST_S, _MOST_S)
        self.until_s = 0.0
        self.probed = False
        """A call finds out whether it is over."""

    def again(self, now_s: float) -> None:
        if self.probed or now_s >= self.until_s:
            # Several calls that were under way tell of the same outage.
            self.until_s = now_s + self._backoff.next_s()
            self.probed = False


class Recent:
    """Of one gateway."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backends: dict[str, _Trouble] = {}
        self._tools: dict[str, _Trouble] = {}
        self._memory: dict[str, float] = {}
        self._warm: dict[str, float] = {}
        """Until when."""

    def unreached_until_s(self, backend: str, tool: str) -> float:
        return max((one.until_s for one in self._of(backend, tool)), default=0.0)

    def memory_until_s(self, tool: str) -> float:
        return self._memory.get(tool, 0.0)

    def is_warm(self, tool: str) -> bool:
        """It answered not long ago: there is nothing to be loaded for it."""
        return self._clock.now_s() < self._warm.get(tool, 0.0)

    def begun(self, backend: str, tool: str, most_s: float) -> None:
        """An attempt has, which takes at most so long."""
        now_s = self._clock.now_s()
        for one in self._of(backend, tool):
            if now_s >= one.until_s:
                one.until_s, one.probed = now_s + most_s, True

    def ended(self, backend: str, tool: str, how: Ended) -> None:
        """An attempt has. `withdrawn`: without finding anything out."""
        now_s = self._clock.now_s()
        if how == "unreached":
            _at(self._backends, backend).again(now_s)
        elif how == "timeout":
            _at(self._tools, tool).again(now_s)
        elif how == "withdrawn":
            for one in self._of(backend, tool):
                if one.probed:
                    one.until_s, one.probed = now_s, False
        else:
            self._backends.pop(backend, None)
            self._tools.pop(tool, None)
            self._memory.pop(tool, None)
            if how == "answered":
                _make_room(self._warm, tool)
                self._warm[tool] = now_s + _WARM_S
            if how == "no_memory":
                _make_room(self._memory, tool)
                self._memory[tool] = now_s + _MEMORY_S

    def reached(self, backend: str) -> None:
        """It is connected again, as its own supervision found out."""
        self._backends.pop(backend, None)

    def forget(self) -> None:
        """Another configuration: what a name means may be another thing."""
        self._backends.clear()
        self._tools.clear()
        self._memory.clear()
        self._warm.clear()

    def statistics(self) -> dict[str, object]:
        """What is held against whom, and for how many more seconds."""
        now_s = self._clock.now_s()
        troubles = (*self._backends.items(), *self._tools.items())
        unreached = {name: round(one.until_s - now_s, 1) for name, one in troubles if one.until_s > now_s}
        memory = {name: round(until_s - now_s, 1) for name, until_s in self._memory.items() if until_s > now_s}
        return {"unreached_s": unreached, "no_memory_s": memory}

    def _of(self, backend: str, tool: str) -> list[_Trouble]:
        found = (self._backends.get(backend), self._tools.get(tool))
        return [one for one in found if one is not None]


def _at(table: dict[str, _Trouble], key: str) -> _Trouble:
    _make_room(table, key)
    return table.setdefault(key, _Trouble())


def _make_room(table: dict[str, _Trouble] | dict[str, float], key: str) -> None:
    if key not in table and len(table) >= _MOST_KEPT:
        del table[next(iter(table))]
