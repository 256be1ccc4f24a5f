"""How long things took: a histogram that is fine enough for percentiles and coarse enough for Prometheus.

Ten bounds a decade, so a percentile read off is within a seventh of the true one; the buckets Prometheus gets are a
subset of them. One `bisect` to count, 600 bytes to keep.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from tidegate.events import BUCKETS_S, DURATION_BOUNDS_S

BOUNDS_S: Final = DURATION_BOUNDS_S

_ENDS: Final = tuple(BOUNDS_S.index(bound) + 1 for bound in BUCKETS_S)


class Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        """Not cumulative; the last one is for everything above the highest bound."""
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    def add(self, counts: Sequence[int], sum_s: float) -> None:
        """What was observed elsewhere, counted by the same bounds."""
        for at, count in enumerate(counts):
            self.counts[at] += count
        self.sum_s += sum_s

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """(`le`, observations up to it) as Prometheus wants them, the last one `+Inf`."""
        so_far = start = 0
        for bound, end in zip(BUCKETS_S, _ENDS, strict=True):
            so_far += sum(self.counts[start:end])
            start = end
            yield str(bound), so_far
        yield "+Inf", so_far + sum(self.counts[start:])


def percentile(bounds_s: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The latency in seconds that `share` (0 to 1) of the observations did not exceed, read off between two bounds.

    `counts` are not cumulative and may be one longer than `bounds_s`, for what is above. None without observations.
    """
    total = sum(counts)
    if total <= 0:
        return None
    rank = share * total
    before = 0
    for at, count in enumerate(counts):
        if count and before + count >= rank:
            low = bounds_s[at - 1] if 0 < at <= len(bounds_s) else 0.0
            high = bounds_s[at] if at < len(bounds_s) else bounds_s[-1]
            return low + (high - low) * max(0.0, rank - before) / count if high > low else high
        before += count
    return bounds_s[-1]
