"""One decision that the relay repeats: what it needs for that, and what the slow lane needs to go on in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.events import ExchangeDone, ExchangesDone
from tidegate.pipeline.codec import Bucket, Envelope, Upstream
from tidegate.pipeline.era.bridge.open_call import Send
from tidegate.pipeline.era.bridge.results import ResultEdits
from tidegate.pipeline.exchange import CallListener, ClientView, Exchange
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.relay.origin import Done, Origin, ReplyForm
from tidegate.pipeline.target import Target
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.link import Call
from tidegate.pipeline.upstream.slot import Slot

Begin = Callable[[Exchange, Send], None]
"""Has an exchange's request sent, and whatever comes back understood."""

_MAX_NAME_CHARS: Final = 100
"""A client may call itself anything, of any length."""


class Lane(Protocol):
    """The relay, as its decisions see it."""

    clock: Clock
    depth: int
    done: Done

    def resumed(self) -> None:
        """A call is the slow lane's from now on."""


class Decision:
    """Read by native code when it is installed (what `Relay.install` names), and called by it when it gives a call up.

    `client`, `principal`, `slot` and `since_s` are for those who look after what is repeated.
    """

    __slots__ = (
        "_backend",
        "_begin",
        "_connection",
        "_exposed_name",
        "_lane",
        "_method",
        "_origin",
        "_server_name",
        "_timeout_s",
        "_transport",
        "balance",
        "bucket",
        "client",
        "coding",
        "complete",
        "compress_max_bytes",
        "compress_min_bytes",
        "max_in_flight",
        "meta_changes",
        "name",
        "odd_words",
        "principal",
        "repeatable",
        "reply_head",
        "request_head",
        "scope",
        "since_s",
        "slot",
        "untyped",
        "upstream",
    )

    def __init__(
        self,
        lane: Lane,
        exchange: Exchange,
        target: Target,
        slot: Slot,
        connection: Connection,
        origin: Origin,
        form: ReplyForm,
        edits: ResultEdits,
        upstream: Upstream,
        bucket: Bucket | None,
        call: Call,
        begin: Begin,
        odd_words: tuple[bytes, ...],
    ) -> None:
        config = target.service.config
        self._lane = lane
        self._begin = begin
        self._origin = origin
        self._connection = connection
        self._backend = exchange.backend
        self._exposed_name = exchange.exposed_name
        self._method = exchange.envelope.method or ""
        self._transport = exchange.transport
        self._server_name = target.name
        self._timeout_s = config.call_timeout_s
        self.since_s = lane.clock.now_s()
        """When it was taken."""
        self.client = exchange.client
        self.principal = exchange.principal
        self.slot = slot
        self.name = target.edits[0][2] if target.edits else None
        """JSON string, where the server knows the thing by another name."""
        self.reply_head = form.head
        self.coding = form.coding
        self.compress_min_bytes = form.compress_min_bytes
        self.compress_max_bytes = form.compress_max_bytes
        self.meta_changes = connection.dialect.meta_changes(exchange.client) if connection.dialect is not None else []
        self.untyped, self.complete = edits
        self.odd_words = list(odd_words)
        """Calls with one of these in them are another affair."""
        self.upstream = upstream
        self.request_head = connection.request_head(call)
        """Over HTTP: what the request is sent after."""
        self.repeatable = connection.may_repeat(call)
        self.bucket = bucket
        """Of the caller, unless it may make as many requests as it likes."""
        self.scope = origin.scope_of(exchange.client)
        self.balance = config.balance
        """Of the replicas of one server."""
        self.max_in_flight = config.max_in_flight

    def promote(
        self,
        protocol: object,
        request: bytes,
        start: int,
        upstream_id: int,
        began_s: float,
        sent_on: object,
        received: bytes,
    ) -> None:
        """From native code: this call is the slow lane's now.

        `start`: where the message begins in `request`. `sent_on`: over HTTP, the connection to the server, and
        `received` what came there in answer.
        """
        lane = self._lane
        waited_s = lane.clock.now_s() - began_s
        exchange = self._origin.resume(protocol, request, self.client, self.principal, lane.done, waited_s)
        exchange.started_s = began_s
        exchange.backend = self._backend
        lane.resumed()
        sent: Call | None = None

        def send(listener: CallListener, message: bytes, envelope: Envelope) -> Call:
            nonlocal sent
            span = envelope.name_span
            sent = self._connection.resume(
                listener,
                self.client,
                message,
                envelope,
                b"%d" % upstream_id,
                name=self._server_name,
                edits=[(*span, self.name)] if self.name is not None and span is not None else [],
                timeout_s=self._timeout_s,
                began_s=began_s,
            )
            return sent

        self._begin(exchange, send)
        if sent is not None and sent_on is not None:
            self._connection.take_over(sent, sent_on, received, began_s)

    def done(self, ok: int, tool_error: int, counts: list[int], sum_s: float) -> ExchangesDone:
        """What the relay counted."""
        return ExchangesDone(
            method=self._method,
            name=self._exposed_name or "",
            backend=self._backend,
            transport=self._transport,
            stateless=self.client.stateless,
            principal=self.principal.name,
            outcomes={outcome: count for outcome, count in (("ok", ok), ("tool_error", tool_error)) if count},
            counts=counts,
            sum_s=sum_s,
        )

    def ended(self, tool_failed: bool, duration_s: float) -> ExchangeDone:
        """One call of them."""
        return ExchangeDone(
            method=self._method,
            name=self._exposed_name or "",
            backend=self._backend,
            transport=self._transport,
            stateless=self.client.stateless,
            principal=self.principal.name,
            outcome="tool_error" if tool_failed else "ok",
            duration_s=duration_s,
        )

    def row(
        self, ok: int, tool_error: int, sum_s: float, last_s: float, durations: list[tuple[int, int]]
    ) -> dict[str, object]:
        """For operators: what is repeated for whom, and what it did so far. No id of a session, no token."""
        now_s = self._lane.clock.now_s()
        calls = ok + tool_error
        own = (slot for slot in self.slot.siblings if slot.connection is self._connection)
        return {
            "transport": self._transport,
            "era": "stateless" if self.client.stateless else "session",
            "client": _name_of(self.client),
            "principal": self.principal.name,
            "method": self._method,
            "name": self._exposed_name or "",
            "backend": self._backend,
            "serves": self.slot.serves,
            "replica": next(own, self.slot).replica + 1,
            "calls": calls,
            "tool_errors": tool_error,
            "mean_s": round(sum_s / calls, 6) if calls else None,
            "durations": durations,
            "age_s": round(now_s - self.since_s, 3),
            "used_ago_s": round(now_s - last_s, 3) if calls else None,
        }


def _name_of(client: ClientView) -> str:
    """What the client calls itself."""
    name = json_value(client.info).get("name") if client.info is not None else None
    return name[:_MAX_NAME_CHARS] if isinstance(name, str) else ""
