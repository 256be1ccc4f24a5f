"""Asks file systems how full they are, without ever waiting long for one that does not answer.

`statvfs` on a network mount whose server is gone blocks for minutes and cannot be interrupted. Such mounts are
asked on threads of their own, all at once, under one deadline; a mount whose thread still hangs is not asked
again before that thread comes back, so there is at most one stuck thread a mount.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.clock import Clock

ANSWER_S: Final = 2.0
"""What all network mounts together may take."""
STUCK: Final = 16
"""Threads that may hang at once; further mounts count as not answering."""

Statvfs = Callable[[bytes], os.statvfs_result]


@dataclass(slots=True)
class Answer:
    """What came back for one path: neither field set means it has not answered."""

    found: os.statvfs_result | None = None
    failed: bool = False


class Capacity:
    """Thread-safe."""

    def __init__(self, clock: Clock, statvfs: Statvfs = os.statvfs, answer_s: float = ANSWER_S) -> None:
        self._clock = clock
        self._statvfs = statvfs
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._asking: dict[bytes, threading.Thread] = {}

    def ask(self, path: bytes) -> Answer:
        """A local file system, on the calling thread."""
        answer = Answer()
        self._fill(path, answer)
        return answer

    def ask_patiently(self, paths: Sequence[bytes]) -> dict[bytes, Answer]:
        """File systems that may hang; those still silent after the deadline have an empty answer."""
        answers: dict[bytes, Answer] = {}
        started: list[threading.Thread] = []
        with self._lock:
            self._asking = {path: thread for path, thread in self._asking.items() if thread.is_alive()}
            for path in paths:
                answers[path] = Answer()
                if path in self._asking or len(self._asking) >= STUCK:
                    continue
                thread = threading.Thread(
                    target=self._fill, args=(path, answers[path]), name="tidegate-statvfs", daemon=True
                )
                self._asking[path] = thread
                started.append(thread)
                thread.start()
        deadline_s = self._clock.now_s() + self._answer_s
        for thread in started:
            thread.join(max(deadline_s - self._clock.now_s(), 0.0))
        return {path: Answer(answer.found, answer.failed) for path, answer in answers.items()}

    def _fill(self, path: bytes, answer: Answer) -> None:
        try:
            answer.found = self._statvfs(path)
        except (OSError, ValueError):
            answer.failed = True
