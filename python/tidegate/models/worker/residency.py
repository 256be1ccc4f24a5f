"""Who may be in memory: the models of a set share one budget, and the one not used for longest makes room.

What a model takes is what its manifest says, or what the process grew by when it was loaded if that is more; and what
the process really has counts, if that is more again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from tidegate.errors import ModelOutOfMemory
from tidegate.models.manifest import ModelManifest
from tidegate.models.worker.process import give_back_memory, keep_memory_together, resident_bytes

_LOOK_S: Final = 0.25
"""How often one that waits for room looks whether anybody still waits for it."""
_PATIENCE_S: Final = 10.0
"""How long one that loads keeps others waiting, so that what it takes can be told. Some hang; some are made to."""


class Resident(Protocol):
    """A model, as the others see it."""

    manifest: ModelManifest
    used_s: float

    def unload(self) -> None: ...


class Residency:
    """Of one worker. Used on the computing threads; one of them loads at a time, unless it takes very long."""

    def __init__(
        self,
        memory_bytes: int,
        resident: Callable[[], int] = resident_bytes,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = memory_bytes
        self._resident = resident
        self._now_s = now_s
        self._own = resident()
        """What the process has without models."""
        self._begun = False
        """Something was loaded."""
        self._before = 0
        self._takes: dict[Resident, int] = {}
        self._loading: dict[Resident, float] = {}
        """Since when each does."""
        self._alone: Resident | None = None
        """It loads, and nobody else has since it began: what the process grows by is its."""
        self._line: list[Resident] = []
        """Those that wait for room. Whoever had to make some comes behind the one it made it for."""
        self._changed = threading.Condition()

    def enter(self, model: Resident, gone: Callable[[], bool]) -> bool:
        """Waits until there is room, and keeps it: `entered` or `left` must follow. False when it is not needed any
        more. Raises: ModelOutOfMemory, when there never will be.
        """
        needs = model.manifest.limits.memory_bytes
        if self._budget and needs + self._own > self._budget:
            raise ModelOutOfMemory(
                f"model `{model.manifest.name}` needs {needs} bytes beside the {self._own} of its worker, "
                f"and {self._budget} are allowed: `memory_bytes` of `[models]` or of its backend allows more"
            )
        with self._changed:
            self._line.append(model)
            try:
                while self._line[0] is not model or self._is_soon_told() or not self._has_room(needs):
                    if gone():
                        return False
                    if self._line[0] is model and not self._is_soon_told():
                        self._make_room()
                    self._changed.wait(_LOOK_S)
                # Whoever gave up may have done so just before there was room.
                if gone():
                    return False
            finally:
                self._line.remove(model)
                self._changed.notify_all()
            self._alone = None if self._loading else model
            self._loading[model] = self._now_s()
            if not self._begun:
                self._begun = True
                keep_memory_together()
            self._takes[model] = needs
            self._before = self._resident()
        return True

    def entered(self, model: Resident) -> None:
        with self._changed:
            del self._loading[model]
            if self._alone is model:
                self._alone = None
                grown = self._resident() - self._before
                self._takes[model] = max(self._takes[model], grown)
            self._changed.notify_all()

    def left(self, model: Resident) -> None:
        with contextlib.suppress(MemoryError):
            give_back_memory()
        with self._changed:
            self._loading.pop(model, None)
            if self._alone is model:
                self._alone = None
            self._takes.pop(model, None)
            self._changed.notify_all()

    def _has_room(self, needs: int) -> bool:
        if not self._budget or not self._takes:
            return True
        # A model may have grown since it was loaded.
        used = max(self._own + sum(self._takes.values()), self._resident())
        return used + needs <= self._budget

    def _is_soon_told(self) -> bool:
        return any(self._now_s() < since_s + _PATIENCE_S for since_s in self._loading.values())

    def _make_room(self) -> None:
        loaded = [model for model in self._takes if model not in self._loading]
        if loaded:
            min(loaded, key=lambda model: model.used_s).unload()
