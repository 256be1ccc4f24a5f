"""The rule by which a replica is chosen, against a slow twin and over many choices."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.snapshot import Balance
from tidegate.pipeline.balance import in_turn, least_loaded, pick

LOADS = st.lists(st.integers(-1, 5), min_size=1, max_size=6)
RULES: list[Balance] = ["least_loaded", "round_robin"]


def seen_from(turn: int, number: int) -> list[int]:
    return [(turn + step) % number for step in range(number)]


@given(LOADS, st.integers(0, 20))
def test_the_least_loaded_is_the_first_of_those_with_the_fewest(loads: list[int], turn: int) -> None:
    usable = [at for at in seen_from(turn, len(loads)) if loads[at] >= 0]
    assert least_loaded(loads, turn) == (min(usable, key=lambda at: loads[at]) if usable else -1)


@given(LOADS, st.integers(0, 20), st.integers(1, 6))
def test_in_turn_passes_over_who_is_full_unless_all_are(loads: list[int], turn: int, most: int) -> None:
    usable = [at for at in seen_from(turn, len(loads)) if loads[at] >= 0]
    roomy = [at for at in usable if loads[at] < most]
    assert in_turn(loads, turn, most) == next(iter(roomy or usable), -1)


@given(st.sampled_from(RULES), st.integers(1, 6), st.integers(0, 40), st.data())
def test_calls_that_never_end_are_spread_evenly_over_those_that_are_there(
    rule: Balance, number: int, calls: int, data: st.DataObject
) -> None:
    there = data.draw(st.lists(st.booleans(), min_size=number, max_size=number).filter(any))
    loads = [0 if one else -1 for one in there]
    turn = 0
    for _ in range(calls):
        at = pick(rule, loads, turn, most=1000)
        assert there[at]
        loads[at] += 1
        turn = at + 1
    busy = [load for load in loads if load >= 0]
    assert sum(busy) == calls
    assert max(busy) - min(busy) <= 1


@given(st.integers(1, 6), st.lists(st.integers(0, 5), max_size=60))
def test_least_loaded_never_gives_a_call_to_one_with_more_than_another(number: int, ends: list[int]) -> None:
    """Calls come, and others end, in any order."""
    loads = [0] * number
    turn = 0
    for end in ends:
        at = least_loaded(loads, turn)
        assert loads[at] == min(loads)
        loads[at] += 1
        turn = at + 1
        loads[end % number] = max(0, loads[end % number] - 1)
