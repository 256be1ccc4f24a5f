"""When the first of a batch waits for others: the pure decision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.models.worker.batching import Pace

MOST_S = 0.002


def busy(callers: int, alone_s: float = 0.010, each_s: float = 0.002) -> Pace:
    """After many rounds of so many callers, of whom each calls again when it is answered."""
    pace = Pace(MOST_S)
    pace.computed(1, alone_s, callers - 1)
    for _ in range(30):
        pace.computed(callers, each_s * callers if callers > 1 else alone_s, 0)
    return pace


def test_nobody_waits_before_anything_is_known() -> None:
    assert Pace(MOST_S).wait_s(1, 0.0) == 0.0


def test_one_caller_alone_never_waits() -> None:
    assert busy(1).wait_s(1, 0.0) == 0.0


def test_the_first_of_many_waits_until_all_are_there_and_no_longer_than_it_may() -> None:
    pace = busy(4)
    assert pace.wait_s(1, 0.0) == MOST_S
    assert pace.wait_s(3, 0.0005) == MOST_S - 0.0005
    assert pace.wait_s(4, 0.0005) == 0.0
    assert pace.wait_s(1, MOST_S) == 0.0


def test_a_model_that_gains_nothing_by_batches_waits_for_none() -> None:
    assert busy(4, alone_s=0.010, each_s=0.0095).wait_s(1, 0.0) == 0.0


def test_what_a_batch_is_worth_decides_whether_there_is_one() -> None:
    assert Pace(MOST_S).most(30) == 8
    assert busy(4).most(30) > 1000
    pace = busy(4, alone_s=0.010, each_s=0.0095)
    assert [pace.most(3) for _ in range(31)] == [1] * 31


def test_what_it_is_worth_is_measured_again_and_then_counts_alone() -> None:
    pace = busy(4, alone_s=0.010, each_s=0.030)
    # Of calls with nobody beside them nothing is learned.
    assert all(pace.most(0) > 1000 for _ in range(64))
    assert [pace.most(3) for _ in range(32)] == [1] * 31 + [8]
    pace.computed(4, 4 * 0.002, 0)
    assert pace.most(3) > 1000


def test_what_is_never_worth_it_is_tried_less_and_less() -> None:
    pace = busy(4, alone_s=0.010, each_s=0.015)
    tries = 0
    for _ in range(100_000):
        if pace.most(3) > 1:
            tries += 1
            pace.computed(4, 4 * 0.015, 0)
    assert 50 < tries < 60


def test_nobody_waits_longer_than_half_of_what_one_call_takes() -> None:
    assert busy(4, alone_s=14e-6, each_s=2e-6).wait_s(1, 0.0) == 7e-6


def test_when_the_others_have_left_waiting_ends() -> None:
    pace = busy(8)
    for _ in range(20):
        pace.computed(1, 0.010, 0)
    assert pace.wait_s(1, 0.0) == 0.0


@given(
    history=st.lists(st.tuples(st.integers(1, 64), st.floats(0, 10), st.integers(0, 64)), max_size=50),
    gathered=st.integers(1, 64),
    waited_s=st.floats(0, 1),
    most_s=st.floats(0, 1),
)
def test_it_is_never_negative_and_never_more_than_it_may_be(
    history: list[tuple[int, float, int]], gathered: int, waited_s: float, most_s: float
) -> None:
    pace = Pace(most_s)
    for calls, took_s, left in history:
        pace.computed(calls, took_s, left)
    assert 0.0 <= pace.wait_s(gathered, waited_s) <= max(most_s - waited_s, 0.0)
