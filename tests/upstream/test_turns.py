"""Owners take turns: against a slow twin, and the promise itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.pipeline.upstream.turns import Turns

OWNERS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(st.tuples(st.just("add"), OWNERS), st.just(("take", "")), st.tuples(st.just("drop"), OWNERS))
)


class SlowTurns:
    """The same by a list of whose turn it is, and one list of everything."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.things: list[tuple[str, int]] = []

    def of(self, owner: str) -> list[int]:
        return [thing for whose, thing in self.things if whose == owner]

    def add(self, owner: str, thing: int) -> None:
        if owner not in self.order:
            self.order.append(owner)
        self.things.append((owner, thing))

    def discard(self, owner: str, thing: int) -> None:
        if (owner, thing) in self.things:
            self.things.remove((owner, thing))
            if not self.of(owner):
                self.order.remove(owner)

    def take(self) -> tuple[str, int]:
        owner = self.order.pop(0)
        thing = self.of(owner)[0]
        self.things.remove((owner, thing))
        if self.of(owner):
            self.order.append(owner)
        return owner, thing


@given(STEPS)
def test_turns_do_what_their_slow_twin_does(steps: list[tuple[str, str]]) -> None:
    fast: Turns[int] = Turns()
    slow = SlowTurns()
    for number, (step, owner) in enumerate(steps):
        if step == "add":
            fast.add(owner, number)
            slow.add(owner, number)
        elif step == "take" and slow.things:
            assert fast.take() == slow.take()
        elif step == "drop":
            mine = slow.of(owner)
            dropped = mine[len(mine) // 2] if mine else -1
            fast.discard(owner, dropped)
            slow.discard(owner, dropped)
        assert len(fast) == len(slow.things)
        assert sorted(fast) == sorted(thing for _, thing in slow.things)
        for whose in "abcd":
            assert fast.count(whose) == len(slow.of(whose))
            if slow.of(whose):
                assert fast.last_of(whose) == slow.of(whose)[-1]
        if slow.things:
            assert fast.count(fast.longest()) == max(len(slow.of(whose)) for whose in slow.order)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 40))
def test_a_newcomer_is_behind_at_most_one_thing_of_each_other_owner(crowd: list[int], taken: int) -> None:
    turns: Turns[object] = Turns()
    for owner, number in enumerate(crowd):
        for _ in range(number):
            turns.add(f"crowd {owner}", object())
    for _ in range(min(taken, len(turns))):
        turns.take()
    turns.add("newcomer", "mine")
    before = []
    while (found := turns.take())[1] != "mine":
        before.append(found[0])
    assert len(before) == len(set(before))


@given(st.lists(OWNERS))
def test_everybody_s_own_things_keep_their_order(owners: list[str]) -> None:
    turns: Turns[int] = Turns()
    for number, owner in enumerate(owners):
        turns.add(owner, number)
    taken = [turns.take() for _ in owners]
    for owner in set(owners):
        mine = [thing for whose, thing in taken if whose == owner]
        assert mine == sorted(mine)
    assert len(turns) == 0
    with pytest.raises(KeyError):
        turns.take()
