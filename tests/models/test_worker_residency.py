"""Who of a worker's models may be in memory, and who waits for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.errors import ModelOutOfMemory
from tidegate.models.manifest import ModelLimits, ModelManifest
from tidegate.models.worker.residency import Residency

BUDGET = 100


class Model:
    def __init__(self, name: str, needs: int, used_s: float = 0.0) -> None:
        limits = ModelLimits(memory_bytes=needs)
        self.manifest = ModelManifest(name, "1", "", "", "toy", (), Path(), "", limits=limits)
        self.used_s = used_s
        self.unloads = 0

    def unload(self) -> None:
        self.unloads += 1


class Box:
    def __init__(self) -> None:
        self.resident = 10
        self.now_s = 0.0
        self.residency = Residency(BUDGET, lambda: self.resident, lambda: self.now_s)

    def enters(self, model: Model) -> bool:
        """At the first look, or at the second."""
        patience = iter([False])
        return self.residency.enter(model, lambda: next(patience, True))


def test_one_that_never_fits_is_told_so() -> None:
    with pytest.raises(ModelOutOfMemory, match="needs 91 bytes"):
        Box().enters(Model("large", 91))


def test_the_one_not_used_for_longest_makes_room() -> None:
    box, old, new = Box(), Model("old", 40, 1.0), Model("new", 40, 2.0)
    for model in (old, new):
        assert box.enters(model)
        box.residency.entered(model)
    assert not box.enters(Model("next", 40))
    assert (old.unloads, new.unloads) == (1, 0)
    box.residency.left(old)
    assert box.enters(Model("next", 40))


def test_who_gave_up_just_before_there_was_room_does_not_enter() -> None:
    box, model = Box(), Model("one", 40)
    assert not box.residency.enter(model, lambda: True)
    assert box.enters(Model("next", 60))


def test_what_it_grew_by_counts_if_that_is_more() -> None:
    box, grown = Box(), Model("grown", 20)
    assert box.enters(grown)
    box.resident = 10 + 60
    box.residency.entered(grown)
    box.resident = 10
    assert not box.enters(Model("next", 40))
    assert grown.unloads == 1


def test_one_that_hangs_while_it_loads_keeps_the_others_for_a_while_only() -> None:
    box, slow, next_, third = Box(), Model("slow", 20), Model("next", 20), Model("third", 20)
    assert box.enters(slow)
    assert not box.enters(next_)
    box.now_s = 11.0
    assert box.enters(next_)
    box.resident = 10 + 30
    box.residency.entered(next_)
    # Nobody knows whose the thirty are.
    box.resident = 10
    assert box.enters(third)
    box.residency.entered(third)
    assert not box.enters(Model("last", 40))
    assert (slow.unloads, next_.unloads) == (0, 1)
    box.residency.left(slow)
    box.residency.left(next_)
    assert box.enters(Model("last", 40))
