"""Gives the kernel back what a burst needed: the C library keeps freed memory until it is asked, however small the box.

Asked for when clients have left, a minute later and no more often: walking the heap takes a millisecond or so, and a
gateway that nobody uses must not wake up for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_PAUSE_S: Final = 60.0


class Heap:
    """The memory of this process."""

    def __init__(self) -> None:
        self._due = False
        self._trim: Callable[[int], object] | None = None

    def trim_soon(self) -> None:
        """Somebody has left, and what was kept for them is free."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(_PAUSE_S, self._give_back)

    def _give_back(self) -> None:
        self._due = False
        if self._trim is None:
            import ctypes

            # Of glibc; others have none, and keep less.
            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", _nothing)
        self._trim(0)


def _nothing(pad: int) -> None:
    """What libraries without it do."""
