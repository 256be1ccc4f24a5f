"""A client's request as the rest of the pipeline sees it while filters stand between: what comes back passes them.

It takes the place of the client's own exchange, so whatever serves it (straight on, over a bridge, as a task) needs to
know nothing of filters, and nothing reaches the client but through here. The relay learns nothing from it: it has no
origin. Two kinds of request are made so: calls of filtered tools, and requests about the tasks that come of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.config.snapshot import Limits
from tidegate.errors import FilterFailed, TidegateError, UpstreamProtocol
from tidegate.pipeline.codec import ERROR, Envelope, find_member, patch_object, scan, splice
from tidegate.pipeline.era.bridge.pieces import elements, members, text_of
from tidegate.pipeline.era.bridge.tasks.requests import error_message, result_message
from tidegate.pipeline.exchange import Exchange, Question
from tidegate.pipeline.filtering.approval import KeptApprovals
from tidegate.pipeline.filtering.ends import NOT_SENT, UNKNOWN, Owed, claims_end
from tidegate.pipeline.filtering.filters import Filter, Filters
from tidegate.pipeline.filtering.judging import Approvals, Bench, Judging, Outcome
from tidegate.pipeline.filtering.plain import member_of, reads_one_way, refusal
from tidegate.pipeline.json_text import json_bytes
from tidegate.sandbox.guest import Caller

_TASK: Final = (
    "taskId",
    "status",
    "createdAt",
    "lastUpdatedAt",
    "ttl",
    "ttlMs",
    "pollInterval",
    "pollIntervalMs",
)
"""What a task says of itself that is none of its result: `statusMessage` may be."""
_FRESH_S: Final = 0.1
"""How long a call may wait for its server after filters let it pass that might say otherwise by then."""
_DEPTH: Final = 1 << 16
"""Of what is written here around something that was scanned under the limit."""

GoOn = Callable[[bytes], None]


class ResultBench(Bench, Protocol):
    """What screened exchanges need of `Screens`."""

    filters: Filters
    kept: KeptApprovals
    limits: Limits
    caller_of: Callable[[Filter, Exchange], Caller]

    def again(self, exchange: ScreenedExchange) -> None:
        """It is to pass its filters anew, and to be led anew then."""


class ScreenedExchange(Exchange):
    """A call of a filtered tool, on its way."""

    __slots__ = (
        "_bench",
        "_judging",
        "_owed",
        "_passed_s",
        "approvals",
        "arguments",
        "filters",
        "outer",
        "tries",
        "unscreened",
    )

    def __init__(
        self,
        bench: ResultBench,
        outer: Exchange,
        message: bytes,
        envelope: Envelope,
        *,
        filters: tuple[Filter, ...],
        arguments: bytes,
        approvals: Approvals,
        unscreened: tuple[bytes, Envelope],
        tries: int = 0,
        owed: Owed | None = None,
    ) -> None:
        """`message`: as the filters left it; `unscreened`: as they were shown it. `owed`: those that let it pass and
        are to be told how it ended.
        """
        super().__init__(message, envelope, outer.client, outer.principal, outer.transport)
        self.outer = outer
        self.exposed_name = outer.exposed_name
        self.started_s = outer.started_s
        self.filters = filters
        """By which it was let in."""
        self.arguments = arguments
        """As the server gets them, raw."""
        self.approvals = approvals
        self.unscreened = unscreened
        self.tries = tries
        """How often it had passed them before."""
        self._bench = bench
        self._judging: Judging | None = None
        self._owed = owed if owed is not None else Owed()
        self._passed_s = bench.clock.now_s()
        outer.abandon = self._outer_over

    def may_use(self, kind: str, name: str) -> bool:
        return self.outer.may_use(kind, name)

    @property
    def as_sent(self) -> tuple[bytes, Envelope]:
        return self.outer.as_sent

    @property
    def ages(self) -> bool:
        return any(one.ages for one in self.filters)

    @property
    def stale(self) -> bool:
        return self._bench.clock.now_s() - self._passed_s > _FRESH_S and self.ages

    @property
    def urgent(self) -> bool:
        return self.outer.urgent

    def recheck(self, go_on: Callable[[], None]) -> None:
        bench, outer = self._bench, self.outer
        # What they let pass was not sent; what they are about to let pass is another thing to them.
        self._owed.tell(NOT_SENT)
        owed = Owed()

        def judged(outcome: Outcome) -> None:
            self._judging = None
            if self.done:
                owed.tell(NOT_SENT)
                return
            self._owed = owed
            if outcome.kind == "pass" and outcome.value == self.arguments:
                self._passed_s = bench.clock.now_s()
                go_on()
            else:
                # Whatever they say now, it is said in the usual way, and what has begun is begun anew.
                bench.again(self)

        message, envelope = self.unscreened
        span = envelope.arguments_span
        arguments = message[span[0] : span[1]] if span is not None else b"{}"
        self._judging = Judging(
            bench,
            "request",
            self.filters,
            self.exposed_name or "",
            arguments,
            None,
            lambda one: bench.caller_of(one, outer),
            self.approvals,
            judged,
            owed,
        )
        self._judging.start()

    @property
    def at_client(self) -> Exchange:
        return self.outer.at_client

    def give_up(self) -> None:
        """Stops the work on it; the client is told nothing."""
        self.done = True
        self._owed.tell(NOT_SENT)
        abandon, self.abandon = self.abandon, None
        if abandon is not None:
            abandon()

    def _outer_over(self) -> None:
        """The client cancelled it, or somebody failed it."""
        judging, self._judging = self._judging, None
        if judging is not None:
            judging.cancel()
        if not self.done:
            self.cancel()

    def answered(self, message: bytes, envelope: Envelope) -> None:
        if not self.done:
            self._owed.tell(self._end_of(message, envelope))
        super().answered(message, envelope)

    def _end_of(self, message: bytes, envelope: Envelope) -> bytes:
        """What the server's answer says of how the call ended."""
        span = envelope.error_span if envelope.kind == ERROR else envelope.result_span
        if span is None:
            return UNKNOWN
        answer = message[span[0] : span[1]]
        if envelope.kind == ERROR:
            return _error_as_result(answer)
        # A question, or a task: it goes on, or is called again. And only we say that there is no result.
        whole = self._no_result(answer) is None and reads_one_way(answer) and not claims_end(answer)
        return answer if whole else UNKNOWN

    def _finish(self, error: TidegateError | None, code: int | None = None) -> None:
        self._owed.tell(UNKNOWN if self.sent else NOT_SENT)
        super()._finish(error, code)

    # -- on the way back ----------------------------------------------------------------------------------------

    def asked(self, question: Question) -> None:
        if self.done:
            question.refuse("The client of this request cannot be asked")
        else:
            self.outer.asked(question)

    def send_notification(self, message: bytes, envelope: Envelope) -> None:
        self.outer.notified(message, envelope)

    def send_result(self, message: bytes, envelope: Envelope, id_edit: tuple[int, int, bytes]) -> None:
        span = envelope.result_span
        assert span is not None
        result = message[span[0] : span[1]]

        def screened(now: bytes) -> None:
            if now is result:
                self.outer.answered(message, envelope)
                return
            written = splice(message, [(span[0], span[1], now)])
            self.outer.answered(written, scan(written, _DEPTH))

        self._screen_answer(result, screened)

    def answer_result(self, result: bytes) -> None:
        if self.done:
            return
        self._finish(None)
        self._screen_answer(result, self.outer.answer_result)

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        """An error of the server's says something, too: filters see it as the result that it stands in for."""
        span = envelope.error_span
        if span is None or not self._result_filters():
            self.outer.answered(message, envelope)
            return
        shown = _error_as_result(message[span[0] : span[1]])

        def screened(now: bytes) -> None:
            if now is shown:
                self.outer.answered(message, envelope)
            else:
                self._answer_instead(now)

        self._screen(shown, screened)

    def send_error(self, error: TidegateError) -> None:
        self.outer.failed(error)

    # -- what is screened ---------------------------------------------------------------------------------------

    def _screen_answer(self, answer: bytes, go_on: GoOn) -> None:
        """`answer`: a raw result of the request's method, of which filters see what a tool said."""
        if not self._result_filters():
            self._keep_approvals(answer)
            go_on(answer)
            return
        kept = self._no_result(answer)
        if kept is not None:
            self._keep_approvals(answer)
            go_on(kept)
        else:
            self._screen(answer, go_on)

    def _no_result(self, answer: bytes) -> bytes | None:
        """What is left of an answer that is not the tool's result: a question, or a task. None for a result."""
        known = members(answer)
        if self.client.stateless:
            kind = text_of(known.get("resultType"))
            if kind == "input_required":
                return _only(known, ("resultType", "inputRequests", "requestState"))
            if kind == "task":
                return _only(known, ("resultType", *_TASK))
            return None
        task = known.get("task", b"")
        if task.startswith(b"{") and member_of(self.message, self.envelope, "task") is not None:
            return b'{"task":' + _only(members(task), _TASK) + b"}"
        return None

    def _result_filters(self) -> tuple[Filter, ...]:
        """Those of now, whatever was in force when the call was made."""
        found = self._bench.filters.of(self.exposed_name or "")
        return tuple(one for one in reversed(found) if one.inspects("result"))

    def _screen(self, result: bytes, go_on: GoOn) -> None:
        outer = self.outer
        if outer.done:
            return
        if not reads_one_way(result):
            outer.failed(UpstreamProtocol(f"backend `{outer.backend}` answered with a key twice in one object"))
            return
        outer.abandon = self._outer_over
        bench = self._bench
        self._judging = Judging(
            bench,
            "result",
            self._result_filters(),
            self.exposed_name or "",
            self.arguments,
            result,
            lambda one: bench.caller_of(one, outer),
            self.approvals,
            lambda outcome: self._judged(outcome, result, go_on),
        )
        self._judging.start()

    def _judged(self, outcome: Outcome, result: bytes, go_on: GoOn) -> None:
        self._judging = None
        outer = self.outer
        if outer.done:
            return
        outer.abandon = None
        if outcome.kind == "pass":
            try:
                self._check_kind(outcome.value, result)
                go_on(outcome.value)
            except TidegateError as error:
                outer.failed(error)
            return
        by = outcome.filter.name if outcome.filter is not None else ""
        outer.refused_by = by
        if outcome.error is not None:
            outer.failed(outcome.error)
        else:
            outer.tool_failed = True
            words = f"the tool ran, and filter `{by}` holds its result back: {outcome.words}"
            self._hold_back(refusal(words, stateless=False), go_on)

    def _hold_back(self, instead: bytes, go_on: GoOn) -> None:
        """`instead`: a result that says so."""
        self._answer_instead(instead)

    def _answer_instead(self, result: bytes) -> None:
        """A tool's result in the place of whatever was to be answered."""
        self.outer.answered(*result_message(result))

    def _check_kind(self, now: bytes, before: bytes) -> None:
        """Raises: FilterFailed, for a result that a filter has made into something else."""
        if now is not before and text_of(members(now).get("resultType", b'"complete"')) != "complete":
            raise FilterFailed("a filter changed a result into what is no result")

    def _keep_approvals(self, answer: bytes) -> None:
        """The server asks something first: its retry goes through the filters again, and this person was asked."""
        if self.approvals and self.client.stateless:
            state = text_of(members(answer).get("requestState"))
            if state is not None:
                self._bench.kept.keep(self, state, self.approvals, self._bench.limits.suspended_s)


