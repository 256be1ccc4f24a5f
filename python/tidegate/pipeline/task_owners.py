"""Which server a task runs on and whose it is, learned as tasks are made. Bounded: the oldest are forgotten."""

from __future__ import annotations

from collections import OrderedDict

_MAX_TASKS = 10_000


class TaskOwners:
    """Task id → (service, owner). An id is the server's own and passes to the client unchanged."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[object, str]] = OrderedDict()

    def learn(self, task_id: str, service: object, owner: str) -> None:
        self._known[task_id] = (service, owner)
        self._known.move_to_end(task_id)
        if len(self._known) > _MAX_TASKS:
            self._known.popitem(last=False)

    def find(self, task_id: str) -> tuple[object, str] | None:
        return self._known.get(task_id)
