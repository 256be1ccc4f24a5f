"""Requests about tasks: whose the task is, and the way to its server in that server's era.

Called by `forwarding.py` for `tasks/…`. How tasks are made is in `tasks/making.py`, what is said about one between the
eras in `era/bridge`.
"""

from __future__ import annotations

from collections.abc import Callable

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import InvalidParams, MethodNotFound, MissingClientCapability
from tidegate.pipeline.codec import Envelope, find_member
from tidegate.pipeline.era.bridge.open_call import Send
from tidegate.pipeline.era.bridge.suspendable_call import read_retry
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.era.bridge.tasks.asked_requests import AskedCancel, Shown
from tidegate.pipeline.era.bridge.tasks.asked_task import AskedTask
from tidegate.pipeline.era.bridge.tasks.kept_task import KeptTask
from tidegate.pipeline.era.bridge.tasks.polled_requests import serve_polled
from tidegate.pipeline.era.bridge.tasks.polled_task import PolledTask
from tidegate.pipeline.era.bridge.tasks.requests import ask_about
from tidegate.pipeline.era.bridge.tasks.shapes import EXTENSION_REQUIRED, TERMINAL, status_of
from tidegate.pipeline.exchange import Exchange
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.tasks.making import TaskMaking
from tidegate.pipeline.tasks.owners import OwnedTask, TaskOwners, owner_key
from tidegate.pipeline.tasks.sending import about, client_declares, declaring
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot

PassOn = Callable[[Service, str | None], None]
"""Sends a request about a task (its id, if it names one) to this service: client and server are of one era."""


class Tasks:
    """All tasks that the gateway knows."""

    def __init__(self, limits: Limits, clock: Clock, suspended: SuspendedCalls) -> None:
        self._owned = TaskOwners(clock)
        self.making = TaskMaking(limits, clock, suspended, self._owned)

    def find(self, exchange: Exchange) -> OwnedTask | None:
        """The task that a request of its owner is about. Raises: InvalidParams."""
        return self._owned.find(_task_id(exchange), owner_key(exchange))

    def session_ended(self, key: str) -> None:
        for task in self._owned.of_owner(key):
            self._owned.forget(task)

    def close(self) -> None:
        self._owned.close()

    def serve(self, exchange: Exchange, sole: Service | None, *, alone: bool, anonymous: bool, pass_on: PassOn) -> None:
        """Answers, now or later. `sole`: the only server there is. `alone`: nobody else can have made a task on the
        connection that this client has with it. `anonymous`: all clients are one to this gateway.

        Raises: InvalidParams, MethodNotFound, MissingClientCapability.
        """
        method = exchange.envelope.method or ""
        if method == "tasks/list":
            if sole is None or not alone or not _of_one_era(exchange, sole):
                raise MethodNotFound(f"Method not found: `{method}`")
            pass_on(sole, None)
            return
        task_id = _task_id(exchange)
        task = self._owned.find(task_id, owner_key(exchange))
        if task is None:
            # It may have been made before the gateway was started; that it is not another's, nobody could tell.
            early = exchange.client.stateless and anonymous and not self._owned.has(task_id)
            if not early or sole is None or not _of_one_era(exchange, sole):
                raise InvalidParams(f"Unknown task: `{task_id}`")
            pass_on(sole, task_id)
            return
        exchange.backend = task.service.name
        bridge = task.bridge
        if bridge is None:
            if exchange.client.session is not None:
                exchange.on_result = lambda message, envelope: _seen(task, method, message, envelope)
            pass_on(task.service, task_id)
        elif isinstance(bridge, KeptTask):
            _serve_kept(exchange, method, bridge)
        elif isinstance(bridge, PolledTask):
            self._on_connection(exchange, task, lambda send, _: serve_polled(exchange, method, bridge, send))
        elif not client_declares(exchange.client):
            raise MissingClientCapability("Missing required client capability", data=EXTENSION_REQUIRED)
        else:
            self._serve_asked(exchange, method, task, bridge)

    def _serve_asked(self, exchange: Exchange, method: str, task: OwnedTask, asked: AskedTask) -> None:
        if method == "tasks/update":
            asked.answer(read_retry(exchange.message, exchange.envelope)[1])
            exchange.answer_result(b'{"resultType":"complete"}')
            return

        def go(send: Send, connection: Connection) -> None:
            connection.follow_task(task.task_id, asked, None)

            def ended() -> None:
                connection.unfollow_task(task.task_id)

            listener = (AskedCancel if method == "tasks/cancel" else Shown)(exchange, asked, ended)
            call = ask_about(send, listener, method, task.task_id)
            if call is not None and not exchange.done:
                exchange.abandon = call.abandon

        self._on_connection(exchange, task, go)

    @staticmethod
    def _on_connection(exchange: Exchange, task: OwnedTask, use: Callable[[Send, Connection], None]) -> None:
        """Where the task was made, even if that has to be opened again."""

        def go(slot: Slot, connection: Connection, waited_s: float = 0.0) -> None:
            if not exchange.done:
                view = client if connection.keeps_session else declaring(client)
                use(about(service, slot, view, task.task_id, waited_s), connection)

        def go_or_wait(slot: Slot, connection: Connection) -> None:
            if connection.in_flight >= service.config.max_in_flight or connection.line is not None:
                service.queue.join(exchange, slot, connection, go, stays=True)
            else:
                go(slot, connection)

        service, client = task.service, exchange.client
        if task.slot.closed:
            service.acquire(client, go_or_wait, exchange.failed)
        else:
            service.use_slot(task.slot, client, go_or_wait, exchange.failed)


def _seen(task: OwnedTask, method: str, message: bytes, envelope: Envelope) -> None:
    """A task that is over keeps no connection open."""
    span = envelope.result_span
    over = method == "tasks/result" or (span is not None and status_of(message[slice(*span)]) in TERMINAL)
    if over and task.on_forgotten is not None:
        task.on_forgotten()


def _serve_kept(exchange: Exchange, method: str, kept: KeptTask) -> None:
    if method == "tasks/get":
        exchange.answer_result(kept.state())
    elif method == "tasks/result":
        exchange.answer_result(kept.result())
    else:
        kept.cancel()


def _task_id(exchange: Exchange) -> str:
    """Raises: InvalidParams."""
    span = exchange.envelope.params_span
    at = find_member(exchange.message, "taskId", *span) if span is not None else None
    task_id = json_value(exchange.message[at[0] : at[1]]) if at is not None else None
    if not isinstance(task_id, str):
        raise InvalidParams(f"`{exchange.envelope.method}` needs `params.taskId`, a string")
    return task_id


def _of_one_era(exchange: Exchange, service: Service) -> bool:
    """As far as is known by now."""
    return service.stateless is not False if exchange.client.stateless else service.keeps_session is not False
