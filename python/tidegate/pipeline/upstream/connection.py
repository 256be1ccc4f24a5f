"""A conversation with one server: ids, progress, cancellation, deadlines, and whose message it is.

Requests of many clients share it; each gets an id of the connection's own, and what comes back is matched
by that id alone. A server that answers twice, answers an id nobody used, or sends what is no message harms
nobody: it is counted and dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend, Limits
from tidegate.errors import (
    NoMemory,
    TidegateError,
    UpstreamClosed,
    UpstreamProtocol,
    UpstreamTimeout,
)
from tidegate.pipeline.codec import (
    ERROR,
    NOTIFICATION,
    REQUEST,
    RESULT,
    Envelope,
    Upstream,
    find_member,
    scan,
    splice,
)
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.exchange import CallListener, ClientView, Exchange, Question, SessionPort
from tidegate.pipeline.own_answers.seam import NO_ANSWERS, Answers
from tidegate.pipeline.upstream.dialect import Dialect, Edit
from tidegate.pipeline.upstream.followed_tasks import FollowedTask, FollowedTasks, names_task
from tidegate.pipeline.upstream.link import Call, Link
from tidegate.pipeline.upstream.repeating import READING
from tidegate.pipeline.upstream.wordless import wordless
from tidegate.protocol.meta_keys import SUBSCRIPTION_ID
from tidegate.protocol.methods import ASKABLE, LIST_CHANGED

if TYPE_CHECKING:
    from tidegate.pipeline.upstream.slot import Fail, Slot, Use

_MAX_ASKED = 256
"""Questions of one server that may be open."""

_OBJECT = ord("{")
SETTLE_S = 5.0
"""How long a request that was given up may still have a question on its way."""

_log = logging.getLogger("tidegate.upstream")


class ConnectionOwner(Protocol):
    """A service, as its connections see it."""

    clock: Clock
    deadlines: Deadlines
    config: Backend

    wordless: bool
    """What it says beside its results goes on without its words."""

    @property
    def limits(self) -> Limits: ...

    @property
    def rules(self) -> object:
        """Those by which calls are let in: another object when they are others."""

    def list_changed(self, connection: Connection, kind: str) -> None: ...

    def listening(self, connection: Connection) -> None:
        """The server's own words arrive from now on: changes before that may have been missed."""

    def resource_updated(self, connection: Connection, message: bytes, envelope: Envelope) -> None: ...

    def logged(self, connection: Connection, message: bytes, envelope: Envelope) -> None:
        """A log line that no single request can be shown to have caused."""

    def call_expired(self, connection: Connection) -> None:
        """A request over it met its deadline."""

    def connection_lost(self, connection: Connection, error: TidegateError) -> None: ...

    def acquire(self, client: ClientView, use: Use, fail: Fail) -> None:
        """A connection for this client, which may be another one than before."""


class WaitingLine(Protocol):
    """Requests that wait until this connection has fewer of them."""

    def moved(self) -> None:
        """One is over, or the connection is."""


