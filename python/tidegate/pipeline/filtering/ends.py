"""How calls end, for filters that must know: one that keeps what a machine was told last cannot go by what it let pass.

A filter whose manifest says `inspects = ["end"]` is told of each call that it let pass, once: with the server's result,
or with what there is instead of one. What it says to that is not looked at.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import TidegateError
from tidegate.pipeline.codec import find_member
from tidegate.sandbox.guest import Caller, FilterGuest, Verdict

_END: Final = "dev.tidegate/end"
NOT_SENT: Final = b'{"content":[],"isError":true,"_meta":{"dev.tidegate/end":"not_sent"}}'
"""It did not reach the server: another filter refused it, its client left, or it is to be judged again."""
UNKNOWN: Final = b'{"content":[],"isError":true,"_meta":{"dev.tidegate/end":"unknown"}}'
"""It may have reached the server: cancelled, too late, lost; or it goes on."""

_TOLD_S: Final = 30.0


def claims_end(result: bytes) -> bool:
    """Whether a server's result says of itself what only stands for none."""
    meta = find_member(result, "_meta")
    return meta is not None and result[meta[0] : meta[0] + 1] == b"{" and find_member(result, _END, *meta) is not None


def wants_ends(guest: FilterGuest) -> bool:
    return "end" in guest.manifest.inspects


class Owed:
    """The filters that are still to be told how one call ended."""

    __slots__ = ("_passes",)

    def __init__(self) -> None:
        self._passes: list[tuple[FilterGuest, bytes, Caller]] = []

    def note(self, guest: FilterGuest, call: bytes, caller: Caller) -> None:
        """`call`: as the filter was shown it when it let it pass."""
        self._passes.append((guest, call, caller))

    def tell(self, outcome: bytes) -> None:
        """`outcome`: a tool's result, raw. Before what the client hears, so that its next call is judged after it."""
        passes, self._passes = self._passes, []
        for guest, call, caller in passes:
            guest.inspect("result", call, outcome, caller, _unheard, _TOLD_S)


def _unheard(verdict: Verdict | None, error: TidegateError | None) -> None:
    """A filter that fails over an end goes by what it knew, which is for it to make safe."""