class ScreenedTaskExchange(ScreenedExchange):
    """A request about a task that came of a filtered tool: what the tool said is in the answer, if it has ended."""

    __slots__ = ()

    def _screen_answer(self, answer: bytes, go_on: GoOn) -> None:
        method = self.envelope.method
        if not self._result_filters():
            go_on(answer)
        elif method == "tasks/result":
            self._screen(answer, go_on)
        else:
            self._screen_state(answer, go_on)

    def _screen_state(self, answer: bytes, go_on: GoOn) -> None:
        """Of `tasks/get` and `tasks/cancel`: the state, with its result or error in the stateless era."""
        known = members(answer)
        kept = _only(known, ("resultType", *_TASK, "inputRequests", "requestState", "_meta"))
        part = next((name for name in ("result", "error") if name in known), None)
        if part is None:
            go_on(kept)
            return
        shown = known[part] if part == "result" else _error_as_result(known[part])

        def screened(now: bytes) -> None:
            if now is shown:
                go_on(patch_object(kept, [(part, known[part])]))
            else:
                go_on(patch_object(kept, [("status", b'"completed"'), ("result", now)]))

        self._screen(shown, screened)

    def send_error_message(self, reply: bytes, message: bytes, envelope: Envelope) -> None:
        span = envelope.error_span
        if self.envelope.method == "tasks/result" or span is None or not self._result_filters():
            super().send_error_message(reply, message, envelope)
            return
        # About the task, not of it: what the server says in words is left out.
        code = find_member(message, "code", *span) if message[span[0] : span[0] + 1] == b"{" else None
        said = message[code[0] : code[1]] if code is not None else b"-32603"
        self.outer.answered(*error_message(b'{"code":' + said + b',"message":"the server refused it"}'))

    def _hold_back(self, instead: bytes, go_on: GoOn) -> None:
        if self.envelope.method == "tasks/result":
            self._answer_instead(instead)
        else:
            # The state stays one; what was in it is this.
            go_on(instead)


class ScreenedTaskList(ScreenedExchange):
    """`tasks/list`: what tasks say of themselves in words may be of their results."""

    __slots__ = ()

    def _screen_answer(self, answer: bytes, go_on: GoOn) -> None:
        tasks = elements(members(answer).get("tasks", b"[]"))
        said = b"[" + b",".join(_only(members(task), _TASK) for task in tasks) + b"]"
        go_on(patch_object(answer, [("tasks", said)]))


def _only(known: dict[str, bytes], names: tuple[str, ...]) -> bytes:
    return patch_object(b"{}", [(name, known[name]) for name in names if name in known])


def _error_as_result(error: bytes) -> bytes:
    """A JSON-RPC error, raw, as a tool's result that says the same."""
    at = find_member(error, "message") if error.startswith(b"{") else None
    said = error[at[0] : at[1]] if at is not None else json_bytes("")
    if not said.startswith(b'"'):
        said = json_bytes(said.decode(errors="replace"))
    return (
        b'{"content":[{"type":"text","text":' + said + b'}],"structuredContent":{"error":' + error
        + b'},"isError":true}'
    )  # fmt: skip
