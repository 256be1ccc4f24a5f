"""Which of a catalogue's collisions people have not been told of yet.

A catalogue is made anew at every change, and for several clients, while its collisions stay the same.
`serve.py` asks here what of them is worth a line in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_AT_ONCE: Final = 20
"""Most that one catalogue tells; what is left over is told with the next one."""
_REMEMBERED: Final = 1000
"""Servers choose the names, so the memory is bounded: the oldest is forgotten, and told again if it is still there."""
_MAX_CHARS: Final = 400
"""Of one collision: a name may be as long as a server's answer."""


class Collisions:
    """What was told so far, by every catalogue of one gateway."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}

    def untold(self, found: Iterable[str]) -> list[str]:
        """Those of `found` that are new, in their order; from now on they count as told."""
        new: list[str] = []
        for collision in found:
            text = collision[:_MAX_CHARS]
            if text not in self._told:
                self._told[text] = None
                new.append(text)
                if len(new) == _AT_ONCE:
                    break
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return new
