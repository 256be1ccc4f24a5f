"""Whether calls are computed together, and how long the first of them waits for others: a pure decision, from what the
last ones were like.

Calls that queue up while the model computes are taken together without any waiting. Waiting on purpose pays only where
others are about to come and a batch is cheaper than its calls one by one; both are measured, neither is assumed. So one
caller alone never waits. With a model that gains nothing nobody does, and each call is answered as soon as it is
computed instead of with the last of its batch.
"""

from __future__ import annotations

from typing import Final

_WEIGHT: Final = 0.25
"""Of the newest measurement in each average."""
_GAIN: Final = 0.8
"""A batch is worth it when one of its calls costs at most this much of a call alone. While those of a batch hear their
answers and call again, all of them at once, nothing is computed: a gain of a tenth is lost by that.
"""
_AGAIN: Final = 32
_AT_LAST: Final = 2048
"""After so many calls a batch is tried though it was not worth it, for what is called changes; after twice as many each
time that it is not, up to the second. A batch that is not worth it may take half as long again.
"""
_TRIED: Final = 8
"""Calls of a batch of which nobody knows what it is worth, at most."""
_SHARE: Final = 0.5
"""Nobody waits longer than this part of what the model takes for one."""
_ANY: Final = 1 << 30


class Pace:
    """What is known of one model's calls."""

    def __init__(self, most_wait_s: float) -> None:
        self.most_wait_s = most_wait_s
        self._together = 1.0
        """Calls that are there at a time: those of the last batches, and those that came meanwhile."""
        self._alone_s: float | None = None
        """What one call takes."""
        self._shared_s: float | None = None
        """What one call of a batch takes."""
        self._declined = 0
        self._patience = _AGAIN

    def most(self, waiting: int) -> int:
        """How many calls to compute together, when so many more than one are there."""
        if not waiting:
            return _ANY
        if self._shared_s is None or self._alone_s is None:
            return _TRIED
        if self._gains():
            self._patience = _AGAIN
            return _ANY
        self._declined += 1
        if self._declined < self._patience:
            return 1
        self._declined = 0
        self._patience = min(2 * self._patience, _AT_LAST)
        # What is found now counts alone: the last one may have been slow for another reason, or long ago.
        self._shared_s = None
        return _TRIED

    def wait_s(self, gathered: int, waited_s: float) -> float:
        """How much longer to wait when `gathered` calls are there; 0 for not at all."""
        if self._alone_s is None or gathered + 0.5 >= self._together:
            return 0.0
        if not self._gains():
            return 0.0
        return max(min(self.most_wait_s, self._alone_s * _SHARE) - waited_s, 0.0)

    def computed(self, calls: int, took_s: float, left: int) -> None:
        """A batch is done; `left` calls have come meanwhile."""
        self._together = _average(self._together, float(calls + left))
        if calls == 1:
            self._alone_s = _average(self._alone_s, took_s)
        else:
            self._shared_s = _average(self._shared_s, took_s / calls)
            if self._alone_s is None:
                self._alone_s = took_s

    def _gains(self) -> bool:
        """As far as is known."""
        return self._shared_s is None or self._alone_s is None or self._shared_s <= self._alone_s * _GAIN


def _average(old: float | None, new: float) -> float:
    return new if old is None else old + (new - old) * _WEIGHT
