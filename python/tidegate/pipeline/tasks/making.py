"""Tool calls that may become tasks: which way each is sent, and whose the task is that comes of it.

Called by `calls.py` for every `tools/call` that `concerns` names. What happens between the eras is in
`era/bridge/tasks` (`polled_task`, `asked_task`, `kept_task`, `run`, `second_try`); here is decided which of them it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Final

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import Overloaded
from tidegate.pipeline.codec import Envelope, find_member, patch_object, scan, splice
from tidegate.pipeline.era.bridge.open_call import OpenCall, Send
from tidegate.pipeline.era.bridge.pieces import members, text_of
from tidegate.pipeline.era.bridge.results import result_for
from tidegate.pipeline.era.bridge.suspendable_call import SuspendableCall
from tidegate.pipeline.era.bridge.suspended_calls import SuspendedCalls
from tidegate.pipeline.era.bridge.tasks.asked_task import AskedTask
from tidegate.pipeline.era.bridge.tasks.kept_task import KeptTask
from tidegate.pipeline.era.bridge.tasks.polled_task import PolledTask
from tidegate.pipeline.era.bridge.tasks.requests import Turned
from tidegate.pipeline.era.bridge.tasks.run import TaskRun
from tidegate.pipeline.era.bridge.tasks.second_try import Asking, SecondTry
from tidegate.pipeline.era.bridge.tasks.shapes import (
    declares_extension,
    knows_tasks,
    milliseconds,
    session_created,
    stateless_created,
    task_id_of,
)
from tidegate.pipeline.exchange import CallListener, ClientView, Exchange
from tidegate.pipeline.target import Target
from tidegate.pipeline.tasks.owners import KEPT_ARGUMENTS_BYTES, Bridge, OwnedTask, TaskOwners, owner_key
from tidegate.pipeline.tasks.sending import about, client_declares, declaring
from tidegate.pipeline.tasks.session_task import SessionTask
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.slot import Slot

_TASK: Final = b'"task"'
_ENDLESS_S: Final = 86_400.0
"""How long a task without a `ttl` is known."""
_GRACE_S: Final = 60.0
"""How long after its `ttl` a server may still know it."""
_KEPT_PER_OWNER: Final = 32
"""Results in the gateway's own tasks of one owner; the oldest give way."""

Carry = Callable[[ClientView], Send]
"""How the client's request is sent on, in the name of this client."""


