"""What went wrong with tools not long ago, and until when that is held against them.

The way to a server is one for all its tools; what a tool itself could not do is its own. Each further failure is held
against it for longer, up to a minute; one success, and all is forgotten.
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
_MOST_KEPT: Final = 1024


class _Trouble:
    """Of one backend or tool."""

    __slots__ = ("backoff", "until_s")

    def __init__(self) -> None:
        self.backoff = Backoff(_FIRST_S, _MOST_S)
        self.until_s = 0.0


class Recent:
    """Of one gateway."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backends: dict[str, _Trouble] = {}
        self._tools: dict[str, _Trouble] = {}
        self._memory: dict[str, float] = {}

    def unreached_until_s(self, backend: str, tool: str) -> float:
        return max(
            (found.until_s for found in (self._backends.get(backend), self._tools.get(tool)) if found is not None),
            default=0.0,
        )

    def memory_until_s(self, tool: str) -> float:
        return self._memory.get(tool, 0.0)

    def ended(self, backend: str, tool: str, how: Ended) -> None:
        """An attempt has."""
        if how == "unreached":
            self._note(self._backends, backend)
        elif how == "timeout":
            self._note(self._tools, tool)
        elif how == "no_memory":
            _make_room(self._memory, tool)
            self._memory[tool] = self._clock.now_s() + _MEMORY_S
        elif how in ("answered", "tool_failed"):
            self._backends.pop(backend, None)
            self._tools.pop(tool, None)
            self._memory.pop(tool, None)

    def forget(self) -> None:
        """Another configuration: what a name means may be another thing."""
        self._backends.clear()
        self._tools.clear()
        self._memory.clear()

    def statistics(self) -> dict[str, object]:
        """What is held against whom, and for how many more seconds."""
        now_s = self._clock.now_s()
        troubles = (*self._backends.items(), *self._tools.items())
        unreached = {name: round(one.until_s - now_s, 1) for name, one in troubles if one.until_s > now_s}
        memory = {name: round(until_s - now_s, 1) for name, until_s in self._memory.items() if until_s > now_s}
        return {"unreached_s": unreached, "no_memory_s": memory}

    def _note(self, table: dict[str, _Trouble], key: str) -> None:
        _make_room(table, key)
        trouble = table.setdefault(key, _Trouble())
        now_s = self._clock.now_s()
        if now_s >= trouble.until_s:
            # Several calls that were under way tell of the same outage.
            trouble.until_s = now_s + trouble.backoff.next_s()


def _make_room(table: dict[str, _Trouble] | dict[str, float], key: str) -> None:
    if key not in table and len(table) >= _MOST_KEPT:
        del table[next(iter(table))]
