"""Which replica of a server gets a request: the rule, and nothing else.

Pure functions of how busy each replica is and whose turn it is. Asked by `upstream/replicas.py`, and by whoever repeats
its decisions. Whether a replica can be used at all is the caller's to know.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.config.snapshot import Balance


def pick(rule: Balance, loads: Sequence[int], turn: int, most: int) -> int:
    """The number of the replica that gets the next request, or -1 when none can be used.

    `loads`: requests in flight, or a negative number for one that cannot be used. `turn`: whose turn it is, which
    decides between equals. `most`: one that has so many gets no more while another has fewer.
    """
    return least_loaded(loads, turn) if rule == "least_loaded" else in_turn(loads, turn, most)


def least_loaded(loads: Sequence[int], turn: int) -> int:
    """The one with the fewest requests in flight; of equals, the first from `turn` on."""
    best = -1
    number = len(loads)
    for step in range(number):
        at = (turn + step) % number
        load = loads[at]
        if load >= 0 and (best < 0 or load < loads[best]):
            best = at
    return best


def in_turn(loads: Sequence[int], turn: int, most: int) -> int:
    """The first from `turn` on that has room; when all are full, the first that can be used."""
    full = -1
    number = len(loads)
    for step in range(number):
        at = (turn + step) % number
        load = loads[at]
        if 0 <= load < most:
            return at
        if load >= 0 and full < 0:
            full = at
    return full
