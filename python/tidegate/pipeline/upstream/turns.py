"""Things that wait, of several owners: owners take turns, and each owner's own keep their order.

A plain structure, without time or I/O. Every operation costs the same however much waits, except `longest`, which
looks at each owner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Turns(Generic[Thing]):
    """Whoever has a thousand things waiting delays another's first by one."""

    __slots__ = ("_of", "_size")

    def __init__(self) -> None:
        self._of: OrderedDict[str, OrderedDict[Thing, None]] = OrderedDict()
        """Whose turn is next stands first. Nobody without a thing is in it."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Thing]:
        """Everything, each owner's in order."""
        for things in self._of.values():
            yield from things

    def add(self, owner: str, thing: Thing) -> None:
        """`thing` must not be waiting already. An owner who had none comes after all others."""
        self._of.setdefault(owner, OrderedDict())[thing] = None
        self._size += 1

    def take(self) -> tuple[str, Thing]:
        """The first thing of the owner whose turn it is, who then comes last. Raises: KeyError, when nothing waits."""
        owner = next(iter(self._of), None)
        if owner is None:
            raise KeyError("nothing waits")
        things = self._of[owner]
        thing, _ = things.popitem(last=False)
        self._size -= 1
        if things:
            self._of.move_to_end(owner)
        else:
            del self._of[owner]
        return owner, thing

    def discard(self, owner: str, thing: Thing) -> None:
        things = self._of.get(owner)
        if things is None or thing not in things:
            return
        del things[thing]
        self._size -= 1
        if not things:
            del self._of[owner]

    def count(self, owner: str) -> int:
        return len(self._of.get(owner, ()))

    def longest(self) -> str:
        """The owner of most things. Raises: KeyError, when nothing waits."""
        if not self._of:
            raise KeyError("nothing waits")
        return max(self._of, key=self.count)

    def last_of(self, owner: str) -> Thing:
        """What that owner added last. Raises: KeyError, when it has nothing."""
        return next(reversed(self._of[owner]))
