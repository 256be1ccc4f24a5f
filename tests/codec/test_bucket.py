"""The one token bucket beside a twin that counts in fractions: no rounding, nothing clever."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.pipeline.codec import Bucket


class BucketTwin:
    """Each elapsed time is worth its tokens, as far as they fit in."""

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self.rate_per_s = Fraction(rate_per_s)
        self.burst = max(Fraction(burst), Fraction(1))
        self.tokens = self.burst
        self.seen_s = Fraction(now_s)

    def _refill(self, now_s: float) -> None:
        self.tokens = min(self.burst, self.tokens + (Fraction(now_s) - self.seen_s) * self.rate_per_s)
        self.seen_s = Fraction(now_s)

    def take(self, now_s: float) -> bool:
        if not self.rate_per_s:
            return True
        self._refill(now_s)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def spend(self, tokens: float, now_s: float) -> float:
        if not self.rate_per_s:
            return 0.0
        self._refill(now_s)
        self.tokens -= Fraction(tokens)
        return float(max(Fraction(0), -self.tokens / self.rate_per_s))

    def wait_s(self) -> float:
        if not self.rate_per_s:
            return 0.0
        return float(max(Fraction(0), (1 - self.tokens) / self.rate_per_s))


def eighths(most: int) -> st.SearchStrategy[float]:
    """Numbers with which floats reckon exactly, so that both must come to the same."""
    return st.integers(0, most * 8).map(lambda number: number / 8)


@settings(deadline=None)
@given(
    rate_per_s=eighths(50),
    burst=eighths(20),
    start_s=eighths(1000),
    steps=st.lists(st.tuples(eighths(10), st.none() | eighths(30))),
)
def test_bucket_and_twin_let_the_same_through(
    rate_per_s: float, burst: float, start_s: float, steps: list[tuple[float, float | None]]
) -> None:
    now_s = start_s
    bucket, twin = Bucket(rate_per_s, burst, now_s), BucketTwin(rate_per_s, burst, now_s)
    for later_s, tokens in steps:
        now_s += later_s
        if tokens is None:
            assert bucket.take(now_s) is twin.take(now_s)
        else:
            assert bucket.spend(tokens, now_s) == twin.spend(tokens, now_s)
        assert bucket.wait_s() == twin.wait_s()


@settings(deadline=None)
@given(rate_per_s=eighths(50).filter(bool), burst=eighths(20), steps=st.lists(eighths(10)))
def test_whoever_waits_as_long_as_told_gets_a_token(rate_per_s: float, burst: float, steps: list[float]) -> None:
    bucket, now_s = Bucket(rate_per_s, burst, 0.0), 0.0
    for later_s in steps:
        now_s += later_s
        if not bucket.take(now_s):
            now_s += bucket.wait_s() + 1e-9
            assert bucket.take(now_s)


def test_a_rate_of_nothing_never_runs_out() -> None:
    bucket = Bucket(0.0, 1.0, 0.0)
    assert all(bucket.take(0.0) for _ in range(100))
    assert (bucket.spend(1000.0, 0.0), bucket.wait_s()) == (0.0, 0.0)
