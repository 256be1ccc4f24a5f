"""How a backend stands, read from its statistics: the one rule of health, metrics, `top`, `status` and the service
manager's line.

A backend has a state for each of its slots (`Slot.state`), and is told of by one. Reads plain data, of this gateway or
of another version of it: what is missing or odd counts as nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

STATES: Final = ("ready", "starting", "parked", "down", "idle")
"""The first that any slot has is the backend's: one connection that works serves somebody."""
TROUBLE: Final = ("parked", "down")


def slot_state(slot: Mapping[str, object]) -> str:
    """`down` also while one that failed is being tried again: until that has come to something it is as it was."""
    state = str(slot.get("state"))
    return "down" if state == "starting" and slot.get("error") else state


def state_of(slots: Collection[str]) -> str:
    """The state of a backend whose slots have these. One that nobody has needed yet is `idle`."""
    return next((state for state in STATES if state in slots), "idle")


def backend_state(backend: Mapping[str, object]) -> str:
    return state_of({slot_state(slot) for slot in dicts(backend.get("slots"))})


def backend_up(backend: Mapping[str, object]) -> bool:
    """Whether a backend can be used as far as is known: one that nobody has needed yet counts as up."""
    return backend_state(backend) not in TROUBLE


def children(backend: Mapping[str, object]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(slot, link) of each process that runs for a backend."""
    for slot in dicts(backend.get("slots")):
        link = slot.get("link")
        if isinstance(link, dict) and link.get("running") is True:
            yield slot, link


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects in a list of statistics; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
