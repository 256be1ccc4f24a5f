"""Tasks on one connection to a session server, and who hears what the server says of them by itself.

A task outlives the request that made it: its questions name it in `_meta`, its changes in `params`, and its progress
comes under the token of that request (2025-11-25, basic/utilities/tasks, "Associating Task-Related Messages", "Task
Progress Notifications"). Bounded in number and time.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tidegate.pipeline.codec import Envelope, find_member, splice
from tidegate.pipeline.exchange import Question
from tidegate.pipeline.json_text import json_value
from tidegate.protocol.meta_keys import RELATED_TASK

_MAX_TASKS: Final = 1000
_TASK_S: Final = 3600.0
"""Longest time that a task is followed while its client is not heard of."""


class FollowedTask(Protocol):
    """Who hears of a task."""

    @property
    def known_to_client(self) -> bool:
        """Whether it is as the server has it for the client, too."""

    @property
    def progress(self) -> tuple[bytes, bytes] | None:
        """Raw progress tokens: the server's, and the client's that it stands for at the moment."""

    def notified(self, message: bytes, envelope: Envelope) -> None: ...

    def asked(self, question: Question) -> None: ...


class FollowedTasks:
    """By their ids."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[FollowedTask, float]] = {}
        """With the end of its time, on the loop's clock."""

    def follow(self, task_id: str, task: FollowedTask, ttl_ms: int | None) -> None:
        if len(self._tasks) >= _MAX_TASKS:
            self._drop_old()
            if len(self._tasks) >= _MAX_TASKS:
                del self._tasks[next(iter(self._tasks))]
        ttl_s = _TASK_S if ttl_ms is None else min(ttl_ms / 1000, _TASK_S)
        self._tasks[task_id] = (task, asyncio.get_running_loop().time() + ttl_s)

    def unfollow(self, task_id: str) -> None:
        self._tasks.pop(task_id, None)

    def clear(self) -> None:
        self._tasks.clear()

    @property
    def busy(self) -> bool:
        if not self._tasks:
            return False
        self._drop_old()
        return bool(self._tasks)

    def _drop_old(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._tasks = {task_id: entry for task_id, entry in self._tasks.items() if entry[1] > now_s}

    # -- what the server says -------------------------------------------------------------------------------

    def related(self, message: bytes, envelope: Envelope) -> FollowedTask | None:
        """Whose a question is."""
        at = _related_at(message, envelope) if self._tasks else None
        return self._named(message[at[0] : at[1]]) if at is not None else None

    def changed(self, message: bytes, envelope: Envelope, shared: bool) -> bool:
        """Passes `notifications/tasks/status` on. False: it is for the one session that has the connection.

        Of a task that nobody has heard of yet, nobody hears.
        """
        span = envelope.params_span
        task = self._named(message[span[0] : span[1]]) if span is not None else None
        if task is not None and task.known_to_client and not shared:
            return False
        if task is not None:
            task.notified(message, envelope)
        return True

    def progressed(self, token: bytes, message: bytes, envelope: Envelope) -> bool:
        """Passes progress on under the client's token; whether its task is followed."""
        span = envelope.progress_token_span
        for task, _ in self._tasks.values():
            tokens = task.progress
            if tokens is not None and tokens[0] == token and span is not None:
                task.notified(splice(message, [(span[0], span[1], tokens[1])]), envelope)
                return True
        return False

    def _named(self, raw: bytes) -> FollowedTask | None:
        """`raw`: an object with a `taskId`, if the server keeps to the rules."""
        named = json_value(raw) if self._tasks else None
        task_id = named.get("taskId") if isinstance(named, dict) else None
        entry = self._tasks.get(task_id) if isinstance(task_id, str) else None
        return entry[0] if entry is not None else None


def names_task(message: bytes, envelope: Envelope) -> bool:
    """Whether a question says that it is a task's, be it one that nobody follows."""
    return _related_at(message, envelope) is not None


def _related_at(message: bytes, envelope: Envelope) -> tuple[int, int] | None:
    span = envelope.meta_span
    if span is None or message[span[0] : span[0] + 1] != b"{":
        return None
    return find_member(message, RELATED_TASK, *span)
