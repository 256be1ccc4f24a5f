"""A finished task of the gateway's own: what a server answered at once to a client that wanted a task.

A session's client that sends `task` must get a task (2025-11-25, basic/utilities/tasks, "Result Retrieval"), while a
server of the extension may answer without one. The result is kept for as long as the client asked, within bounds.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

from tidegate.errors import InvalidParams
from tidegate.pipeline.era.bridge.tasks.shapes import related, reports_error
from tidegate.pipeline.json_text import json_bytes

LONGEST_TTL_MS: Final = 3_600_000
_DEFAULT_TTL_MS: Final = 300_000
_POLL_MS: Final = 100


class KeptTask:
    """One result."""

    __slots__ = ("_created_at", "_result", "task_id", "ttl_ms")

    def __init__(self, result: bytes, wanted_ttl_ms: int | None) -> None:
        self.task_id = secrets.token_urlsafe(24)
        self.ttl_ms = min(_DEFAULT_TTL_MS if wanted_ttl_ms is None else wanted_ttl_ms, LONGEST_TTL_MS)
        self._created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._result = result

    @property
    def size_bytes(self) -> int:
        return len(self._result)

    def created(self) -> bytes:
        """The `CreateTaskResult`: every task begins as working."""
        return b'{"task":' + self._state("working") + b"}"

    def state(self) -> bytes:
        """The answer to `tasks/get`."""
        return self._state("failed" if reports_error(self._result) else "completed")

    def result(self) -> bytes:
        """The answer to `tasks/result`."""
        return related(self._result, self.task_id)

    def cancel(self) -> None:
        """Raises: InvalidParams, always: it is over."""
        raise InvalidParams("Cannot cancel task: it has ended already")

    def _state(self, status: str) -> bytes:
        return json_bytes(
            {
                "taskId": self.task_id,
                "status": status,
                "createdAt": self._created_at,
                "lastUpdatedAt": self._created_at,
                "ttl": self.ttl_ms,
                "pollInterval": _POLL_MS,
            }
        )