class OwnCall:
    """A request that the gateway makes for itself."""

    __slots__ = ("future", "on_notification")

    def __init__(self, on_notification: Callable[[bytes, Envelope], None] | None = None) -> None:
        self.future: asyncio.Future[tuple[bytes, Envelope]] = asyncio.get_running_loop().create_future()
        self.on_notification = on_notification

    def notified(self, message: bytes, envelope: Envelope) -> None:
        if self.on_notification is not None:
            self.on_notification(message, envelope)

    def asked(self, question: Question) -> None:
        question.refuse("A gateway asked this, not its client")

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if not self.future.done():
            self.future.set_result((message, envelope))

    def failed(self, error: TidegateError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Unheard:
    """Listens to an answer that changes nothing."""

    __slots__ = ("_go_on",)

    def __init__(self, go_on: Callable[[], None] | None = None) -> None:
        self._go_on = go_on
        """What waits for the answer, whatever it is."""

    def notified(self, message: bytes, envelope: Envelope) -> None:
        pass

    def asked(self, question: Question) -> None:
        question.refuse("A gateway asked this, not its client")

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if self._go_on is not None:
            self._go_on()

    def failed(self, error: TidegateError) -> None:
        _log.info("unanswered error=%s", error)
        if self._go_on is not None:
            self._go_on()


class Connection:
    """One server, one link. `session` is set when the connection serves that client alone."""

    def __init__(
        self, backend: str, link: Link, owner: ConnectionOwner, *, depth: int, session: SessionPort | None
    ) -> None:
        self.backend = backend
        self.link = link
        self.session = session
        self.dialect: Dialect | None = None
        self.keeps_session = False
        """Whether the server was greeted by a handshake."""
        self.capabilities: dict[str, object] = {}
        self.server_info: bytes | None = None
        self.instructions: str | None = None
        self.version = ""
        self.repeatable: frozenset[str] = frozenset()
        """Tools of which the server said that calling them twice does no harm."""
        self.closed = False
        self._over = False
        """Whoever has it was told that it is lost. `closed` comes before that: nothing new is taken from then on."""
        self.lost_by: TidegateError | None = None
        """Why it is closed."""
        self.changed_early: set[str] = set()
        """Lists that changed before anybody could be told."""
        self.dropped = 0
        """Messages nobody could be found for."""
        self.relayed: Upstream | None = None
        """The relay's part of it, which has calls of its own."""
        self._request_head: Callable[[Call], bytes] | None = None
        """Over HTTP, from the link: what the relay is to send before the body of a call like this one."""
        self._spent: Call | None = None
        """Stands for all calls that the relay has answered, when their streams say more. Nobody listens."""
        self.line: WaitingLine | None = None
        """Whoever comes now waits behind these; None when nobody waits."""
        self.own_answers: Answers = NO_ANSWERS
        """What the gateway answers in its clients' place. Set before anything is said."""
        self._owner = owner
        self._deadlines = owner.deadlines
        self._depth = depth
        self._pending: dict[bytes, Call] = {}
        self._moving: set[bytes] = set()
        """Of these, what waits to be sent on the next connection."""
        self._next_id = 0
        self._asked: dict[bytes, Question] = {}
        self._unsettled_until_s = 0.0
        """Until then, on the loop's clock, what comes without a stream may belong to a request that was given up."""
        self._given_up_by = ""
        """Whose that request was; empty for several principals'."""
        self._tasks = FollowedTasks()

    def speak(self, dialect: Dialect) -> None:
        """What the server speaks has been found out."""
        self.dialect = dialect
        self.keeps_session = dialect.keeps_session

    # -- towards the server -------------------------------------------------------------------------------

    def call(
        self,
        listener: CallListener,
        client: ClientView,
        message: bytes,
        envelope: Envelope,
        *,
        name: str | None,
        edits: list[Edit],
        timeout_s: float,
        headers: tuple[tuple[str, str], ...] = (),
        once: bool = False,
    ) -> Call | None:
        """Sends a client's request on; None when that cannot be done, of which the listener was told.

        `once`: not again, even if it did not arrive.
        """
        dialect = self.dialect
        if self.closed or dialect is None:
            listener.failed(UpstreamClosed(f"backend `{self.backend}` is not connected"))
            return None
        upstream_id = self._new_id()
        call = Call(self, listener, upstream_id, envelope.method or "", name)
        call.client_token = envelope.progress_token
        call.headers = headers
        call.client = client
        call.sent = client, message, envelope, edits
        call.rules = self._owner.rules if not once else None
        try:
            shaped = dialect.shape(message, envelope, client, upstream_id, edits)
            self._pending[upstream_id] = call
            self.set_deadline(call, timeout_s)
            self.link.send(shaped, call)
        except MemoryError:
            self._pending.pop(upstream_id, None)
            self._disarm(call)
            listener.failed(NoMemory(f"no memory is left for a request of {len(message)} bytes"))
            return None
        return call

    def relay_by(
        self,
        relayed: Upstream,
        write: Callable[[bytes], None] | None,
        writer: object,
        request_head: Callable[[Call], bytes] | None = None,
    ) -> None:
        """As of `LinkOwner`. The link is open from now on."""
        relayed.attach(write, writer, self, self._pending)
        self.relayed = relayed
        self._request_head = request_head

    def request_head(self, call: Call) -> bytes | None:
        """What a call like this one is sent after, over HTTP."""
        return self._request_head(call) if self._request_head is not None else None

    def late(self, message: bytes) -> None:
        """From the relay: what a server says on the stream of a call that it has answered."""
        if self._spent is None:
            self._spent = Call(self, _Unheard(), b"0", "", None)
        self.received(message, self._spent)

    def resume(
        self,
        listener: CallListener,
        client: ClientView,
        message: bytes,
        envelope: Envelope,
        upstream_id: bytes,
        *,
        name: str | None,
        edits: list[Edit],
        timeout_s: float,
        began_s: float,
    ) -> Call:
        """This call was sent by the relay, as `call` would have sent it. Over HTTP, `take_over` follows."""
        call = Call(self, listener, upstream_id, envelope.method or "", name)
        call.client = client
        call.sent = client, message, envelope, edits
        call.rules = self._owner.rules
        call.timeout_s = timeout_s
        call.deadline_s = began_s + timeout_s
        self._pending[upstream_id] = call
        self._deadlines.watch(call)
        return call

    def take_over(self, call: Call, connection: object, received: bytes, began_s: float) -> None:
        """A resumed call is on this connection of the link's, where so much came in answer."""
        if call.sent is not None and self.dialect is not None:
            client, message, envelope, edits = call.sent
            self.link.take_over(
                call, self.dialect.shape(message, envelope, client, call.id, edits), connection, received, began_s
            )

    def request(self, listener: CallListener, method: str, params: dict[str, object], timeout_s: float) -> Call:
        """Sends a request of the gateway's own; `params` must already be in the server's dialect."""
        upstream_id = self._new_id()
        call = Call(self, listener, upstream_id, method, None)
        message = b'{"jsonrpc":"2.0","id":%b,"method":%b' % (upstream_id, json.dumps(method).encode())
        message += b',"params":' + json.dumps(params, separators=(",", ":")).encode() + b"}"
        self._pending[upstream_id] = call
        self.set_deadline(call, timeout_s)
        self.link.send(message, call)
        return call

    async def ask(self, method: str, params: dict[str, object], timeout_s: float) -> tuple[bytes, Envelope]:
        """A request of the gateway's own and its RESULT or ERROR message. Raises: UpstreamError."""
        if self.lost_by is not None:
            # A server may be gone before the first word is said to it.
            raise self.lost_by
        own = OwnCall()
        call = self.request(own, method, params, timeout_s)
        try:
            return await own.future
        finally:
            if not own.future.done() or own.future.cancelled():
                self.abandon(call)

    def notify(self, method: str, params: dict[str, object] | None = None) -> None:
        if not self.closed:
            body: dict[str, object] = {"jsonrpc": "2.0", "method": method}
            if params is not None:
                body["params"] = params
            self.link.send(json.dumps(body, separators=(",", ":")).encode(), None)

    def forward_request(self, method: str, params: dict[str, object], timeout_s: float) -> None:
        """A request of the gateway's own whose answer changes nothing."""
        if not self.closed:
            self.request(_Unheard(), method, params, timeout_s)

    def request_then(self, go_on: Callable[[], None], method: str, params: dict[str, object], timeout_s: float) -> None:
        """A request of the gateway's own; `go_on` is called when it is over, however."""
        if self.closed:
            go_on()
        else:
            self.request(_Unheard(go_on), method, params, timeout_s)

    def forward(self, message: bytes) -> None:
        """Passes a client's notification on as it is."""
        if not self.closed:
            self.link.send(message, None)

    def abandon(self, call: Call) -> None:
        """The caller is gone: the server is told, and whatever it still answers is dropped."""
        if self._pending.pop(call.id, None) is None:
            return
        self._disarm(call)
        if call.method in ASKABLE:
            now_s = asyncio.get_running_loop().time()
            if now_s < self._unsettled_until_s and self._given_up_by != call.principal:
                self._given_up_by = ""  # By several.
            else:
                self._given_up_by = call.principal
            self._unsettled_until_s = now_s + SETTLE_S
        for question in [one for one in self._asked.values() if one.causes and call in one.causes]:
            question.causes = [cause for cause in question.causes if cause is not call]
            if not question.causes:
                question.give_up("The client gave up the request that this belongs to")
        if not self.closed:
            if not self.link.cancels_by_closing:
                self.notify(
                    "notifications/cancelled", {"requestId": json.loads(call.id), "reason": "the caller gave up"}
                )
            self.link.abandon(call)

    @property
    def in_flight(self) -> int:
        return len(self._pending) if self.relayed is None else len(self._pending) + self.relayed.in_flight

    @property
    def requests(self) -> int:
        """Made so far, the gateway's own among them."""
        return self._next_id if self.relayed is None else self.relayed.ids_given

    @property
    def working(self) -> int:
        """As `in_flight`, less the streams on which the server tells of changes, which may stay open for ever."""
        working = sum(call.method != "subscriptions/listen" for call in self._pending.values())
        return working if self.relayed is None else working + self.relayed.in_flight

    def _new_id(self) -> bytes:
        if self.relayed is not None:
            return b"%d" % self.relayed.next_id()
        self._next_id += 1
        return b"%d" % self._next_id

    def set_deadline(self, call: Call, timeout_s: float) -> None:
        """0 for none."""
        if timeout_s > 0:
            call.timeout_s = timeout_s
            call.deadline_s = self._owner.clock.now_s() + timeout_s
            self._deadlines.watch(call)

    def expired(self, call: Call) -> None:
        if call.id in self._pending:
            self.abandon(call)
            call.listener.failed(
                UpstreamTimeout(f"backend `{self.backend}` did not answer `{call.method}` within {call.timeout_s:g} s")
            )
            self._owner.call_expired(self)

    def _disarm(self, call: Call) -> None:
        call.open = False
        self._deadlines.forget(call)
        if self.line is not None:
            self.line.moved()

    # -- tasks of a session server ------------------------------------------------------------------------

    def follow_task(self, task_id: str, task: FollowedTask, ttl_ms: int | None) -> None:
        """What the server says of this task is `task`'s to hear."""
        self._tasks.follow(task_id, task, ttl_ms)

    def unfollow_task(self, task_id: str) -> None:
        self._tasks.unfollow(task_id)

    @property
    def has_tasks(self) -> bool:
        """Whether one that keeps the connection open may still be running."""
        return self._tasks.busy

    @property
    def offers_extensions(self) -> bool:
        return "extensions" in self.capabilities

    # -- LinkOwner ----------------------------------------------------------------------------------------

    def received(self, message: bytes, call: Call | None) -> bool:
        try:
            envelope = scan(message, self._depth)
        except TidegateError as error:
            self.garbled(str(error), call)
            return False
        except MemoryError:
            self.no_memory(len(message), call)
            return False
        try:
            return self._take(message, envelope, call)
        except Exception:
            # What else came with this message, for others, must not be lost over it.
            _log.exception("message_failed backend=%s", self.backend)
            return False

    def _take(self, message: bytes, envelope: Envelope, call: Call | None) -> bool:
        kind = envelope.kind
        if kind in (RESULT, ERROR):
            key = envelope.id
            if key is None and call is not None:
                key = call.id
            found = self._pending.pop(key, None) if key is not None else None
            if found is None:
                self._answer_to_nobody(envelope)
                return False
            self._disarm(found)
            span = envelope.result_span
            if span is not None and message[span[0]] != _OBJECT:
                error = UpstreamProtocol(f"backend `{self.backend}` answered with a result that is no object")
                found.listener.failed(error)
                return True
            try:
                found.listener.answered(message, envelope)
            except MemoryError:
                found.listener.failed(NoMemory(f"no memory is left for an answer of {len(message)} bytes"))
            except Exception as error:
                found.listener.failed(TidegateError(f"the gateway failed over this answer: {error}"))
                raise
            return True
        if call is None and self.relayed is not None:
            # It may concern any request, so all must be known here.
            self.relayed.settle()
        if kind == NOTIFICATION:
            self._notification(message, envelope, call)
        elif kind == REQUEST:
            self._question(message, envelope, call)
        else:
            self.garbled("it sent a JSON-RPC batch", call)
        return False

    def garbled(self, reason: str, call: Call | None) -> None:
        self.dropped += 1
        if call is not None and self._pending.pop(call.id, None) is not None:
            self._disarm(call)
            call.listener.failed(
                UpstreamProtocol(f"backend `{self.backend}` answered with what is no message: {reason}")
            )

    def no_memory(self, size: int, call: Call | None) -> None:
        """A message of `size` bytes could not be taken in. Unless it is clear whose, callers meet their deadline."""
        self.dropped += 1
        if call is None and len(self._pending) == 1:
            call = next(iter(self._pending.values()))
        if call is not None:
            self.call_failed(call, NoMemory(f"no memory is left for an answer of {size} bytes"))

    def listening(self) -> None:
        self._owner.listening(self)

    def oversized(self, limit_bytes: int) -> None:
        self.dropped += 1
        if len(self._pending) == 1:
            # Whose answer it was is unknown unless only one is waited for; others meet their deadline.
            call = next(iter(self._pending.values()))
            error = UpstreamProtocol(f"backend `{self.backend}` answered with a message over {limit_bytes} bytes")
            self.call_failed(call, error)

    def may_repeat(self, call: Call) -> bool:
        if call.method == "tools/call":
            return call.params_name in self.repeatable and call.rules is self._owner.rules
        return call.method in READING

    def never_ran(self, call: Call, error: TidegateError) -> None:
        """Sent again on the connection that comes after this one: once, or as often as there are replicas."""
        sent, call.sent = call.sent, None
        if sent is None or call.id not in self._pending:
            self.call_failed(call, error)
            return
        client, message, envelope, edits = sent
        moves = getattr(call, "moves", 0) + 1
        self._moving.add(call.id)

        def use(slot: Slot, connection: Connection) -> None:
            if self._pending.pop(call.id, None) is None:
                return  # Its caller or its deadline was quicker.
            self._disarm(call)
            if connection.keeps_session is not self.keeps_session or call.rules is not self._owner.rules:
                # Nobody would ask the filters of now; whoever sends it again is asked.
                call.listener.failed(error)
                return
            left_s = call.deadline_s - self._owner.clock.now_s() if call.timeout_s else 0.0
            again = connection.call(
                call.listener,
                client,
                message,
                envelope,
                name=call.params_name,
                edits=edits,
                timeout_s=left_s,
                headers=call.headers,
            )
            if again is not None:
                again.moves = moves
                if moves >= self._owner.config.replicas:
                    again.sent = None
                again.timeout_s = call.timeout_s
                again.client_token = call.client_token
                call.successor = again

        self._owner.acquire(client, use, lambda why: self.call_failed(call, why))

    def call_failed(self, call: Call, error: TidegateError) -> None:
        if self._pending.pop(call.id, None) is not None:
            self._disarm(call)
            call.listener.failed(error)

    def lost(self, error: TidegateError) -> None:
        if self.relayed is not None:
            self.relayed.close()
        pending = [call for call in self._pending.values() if call.id not in self._moving]
        already, self.closed, self._over = self._over, True, True
        for call in pending:
            self.call_failed(call, error)
        if not already:
            self._gone(error)
        if self.relayed is not None:
            self._next_id = self.relayed.ids_given
            self.relayed.detach()
            self.relayed = None

    def ending(self) -> None:
        if self.relayed is not None:
            self.relayed.close()
        self.closed = True

    def retired(self, error: TidegateError) -> None:
        if not self._over:
            if self.relayed is not None:
                self.relayed.close()
            self.closed = self._over = True
            self._gone(error)

    def _gone(self, error: TidegateError) -> None:
        self.lost_by = error
        asked, self._asked = self._asked, {}
        for question in asked.values():
            question.withdraw()
        self._tasks.clear()
        self._owner.connection_lost(self, error)

    # -- what a server says by itself -----------------------------------------------------------------------

    def _answer_to_nobody(self, envelope: Envelope) -> None:
        self.dropped += 1

    def _sole_askable(self, *, asks: bool = False) -> Call | None:
        """The client's request that a message without a stream must belong to: only one is running.

        `asks`: it is a question that names no task, which a task would have named.
        """
        calls = [call for call in self._pending.values() if call.method in ASKABLE]
        if not asks or not calls:
            calls += [call for call in self._pending.values() if call.method == "tasks/result"]
        if len(calls) != 1:
            return None
        if asyncio.get_running_loop().time() < self._unsettled_until_s and (
            asks or calls[0].principal != self._given_up_by
        ):
            # A late question would be put in the wrong place; a late line at worst tells a client of its own request.
            return None
        return calls[0]

    def _latest_exchange(self) -> Exchange | None:
        for call in reversed(self._pending.values()):
            exchange = _exchange_of(call.listener)
            if exchange is not None:
                return exchange
        return None

    def _notification(self, message: bytes, envelope: Envelope, call: Call | None) -> None:
        if self._owner.wordless:
            left = wordless(message, envelope)
            if left is None:
                self.dropped += 1
                return
            message, envelope = left
        method = envelope.method or ""
        if method == "notifications/progress":
            token = envelope.progress_token
            target = self._pending.get(token) if token is not None else None
            span = envelope.progress_token_span
            if target is None and token is not None and self._tasks.progressed(token, message, envelope):
                return
            if target is None or target.client_token is None or span is None:
                self.dropped += 1
                return
            restored = splice(message, [(span[0], span[1], target.client_token)])
            target.listener.notified(restored, envelope)
        elif method in LIST_CHANGED:
            self._owner.list_changed(self, LIST_CHANGED[method])
        elif method == "notifications/resources/updated":
            self._owner.resource_updated(self, message, envelope)
        elif method == "notifications/cancelled":
            self._question_withdrawn(message, envelope)
        elif method == "notifications/subscriptions/acknowledged":
            self._acknowledged(message, envelope)
        elif call is not None:
            call.listener.notified(message, envelope)
        elif method == "notifications/tasks/status" and self._tasks.changed(message, envelope, self.session is None):
            pass
        elif self.session is not None:
            self.session.tell(message, envelope, self._latest_exchange())
        elif method == "notifications/message":
            sole = self._sole_askable()
            if sole is not None:
                sole.listener.notified(message, envelope)
            elif self.keeps_session:
                self._owner.logged(self, message, envelope)
            else:
                # Each line is some request's alone, and nothing says which.
                self.dropped += 1
        else:
            self.dropped += 1

    def _acknowledged(self, message: bytes, envelope: Envelope) -> None:
        span = envelope.meta_span
        at = find_member(message, SUBSCRIPTION_ID, *span) if span is not None else None
        listening = self._pending.get(message[at[0] : at[1]]) if at is not None else None
        if listening is not None:
            listening.listener.notified(message, envelope)

    def _question(self, message: bytes, envelope: Envelope, call: Call | None) -> None:
        asked_id = envelope.id
        assert asked_id is not None
        if envelope.method == "ping":
            self.link.send(b'{"jsonrpc":"2.0","id":' + asked_id + b',"result":{}}', None)
            return

        waiting: list[Call] = []

        def reply(answer: bytes) -> None:
            if self._asked.pop(asked_id, None) is not None and not self.closed:
                for held in waiting:
                    self._hurry(held)
                self.link.send(answer, None)

        question = Question(message, envelope, reply)
        if asked_id in self._asked:
            self.dropped += 1
            return
        self._asked[asked_id] = question
        if len(self._asked) > _MAX_ASKED:
            question.refuse(f"{_MAX_ASKED} requests to the client are open already")
            return
        if self.own_answers.on and self._answered_by_gateway(question, call, waiting):
            return
        if self.session is not None:
            self._wait_for(question, [call] if call is not None else list(self._pending.values()), waiting)
            cause_of = _exchange_of(call.listener) if call is not None else None
            self.session.ask(question, cause_of or self._latest_exchange())
            return
        task = self._tasks.related(message, envelope)
        if task is not None:
            task.asked(question)
            return
        cause = call
        if cause is None and not names_task(message, envelope):
            cause = self._sole_askable(asks=True)
        if cause is not None:
            cause.listener.asked(question)
        else:
            question.refuse("It cannot be told which client's request this belongs to")

    def _answered_by_gateway(self, question: Question, call: Call | None, waiting: list[Call]) -> bool:
        """Whether the gateway sees to it. Of several requests that may be the cause it need not know which one it is,
        as long as they are in one caller's name.
        """
        if names_task(question.message, question.envelope):
            return False
        causes = [call] if call is not None else [one for one in self._pending.values() if one.method in ASKABLE]
        asker = self.own_answers.asker(question, causes, self.session)
        if asker is None:
            return False
        late = call is None and asyncio.get_running_loop().time() < self._unsettled_until_s
        if late and self._given_up_by != asker.client.principal:
            # It may belong to what another caller gave up.
            return False
        question.causes = causes
        self._wait_for(question, causes, waiting)
        self.own_answers.answer(question, asker)
        return True

    def _wait_for(self, question: Question, asking: list[Call], waiting: list[Call]) -> None:
        """Whatever made the server ask has more time. Notes in `waiting` what that is. A call whose own client is away
        to answer something has all the time already.
        """
        timed = (held for held in asking if held.timeout_s > 0 and held.deadline_s < inf)
        waiting.extend(held for held in timed if held.method in ASKABLE)
        for held in waiting:
            self._be_patient(held)

    def _be_patient(self, call: Call) -> None:
        """A person or a model is asked because of it, who may take as long as a person of the other era may."""
        if call.questions == 0:
            call.usual_timeout_s = call.timeout_s
        call.questions += 1
        self.set_deadline(call, max(call.usual_timeout_s, self._owner.limits.suspended_s))

    def _hurry(self, call: Call) -> None:
        """The answer is there: the server has all its time again."""
        call.questions -= 1
        if call.questions == 0 and call.id in self._pending and call.deadline_s < inf:
            self.set_deadline(call, call.usual_timeout_s)

    def _question_withdrawn(self, message: bytes, envelope: Envelope) -> None:
        span = envelope.params_span
        at = find_member(message, "requestId", *span) if span is not None else None
        question = self._asked.pop(message[at[0] : at[1]], None) if at is not None else None
        if question is not None:
            question.withdraw()
            if not self._asked:
                for call in self._pending.values():
                    if call.questions:
                        call.questions = 1
                        self._hurry(call)

    async def aclose(self) -> None:
        self.lost(UpstreamClosed(f"backend `{self.backend}` was closed"))
        await self.link.aclose()


def _exchange_of(listener: CallListener) -> Exchange | None:
    """The client's request behind a call, if its session is to be asked on that request's own stream."""
    if isinstance(listener, Exchange):
        return listener
    exchange = getattr(listener, "exchange", None)
    return exchange if isinstance(exchange, Exchange) else None
