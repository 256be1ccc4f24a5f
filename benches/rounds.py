"""Measurements that take turns: every cell in each round, so that a noisy neighbour disturbs all alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from load import Lane, measure
from processes import on_one_core


@dataclass(frozen=True)
class Cell:
    """One measurement of a round: an engine in a row of the report."""

    row: str
    engine: str
    lane: Lane
    connections: int
    seconds: float
    one_core: bool = False
    """All on one processor. One call at a time keeps only one busy anyway; where the scheduler happens to put the three
    processes then decides more than the engine does: p50 without a hop is 18 to 84 µs in turn, on one core 17 to 22."""


def in_rounds(all_cells: list[Cell], rounds: int, told: Callable[[str], None]) -> dict[str, dict[str, list[Any]]]:
    """What each cell found, a value a round. Each round begins at another cell."""
    found: dict[str, dict[str, list[Any]]] = {}
    for cell in all_cells:
        found.setdefault(cell.row, {})[cell.engine] = []
    for at in range(rounds):
        first = at * len(all_cells) // rounds
        for cell in all_cells[first:] + all_cells[:first]:
            with on_one_core([*cell.lane.middle, *cell.lane.ends]) if cell.one_core else nullcontext():
                found[cell.row][cell.engine].append(measure(cell.lane, cell.connections, cell.seconds))
        told(f"round {at + 1} of {rounds}")
    return found
