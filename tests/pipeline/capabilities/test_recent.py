"""For how long a failure is held against a tool, and what ends that."""

from __future__ import annotations

import pytest

from tidegate.pipeline.capabilities.recent import Recent


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_s(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def recent(clock: Hand) -> Recent:
    return Recent(clock)  # type: ignore[arg-type]


def held_s(recent: Recent, clock: Hand, tool: str = "t") -> float:
    return max(0.0, recent.unreached_until_s("b", tool) - clock.at_s)


def test_the_way_there_is_one_for_all_tools_and_what_a_tool_cannot_is_its_own(recent: Recent, clock: Hand) -> None:
    recent.ended("b", "t", "timeout")
    assert held_s(recent, clock) > 0
    assert held_s(recent, clock, "other") == 0
    recent.ended("b", "t", "unreached")
    assert held_s(recent, clock, "other") > 0
    assert recent.unreached_until_s("elsewhere", "x") == 0


def test_each_outage_is_held_for_longer_up_to_a_minute(recent: Recent, clock: Hand) -> None:
    lasted = []
    for _ in range(8):
        recent.ended("b", "t", "unreached")
        # Others that were under way tell of the same.
        recent.ended("b", "t", "unreached")
        lasted.append(held_s(recent, clock))
        clock.at_s += lasted[-1]
    assert 2 <= lasted[0] <= 4
    assert lasted[2] > lasted[0]
    assert 30 <= lasted[-1] <= 60


@pytest.mark.parametrize("how", ["answered", "tool_failed", "failed", "missing"])
def test_whoever_answers_at_all_is_there(recent: Recent, clock: Hand, how: str) -> None:
    recent.ended("b", "t", "unreached")
    recent.ended("b", "t", "timeout")
    recent.ended("b", "t", how)  # type: ignore[arg-type]
    assert held_s(recent, clock) == 0


def test_one_call_finds_out_and_the_others_are_kept_from_it(recent: Recent, clock: Hand) -> None:
    recent.ended("b", "t", "unreached")
    clock.at_s += held_s(recent, clock)
    assert held_s(recent, clock) == 0
    recent.begun("b", "t", 7.0)
    assert held_s(recent, clock) == 7
    recent.ended("b", "t", "withdrawn")
    assert held_s(recent, clock) == 0, "the next one may find out"
    recent.begun("b", "t", 7.0)
    recent.ended("b", "t", "unreached")
    assert 4 <= held_s(recent, clock) <= 8
    assert recent.statistics()["unreached_s"] == {"b": pytest.approx(held_s(recent, clock), abs=0.1)}


def test_who_is_connected_again_is_there_but_not_any_quicker(recent: Recent, clock: Hand) -> None:
    recent.ended("b", "t", "unreached")
    recent.ended("b", "slow", "timeout")
    recent.reached("b")
    assert held_s(recent, clock) == 0
    assert held_s(recent, clock, "slow") > 0


def test_a_first_attempt_is_held_against_nobody(recent: Recent, clock: Hand) -> None:
    recent.begun("b", "t", 7.0)
    assert held_s(recent, clock) == 0


def test_want_of_memory_is_over_after_a_while_or_with_an_answer(recent: Recent, clock: Hand) -> None:
    recent.ended("b", "t", "no_memory")
    assert recent.memory_until_s("t") == clock.at_s + 10
    assert recent.statistics()["no_memory_s"] == {"t": 10}
    recent.ended("b", "t", "answered")
    assert recent.memory_until_s("t") == 0


def test_names_without_end_cost_no_memory(recent: Recent) -> None:
    for number in range(3000):
        recent.ended(f"b{number}", f"t{number}", "unreached")
        recent.ended(f"b{number}", f"t{number}", "no_memory")
    assert len(recent._backends) <= 1024
    assert len(recent._memory) <= 1024
