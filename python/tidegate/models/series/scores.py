"""How unusual each value of a series is, by what went before it: no training, no library, one pass.

Each value is judged by a sliding window of those before it, kept in order, and then taken into it. Two measures:

- `range`: how far a value lies outside what the window holds, in widths of that. Judged on the Numenta benchmark this
  finds as much as detectors many times its size, because it stays silent on spikes that are everyday life for a series.
- `robust`: how many deviations a value lies from the median, with the deviation taken from the median deviation, so
  that neither is led astray by the anomalies in the window. For series that are noise around a level.

A series with a season is judged by what is left of it when the usual value of the hour, or the weekday, is taken away.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import log
from typing import Final

TRIM: Final = 0.0005
"""Share of the window, at each end, that does not widen its range: one spike in two thousand does not hide the next."""

SEASONS: Final = 8
"""Of which the usual value of a phase is the median."""
FEWEST_SEASONS: Final = 3
"""Before a value of a season can be judged."""

_NORMAL: Final = 1.4826
"""Standard deviations in one median absolute deviation, of normal noise."""

Series = Sequence[float | None]
"""None: no value at this time. It is neither judged nor learnt from."""


def unusualness(values: Series, measure: str, window: int, warm_up: int, season: int) -> Iterator[float]:
    """One number for each value, from 0; 0 also where there is too little before it. `season`: values in one, 0 for
    none.
    """
    judge: Callable[[list[float], float, int], float] = _beyond_range if measure == "range" else _deviations
    ordered: list[float] = []
    recent: deque[float] = deque()
    for value in residuals(values, season) if season else values:
        if value is None:
            yield 0.0
            continue
        yield judge(ordered, value, window) if len(ordered) >= warm_up else 0.0
        recent.append(value)
        insort(ordered, value)
        if len(recent) > window:
            del ordered[bisect_left(ordered, recent.popleft())]


def residuals(values: Series, season: int) -> Iterator[float | None]:
    """Each value less the median of its phase in the seasons before."""
    for index, value in enumerate(values):
        earlier = (values[index - season * back] for back in range(1, min(SEASONS, index // season) + 1))
        phase = sorted(one for one in earlier if one is not None)
        yield None if value is None or len(phase) < FEWEST_SEASONS else value - _median(phase)


def _beyond_range(ordered: list[float], value: float, window: int) -> float:
    """In widths of the range."""
    count = len(ordered)
    cut = int(count * TRIM)
    low, high = ordered[cut], ordered[-1 - cut]
    outside = max(value - high, low - value)
    if outside <= 0:
        return 0.0
    # Of a flat line any other value is unusual, but not the last digit of a measurement.
    widths = outside / max(high - low, 0.01 * max(abs(low), abs(high)), 1e-9)
    # A young window is left often: one in two values is the highest or lowest of four. For normal noise this much more
    # makes it as rare as of a full one.
    return max(0.0, widths - log(window / count) / (4 * log(count)))


def _deviations(ordered: list[float], value: float, _window: int) -> float:
    centre = _median(ordered)
    # Of a series that mostly stands still the median deviation is 0; then its outer tenths say how it moves.
    count = len(ordered)
    tenths = (ordered[count - 1 - count // 20] - ordered[count // 20]) / 3.29
    scale = max(_NORMAL * _median_deviation(ordered, centre), tenths, 0.001 * abs(centre), 1e-9)
    return abs(value - centre) / scale


def _median(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _median_deviation(ordered: list[float], centre: float) -> float:
    """The upper median of the distances from `centre`. Below it they fall, above it they rise, so the two sides are
    merged in thought only: in a logarithm of steps.
    """
    below = bisect_left(ordered, centre)
    above = len(ordered) - below
    rank = len(ordered) // 2
    low, high = max(0, rank - above), min(rank, below)
    while low < high:
        middle = (low + high) // 2  # taken from below, `rank - middle` from above
        if centre - ordered[below - 1 - middle] < ordered[below + rank - middle - 1] - centre:
            low = middle + 1
        else:
            high = middle
    candidates = []
    if low < below:
        candidates.append(centre - ordered[below - 1 - low])
    if rank - low < above:
        candidates.append(ordered[below + rank - low] - centre)
    return min(candidates)
