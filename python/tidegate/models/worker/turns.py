"""The worker's main loop: descriptors, timers, and what the computing threads want done, one thing at a time.

Not asyncio: a worker whose models are not loaded is to cost the box next to nothing, and asyncio alone would be 8 MB
and half of its start. Here is what two pipes and some deadlines need, and no more.
"""

from __future__ import annotations

import heapq
import math
import os
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Final

_LONGEST_S: Final = 3600.0
"""epoll takes its time in a C int of milliseconds."""
_DEAD: Final = 64
"""Cancelled timers that may lie in the heap before it is built anew."""


class Timer:
    """One thing to be done later. May be cancelled at any time, with the baton."""

    __slots__ = ("action", "at_s")

    def __init__(self, at_s: float, action: Callable[[], None]) -> None:
        self.at_s = at_s
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Turns:
    """One thing at a time: whoever has the baton does it, and all that belongs to the worker as a whole is touched by
    nobody else. The main thread lets go of it only to sleep. A computing thread that finds it free then answers by
    itself and need not wake the main thread, which would be 1.5 % of a model of 10 ms.
    """

    def __init__(self) -> None:
        self._baton = threading.Lock()
        self._baton.acquire()
        self._selector = selectors.DefaultSelector()
        self._wake: int | None = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._wakes = threading.Lock()
        """Whoever has it may write to `_wake`: it is open."""
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._number = count()
        self._sleeps_until_s = 0.0
        self._ended = False

    def now_s(self) -> float:
        return time.monotonic()

    def soon(self, action: Callable[[], None]) -> None:
        """From any thread, the baton not needed; in the order in which they were given, and not after the end."""
        self._soon.append(action)
        if self._baton.acquire(blocking=False):
            undone = True
            try:
                _sparing(self._do_soon)
                undone = self._ended or bool(self._soon) or self._next_s() < self._sleeps_until_s
            finally:
                self._baton.release()
                if undone:
                    self._wake_up()
        else:
            self._wake_up()

    def at(self, at_s: float, action: Callable[[], None]) -> Timer:
        timer = Timer(at_s, action)
        if len(self._timers) > _DEAD and self._timers[len(self._timers) // 2][2].action is None:
            self._timers = [entry for entry in self._timers if entry[2].action is not None]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (at_s, next(self._number), timer))
        return timer

    def when_readable(self, descriptor: int, action: Callable[[], None] | None) -> None:
        """None: no more. Raises: PermissionError for what is always ready, such as a file."""
        self._watch(descriptor, selectors.EVENT_READ, action)

    def when_writable(self, descriptor: int, action: Callable[[], None] | None) -> None:
        self._watch(descriptor, selectors.EVENT_WRITE, action)

    def end(self) -> None:
        self._ended = True

    def run(self) -> None:
        """Until `end`; once, and on the main thread."""
        try:
            while not self._ended:
                _sparing(self._turn)
        finally:
            self._ended = True
            self._close()
            self._baton.release()

    def _close(self) -> None:
        self._selector.close()
        with self._wakes:
            if self._wake is not None:
                os.close(self._wake)
            self._wake = None

    def _turn(self) -> None:
        for key, _ in self._ready():
            key.data()
        while self._timers and (self._timers[0][2].action is None or self._timers[0][0] <= self.now_s()):
            action = heapq.heappop(self._timers)[2].action
            if action is not None:
                action()
        self._do_soon()

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Descriptors that something can be done with, when there are some or something else is to be done."""
        if self._soon:
            return self._selector.select(0)
        self._sleeps_until_s = self._next_s()
        self._baton.release()
        try:
            found = self._selector.select(min(max(self._sleeps_until_s - self.now_s(), 0.0), _LONGEST_S))
        finally:
            self._baton.acquire()
        # What was watched then may not be now.
        watched = self._selector.get_map()
        return [(key, events) for key, events in found if watched.get(key.fd) is key]

    def _next_s(self) -> float:
        return self._timers[0][0] if self._timers else math.inf

    def _do_soon(self) -> None:
        # No more than there are now: what they ask for comes after what else is waiting.
        for _ in range(len(self._soon)):
            if not self._ended:
                self._soon.popleft()()

    def _woken(self) -> None:
        if self._wake is not None:
            os.eventfd_read(self._wake)

    def _wake_up(self) -> None:
        with self._wakes:
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)

    def _watch(self, descriptor: int, event: int, action: Callable[[], None] | None) -> None:
        if action is None:
            self._selector.unregister(descriptor)
        else:
            self._selector.register(descriptor, event, action)


def _sparing(part: Callable[[], None]) -> None:
    """What was being done when there was no memory is lost, and whoever waits for it meets its deadline; all others go
    on.
    """
    try:
        part()
    except MemoryError:
        print("no_memory in the main loop", file=sys.stderr, flush=True)
