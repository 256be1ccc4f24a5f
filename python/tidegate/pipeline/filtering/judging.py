"""One call, or one result, before its filters: one after the other, until one stops it or all have passed it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from tidegate.clock import Clock
from tidegate.errors import FilterFailed, TidegateError
from tidegate.events import Events, FilterJudged
from tidegate.pipeline.filtering.ends import NOT_SENT, Owed, wants_ends
from tidegate.pipeline.filtering.filters import Filter
from tidegate.pipeline.filtering.plain import call_text, changed_object
from tidegate.sandbox.guest import Caller, FilterGuest, Job, Verdict, Which

FILTER_S: Final = 30.0
"""How long one filter may take over one call, its turn in the sandbox included. Its own deadline is far shorter."""
_MAX_WORDS_BYTES: Final = 4096
"""Of a filter's words that go to a client."""

_PASSES: Final = ("pass", "change")

Approvals = Mapping[Filter, bytes]
"""Filters that asked, and what a person agreed to: the digest of what each was shown."""


class Bench(Protocol):
    """What all judgings of a gateway share."""

    clock: Clock
    events: Events

    @property
    def depth(self) -> int:
        """Deepest nesting of a message."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    kind: Literal["pass", "refuse", "ask", "failed"]
    value: bytes
    """The arguments, or the result, as they are now."""
    filter: Filter | None = None
    """Who stopped it."""
    words: str = ""
    shown: bytes = b""
    """Of `ask`: the digest of what the person is asked about."""
    error: TidegateError | None = None


class Judging:
    """One after the other, by callbacks. After `cancel`, nobody is told anything."""

    def __init__(
        self,
        bench: Bench,
        which: Which,
        filters: tuple[Filter, ...],
        tool: str,
        arguments: bytes,
        result: bytes | None,
        caller_of: Callable[[Filter], Caller],
        approvals: Approvals,
        done: Callable[[Outcome], None],
        owed: Owed | None = None,
    ) -> None:
        """`filters`: in the order in which they are asked. `done` may be called before `start` returns. `owed`: gets
        those of a request that are to be told how it ended; unless all of them pass it, they are told so here.
        """
        self._owed = owed
        self._bench = bench
        self._which: Which = which
        self._left = list(reversed(filters))
        self._tool = tool
        self._arguments = arguments
        self._result = result
        self._caller_of = caller_of
        self._approvals = approvals
        self._done: Callable[[Outcome], None] | None = done
        self._job: Job | None = None

    def start(self) -> None:
        self._next()

    def cancel(self) -> None:
        self._done = None
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
        if self._owed is not None:
            self._owed.tell(NOT_SENT)

    @property
    def _value(self) -> bytes:
        return self._arguments if self._result is None else self._result

    def _next(self) -> None:
        if not self._left:
            self._end(Outcome("pass", self._value))
            return
        one = self._left.pop()
        one.with_guest(lambda guest, error: self._ask(one, guest, error))

    def _ask(self, one: Filter, guest: FilterGuest | None, error: TidegateError | None) -> None:
        if self._done is None:
            return
        if guest is None:
            self._failed(one, error or FilterFailed("it is not loaded"), self._bench.clock.now_s())
            return
        if not one.inspects(self._which):
            self._next()
            return
        caller = self._caller_of(one)
        shown = shown_digest(self._tool, self._arguments)
        approved = self._approvals.get(one) == shown
        call = call_text(self._tool, self._arguments, caller.name, approved=approved)
        began_s = self._bench.clock.now_s()

        def judged(verdict: Verdict | None, error: TidegateError | None) -> None:
            self._job = None
            if self._owed is not None and wants_ends(guest) and verdict is not None and verdict.kind in _PASSES:
                self._owed.note(guest, call, caller)
            if self._done is None:
                if self._owed is not None:
                    self._owed.tell(NOT_SENT)
                return
            if verdict is None:
                self._failed(one, error or FilterFailed("it said nothing"), began_s)
                return
            try:
                self._heed(one, verdict, shown, approved, began_s)
            except TidegateError as refused:
                self._failed(one, refused, began_s)

        job = guest.inspect(self._which, call, self._result, caller, judged, FILTER_S)
        # One that notes what it lets pass is not stopped in the middle: nobody would know whether it has noted it.
        may_stop = self._owed is None or not wants_ends(guest)
        if may_stop and self._done is not None:
            self._job = job

    def _heed(self, one: Filter, verdict: Verdict, shown: bytes, approved: bool, began_s: float) -> None:
        """Raises: TidegateError, for a verdict that is none."""
        if verdict.kind == "change":
            value = changed_object(verdict.text, one.name, self._bench.depth)
            if self._result is None:
                self._arguments = value
            else:
                self._result = value
        elif verdict.kind == "ask":
            if self._result is not None:
                raise FilterFailed(f"filter `{one.name}` asked about a result, when it is too late")
            if approved:
                raise FilterFailed(f"filter `{one.name}` asked again about what was approved")
        elif verdict.kind not in ("pass", "refuse"):
            raise FilterFailed(f"filter `{one.name}` said `{verdict.kind}`, which is no verdict")
        self._tell(one, verdict.kind, began_s)
        if verdict.kind in _PASSES:
            self._next()
            return
        words = verdict.text[:_MAX_WORDS_BYTES].decode(errors="ignore")
        self._end(Outcome("ask" if verdict.kind == "ask" else "refuse", self._value, one, words, shown))

    def _failed(self, one: Filter, error: TidegateError, began_s: float) -> None:
        self._tell(one, "failed", began_s)
        if one.may_pass:
            self._next()
            return
        what = "the call was not made" if self._which == "request" else "the tool ran, and its result is held back"
        said = FilterFailed(
            f"filter `{one.name}` failed, so {what}: {error}", data={"filter": one.name, "cause": error.slug}
        )
        self._end(Outcome("failed", self._value, one, error=said))

    def _tell(self, one: Filter, verdict: str, began_s: float) -> None:
        took_s = self._bench.clock.now_s() - began_s
        self._bench.events.publish(FilterJudged(one.name, self._which, verdict, self._tool, took_s))

    def _end(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if self._owed is not None and outcome.kind != "pass":
            self._owed.tell(NOT_SENT)
        if done is not None:
            done(outcome)


def shown_digest(tool: str, arguments: bytes) -> bytes:
    """Of what a filter, and through it a person, is asked about."""
    return hashlib.sha256(tool.encode(errors="surrogatepass") + b"\0" + arguments).digest()