class TaskMaking:
    """The way of each tool call that may become a task."""

    def take_up(self, limits: Limits) -> None:
        """Other bounds from now on, for tasks that are still to be made."""
        self._limits = limits

    def __init__(self, limits: Limits, clock: Clock, suspended: SuspendedCalls, owned: TaskOwners) -> None:
        self._limits = limits
        self._clock = clock
        self._suspended = suspended
        self._owned = owned

    def concerns(self, exchange: Exchange, target: Target, connection: Connection) -> bool:
        """Whether this call may make a task. Asked for every call: cheap, and wrong only towards yes."""
        if exchange.envelope.method != "tools/call":
            return False
        client = exchange.client
        if connection.keeps_session:
            return target.needs_task or _TASK in exchange.message
        if client.stateless:
            return "extensions" in client.features or connection.offers_extensions
        return connection.offers_extensions or _TASK in exchange.message

    def odd_words(self, exchange: Exchange, connection: Connection) -> tuple[bytes, ...]:
        """Of a call that is of no concern: another one like it is of none, too, as long as none of these is in it."""
        stateless = exchange.client.stateless and not connection.keeps_session
        return (_TASK,) if exchange.envelope.method == "tools/call" and not stateless else ()

    def sending(self, exchange: Exchange, target: Target, slot: Slot, connection: Connection, carry: Carry) -> Send:
        """How to send a call that `concerns` named."""
        making = _Making(self, exchange, target, slot, connection)
        client = exchange.client
        send = carry(client)
        offers = declares_extension(connection.capabilities)
        if client.stateless:
            if connection.keeps_session:
                if not target.needs_task:
                    # The extension has no such member: to this client's server it would mean something.
                    return partial(_send_without_task, send)
                return making.for_stateless(send) if client_declares(client) else making.run(send)
            if client_declares(client):
                exchange.on_result = making.learn_result
                return send
            return making.second_try(send, carry(declaring(client))) if offers else send
        wanted = _wanted_task(exchange)
        if wanted is not None and not knows_tasks(client.version):
            wanted, send = None, partial(_send_without_task, send)
        if wanted is None:
            if connection.keeps_session:
                return making.run(send) if target.needs_task else send
            return making.second_try(send, carry(declaring(client))) if offers else send
        if connection.keeps_session:
            exchange.on_result = making.learn_result
            return send
        if offers:
            return making.for_session(partial(_send_without_task, carry(declaring(client))), wanted)
        return partial(_send_without_task, send)

    # -- whose it is ----------------------------------------------------------------------------------------

    def learn(
        self, exchange: Exchange, service: Service, slot: Slot, task_id: str, bridge: Bridge | None, ttl_ms: int | None
    ) -> OwnedTask:
        ttl_s = _ENDLESS_S if ttl_ms is None else ttl_ms / 1000 + _GRACE_S
        task = OwnedTask(task_id, owner_key(exchange), service, slot, bridge, self._clock.now_s() + ttl_s)
        task.tool = exchange.exposed_name or ""
        span = exchange.envelope.arguments_span
        if span is None:
            task.arguments = b"{}"
        elif span[1] - span[0] <= KEPT_ARGUMENTS_BYTES:
            task.arguments = exchange.message[span[0] : span[1]]
        self._owned.learn(task)
        return task

    def keep(self, exchange: Exchange, service: Service, slot: Slot, kept: KeptTask) -> None:
        """Raises: Overloaded."""
        mine = [task for task in self._owned.of_owner(owner_key(exchange)) if isinstance(task.bridge, KeptTask)]
        for old in mine[: max(0, len(mine) - _KEPT_PER_OWNER + 1)]:
            self._owned.forget(old)
        if not self._suspended.keep(kept.size_bytes):
            raise Overloaded("the server answered at once, and there is no room to keep the result for a task")
        task = self.learn(exchange, service, slot, kept.task_id, kept, kept.ttl_ms)
        task.on_forgotten = lambda: self._suspended.release(kept.size_bytes)

    def asked_task(self, exchange: Exchange, service: Service, slot: Slot, task_id: str) -> AskedTask:
        return AskedTask(
            task_id,
            about(service, slot, exchange.client, task_id),
            self._suspended,
            principal=exchange.principal.key,
            abilities=json.loads(exchange.client.abilities),
            revision=exchange.client.version,
            call_timeout_s=service.config.call_timeout_s,
        )

    def polled_task(self, exchange: Exchange, service: Service, slot: Slot, task_id: str, *, shown: bool) -> PolledTask:
        """`shown`: the client knows that it is one."""
        return PolledTask(
            task_id,
            service.name,
            about(service, slot, declaring(exchange.client), task_id),
            abilities=json.loads(exchange.client.abilities),
            revision=exchange.client.version,
            shown=shown,
            answer_timeout_s=self._limits.suspended_s,
            call_timeout_s=service.config.call_timeout_s,
        )

    def suspendable(self, exchange: Exchange, service: Service, polled: PolledTask) -> None:
        """Lets the request of a stateless client wait for the end of a task, and ask it on the way."""
        call = SuspendableCall(
            exchange,
            self._suspended,
            service.config.call_timeout_s,
            lambda finished: None,
            server_keeps_session=False,
        )
        call.start(lambda listener, _, __: polled.wait(listener), exchange.message, exchange.envelope)


