"""Percentiles from counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.telemetry.latencies import BOUNDS_S, BUCKETS_S, Histogram, percentile

seconds = st.floats(0.0, 320.0)


def counted(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    return histogram


@given(st.lists(seconds, min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.99, 1.0)))
def test_a_percentile_is_in_the_bucket_of_the_value_it_stands_for(values: list[float], share: float) -> None:
    found = percentile(BOUNDS_S, counted(values).counts, share)
    exact = sorted(values)[min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))]
    above = [bound for bound in BOUNDS_S if bound >= exact]
    below = [bound for bound in BOUNDS_S if bound < exact]
    assert found is not None
    assert (below[-1] if below else 0.0) <= found <= (above[0] if above else BOUNDS_S[-1])


@given(st.lists(st.floats(0.0, 1e6), max_size=200))
def test_the_buckets_for_prometheus_count_as_they_say(values: list[float]) -> None:
    rows = dict(counted(values).cumulative())
    for bound in BUCKETS_S:
        assert rows[str(bound)] == sum(value <= bound for value in values)
    assert rows["+Inf"] == len(values)


def test_without_observations_there_is_no_percentile() -> None:
    assert percentile(BOUNDS_S, Histogram().counts, 0.5) is None
    assert percentile((), (), 0.5) is None


def test_what_is_above_all_bounds_is_said_to_be_the_highest() -> None:
    assert percentile(BOUNDS_S, counted([4000.0]).counts, 0.99) == BOUNDS_S[-1]


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_percentile_is_within_a_third_where_calls_usually_are(share: float) -> None:
    for value in (0.0003, 0.0007, 0.0042, 0.06, 0.9, 12.0):
        found = percentile(BOUNDS_S, counted([value] * 100).counts, share)
        assert found == pytest.approx(value, rel=0.34)
