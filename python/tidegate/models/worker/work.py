"""One computation that was asked for, and everybody who waits for it.

A `Work` belongs to its model's queue, is prepared and computed on the model's thread, and is heard of by
whoever has the baton of `turns.py`. What both touch is either replaced as a whole or read for a hint only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from tidegate.models.task import Job, Json

_BETWEEN_S: Final = 0.1
"""Of progress that only counts. That all is done is always told."""


class Caller:
    """One request in flight. Touched with the baton of `turns.py`; `over` is read by all."""

    __slots__ = ("deadline_s", "key", "over", "request_id", "timer", "token", "work")

    def __init__(self, request_id: int | str, token: int | str | None, deadline_s: float) -> None:
        self.request_id = request_id
        self.key: Hashable = (type(request_id), request_id)
        self.token = token
        """For progress."""
        self.deadline_s = deadline_s
        self.over = False
        """Answered, given up, or out of time."""
        self.work: Work | None = None
        self.timer: Any = None


class Work:
    """Implements `Ear` for the task."""

    __slots__ = (
        "_heard",
        "_next_s",
        "_told",
        "arguments",
        "begun",
        "callers",
        "computed",
        "job",
        "resources",
        "size",
        "spoke",
        "tool",
    )

    def __init__(
        self, tool: str, arguments: Json, resources: Mapping[str, Any], size: int, told: Callable[[Work], None]
    ) -> None:
        self.tool = tool
        """By the task's own name."""
        self.arguments = arguments
        self.resources = resources
        """What links among the arguments stand for, by URI."""
        self.size = size
        """Bytes of the message that asked for it."""
        self.callers: tuple[Caller, ...] = ()
        self.job: Job | None = None
        """Once it is prepared."""
        self.begun = False
        """The model's thread has it."""
        self.computed = False
        """The model is at it."""
        self.spoke = False
        """Some of its text was told already."""
        self._told = told
        self._heard: deque[tuple[float, float | None, str]] = deque()
        self._next_s = 0.0

    def for_one(self, caller: Caller) -> Work:
        """The same, for this caller alone."""
        other = Work(self.tool, self.arguments, self.resources, self.size, self._told)
        other.callers = (caller,)
        caller.work = other
        return other

    @property
    def gone(self) -> bool:
        return all(caller.over for caller in self.callers)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        if all(caller.token is None for caller in self.callers):
            return
        if not message:
            now_s = time.monotonic()
            if now_s < self._next_s and done != total:
                return
            self._next_s = now_s + _BETWEEN_S
        else:
            self.spoke = True
        self._heard.append((done, total, message))
        if len(self._heard) == 1:
            self._told(self)

    def heard(self) -> tuple[float, float | None, str] | None:
        """How far it is, with all that was said since the last time. With the baton."""
        done, total, pieces = 0.0, None, []
        while self._heard:
            done, total, message = self._heard.popleft()
            pieces.append(message)
        return (done, total, "".join(pieces)) if pieces else None

    def is_like(self, other: Work) -> bool:
        """Whether both ask for the same."""
        if self.tool != other.tool or self.arguments != other.arguments or self.resources != other.resources:
            return False
        # To Python 1, 1.0 and True are equal; to a model they need not be.
        return _alike(self.arguments, other.arguments)


def _alike(one: object, other: object) -> bool:
    """Of values that are equal: whether they are in every part of one type, too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(_alike(value, beside) for value, beside in zip(one, other, strict=True))
    return not isinstance(one, float) or repr(one) == repr(other)  # 0.0 and -0.0