class _Making:
    """One call. Its methods give ways to send it."""

    def __init__(
        self, owner: TaskMaking, exchange: Exchange, target: Target, slot: Slot, connection: Connection
    ) -> None:
        self._owner = owner
        self._exchange = exchange
        self._service = target.service
        self._slot = slot
        self._connection = connection

    def learn_result(self, message: bytes, envelope: Envelope) -> None:
        """Client and server are of one era: only whose it is need be known."""
        span = envelope.result_span
        if span is None:
            return
        within = find_member(message, "task", *span) or span
        task = message[within[0] : within[1]]
        task_id = task_id_of(task)
        if task_id is None:
            return
        ttl_ms = milliseconds(task, "ttl") or milliseconds(task, "ttlMs")
        owned = self._owner.learn(self._exchange, self._service, self._slot, task_id, None, ttl_ms)
        session = self._exchange.client.session
        if session is not None:
            token = self._exchange.envelope.progress_token
            known = SessionTask(session, (envelope.id, token) if token is not None and envelope.id else None)
            connection = self._connection
            connection.follow_task(task_id, known, ttl_ms)
            owned.on_forgotten = lambda: connection.unfollow_task(task_id)

    def for_session(self, send: Send, wanted: bytes) -> Send:
        """A session's client wants a task of a stateless server. `wanted`: its `task`, a raw JSON object."""
        owner, exchange, service, slot = self._owner, self._exchange, self._service, self._slot

        def turn(result: bytes) -> bytes:
            if text_of(members(result).get("resultType")) == "input_required":
                return result
            made = text_of(members(result).get("resultType")) == "task"
            result = result_for("tools/call", result, exchange.client.version)
            task_id = task_id_of(result) if made else None
            if task_id is None:
                kept = KeptTask(result, milliseconds(wanted, "ttl"))
                owner.keep(exchange, service, slot, kept)
                return kept.created()
            polled = owner.polled_task(exchange, service, slot, task_id, shown=True)
            task = owner.learn(exchange, service, slot, task_id, polled, milliseconds(result, "ttlMs"))
            task.on_forgotten = polled.forget
            return session_created(result)

        return lambda listener, message, envelope: send(Turned(listener, turn), message, envelope)

    def for_stateless(self, send: Send) -> Send:
        """A stateless client with tasks calls a tool that its session server runs as a task only."""
        owner, exchange, service, slot = self._owner, self._exchange, self._service, self._slot

        def turn(result: bytes) -> bytes:
            task_raw = members(result).get("task", b"")
            task_id = task_id_of(task_raw)
            if task_id is None:
                return result
            asked = owner.asked_task(exchange, service, slot, task_id)
            ttl_ms = milliseconds(task_raw, "ttl")
            task = owner.learn(exchange, service, slot, task_id, asked, ttl_ms)
            ear = self._connection
            ear.follow_task(task_id, asked, ttl_ms)

            def forgotten() -> None:
                ear.unfollow_task(task_id)
                asked.forget()

            task.on_forgotten = forgotten
            return stateless_created(result)

        return lambda listener, message, envelope: _send_with_task(send, Turned(listener, turn), message, envelope)

    def run(self, send: Send) -> Send:
        """The client has no tasks, and the tool is run as one only."""
        service, slot, connection = self._service, self._slot, self._connection
        client = self._exchange.client

        def start(listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
            run = TaskRun(
                listener,
                partial(_send_with_task, send),
                lambda task_id: about(service, slot, client, task_id),
                connection,
            )
            return run.start(message, envelope)

        return start

    def second_try(self, send: Send, send_declaring: Send) -> Send:
        """The client has no tasks, and the stateless server may want to make one."""
        service, slot, exchange = self._service, self._slot, self._exchange

        def start(listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
            def follow(task_id: str) -> OpenCall | None:
                polled = self._owner.polled_task(exchange, service, slot, task_id, shown=False)
                if exchange.client.stateless:
                    self._owner.suspendable(exchange, service, polled)
                    return None
                return polled.wait(Asking(listener, exchange.asked))

            return SecondTry(listener, send, send_declaring, follow).start(message, envelope)

        return start


def _wanted_task(exchange: Exchange) -> bytes | None:
    """The client's `params.task`, an object."""
    span = exchange.envelope.params_span
    at = find_member(exchange.message, "task", *span) if span is not None else None
    raw = exchange.message[at[0] : at[1]] if at is not None else b""
    return raw if raw.startswith(b"{") else None


def _send_without_task(send: Send, listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
    return send(listener, *_with_member(message, envelope, None))


def _send_with_task(send: Send, listener: CallListener, message: bytes, envelope: Envelope) -> OpenCall | None:
    return send(listener, *_with_member(message, envelope, b"{}"))


def _with_member(message: bytes, envelope: Envelope, task: bytes | None) -> tuple[bytes, Envelope]:
    span = envelope.params_span
    assert span is not None
    written = splice(message, [(*span, patch_object(message[span[0] : span[1]], [("task", task)]))])
    return written, scan(written, 1 << 16)
