"""Whose a task is and where it runs, learned as tasks are made. Bounded: the oldest are forgotten.

A task id is the server's own and passes to the client unchanged. It is found only together with its owner, so that a
task of somebody else looks exactly like none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final

from tidegate.clock import Clock
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.era.bridge.tasks.asked_task import AskedTask
from tidegate.pipeline.era.bridge.tasks.kept_task import KeptTask
from tidegate.pipeline.era.bridge.tasks.polled_task import PolledTask
from tidegate.pipeline.exchange import Exchange
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot

_MAX_TASKS: Final = 10_000
KEPT_ARGUMENTS_BYTES: Final = 4096
"""Of the call that made a task: its filters are shown them again with the result. Most are far shorter."""
_GRAIN_S: Final = 10.0
"""How late the end of a task's time may be noticed."""

Bridge = AskedTask | PolledTask | KeptTask
"""How a task of a server of the other era is seen, or one of the gateway's own."""


class OwnedTask:
    """One task."""

    __slots__ = (
        "arguments",
        "bridge",
        "deadline_s",
        "on_expired",
        "on_forgotten",
        "owner",
        "service",
        "slot",
        "task_id",
        "tool",
    )

    def __init__(
        self,
        task_id: str,
        owner: str,
        service: Service,
        slot: Slot,
        bridge: Bridge | None = None,
        deadline_s: float = inf,
    ) -> None:
        self.task_id = task_id
        self.owner = owner
        """Key of the session, or of the principal of a client without one."""
        self.service = service
        self.slot = slot
        """The connection that made it is in here."""
        self.bridge = bridge
        """None: client and server are of one era."""
        self.deadline_s = deadline_s
        """On the gateway's clock; later it is not known any more."""
        self.tool = ""
        """As clients know the tool whose call it is."""
        self.arguments: bytes | None = None
        """Of that call, raw; None when they are too long to be kept."""
        self.on_forgotten: Callable[[], None] | None = None
        self.on_expired: Callable[[OwnedTask], None] | None = None
        """Set by `TaskOwners`."""

    def deadline_passed(self, now_s: float) -> None:
        if self.on_expired is not None:
            self.on_expired(self)


class TaskOwners:
    """Every task that is known, by owner and id."""

    def __init__(self, clock: Clock) -> None:
        self._deadlines = Deadlines(clock, _GRAIN_S)
        self._known: OrderedDict[tuple[str, str], OwnedTask] = OrderedDict()
        self._ids: dict[str, int] = {}
        """How many owners have a task of this id."""

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, task: OwnedTask) -> None:
        old = self._known.get((task.owner, task.task_id))
        if old is not None:
            self.forget(old)
        self._known[task.owner, task.task_id] = task
        task.on_expired = self.forget
        self._deadlines.watch(task)
        self._ids[task.task_id] = self._ids.get(task.task_id, 0) + 1
        if len(self._known) > _MAX_TASKS:
            self.forget(next(iter(self._known.values())))

    def find(self, task_id: str, owner: str) -> OwnedTask | None:
        return self._known.get((owner, task_id))

    def has(self, task_id: str) -> bool:
        """Whether it is anybody's."""
        return task_id in self._ids

    def of_owner(self, owner: str) -> list[OwnedTask]:
        return [task for task in self._known.values() if task.owner == owner]

    def close(self) -> None:
        self._deadlines.stop()

    def forget(self, task: OwnedTask) -> None:
        if self._known.pop((task.owner, task.task_id), None) is not task:
            return
        self._deadlines.forget(task)
        left = self._ids.pop(task.task_id) - 1
        if left:
            self._ids[task.task_id] = left
        if task.on_forgotten is not None:
            task.on_forgotten()


def owner_key(exchange: Exchange) -> str:
    session = exchange.client.session
    return session.key if session is not None else exchange.principal.key
