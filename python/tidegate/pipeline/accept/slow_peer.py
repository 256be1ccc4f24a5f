"""What a peer is told that is too slow, and the time it has.

A connection is always in one phase, and each phase has one absolute deadline (see `http1.py`): dripping bytes
does not move it, so a slowloris costs a connection for `head_timeout_s` at most.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import DownstreamError

LINGER_S: Final = 2.0
"""Seconds a refused connection is read on (and what it says dropped), so that a client which is still sending
gets to read the refusal instead of a reset."""

LINGER_BYTES: Final = 256 * 1024
"""Bytes dropped in that time before the connection is cut."""


class SlowPeer(DownstreamError):
    """The request did not arrive in time."""

    slug = "slow_peer"
    status = 408


def slow_head(limit_s: float) -> SlowPeer:
    return SlowPeer(f"the request head took longer than `head_timeout_s` ({limit_s:g} s)")


def slow_body(limit_s: float) -> SlowPeer:
    return SlowPeer(f"the request body took longer than `body_timeout_s` ({limit_s:g} s)")
