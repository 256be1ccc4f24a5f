"""One call of a capability, from tool to tool until one has answered.

Callbacks and timers only: an attempt that fails at once is followed by the next in the same turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from tidegate.clock import Clock
from tidegate.config.snapshot import Capability
from tidegate.errors import TidegateError, Unauthorized, UpstreamTimeout
from tidegate.events import CapabilityServed
from tidegate.pipeline.capabilities.attempt import AttemptExchange
from tidegate.pipeline.capabilities.decision import (
    Answer,
    Ended,
    Facts,
    Now,
    Refuse,
    Rules,
    Step,
    Tried,
    Try,
    Why,
    next_step,
)
from tidegate.pipeline.capabilities.ending import EndedAttempt, cut, milliseconds, refused, slug_of
from tidegate.pipeline.capabilities.facts import Found, PowerState
from tidegate.pipeline.capabilities.result import confidence_of, is_structured, says_failed, with_served_by
from tidegate.pipeline.capabilities.slugs import FINAL, how_ended
from tidegate.pipeline.codec import Envelope, find_member
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.json_text import json_value
from tidegate.pipeline.principal import Principal

_MARGIN_S: Final = 0.1
"""Before its own deadline, a call is ended with what there is."""
_UNFIT: Final = -1.0
"""How sure an answer counts that lacks what clients were told of: less than any that says how sure it is."""


class Bench(Protocol):
    """What servings of one gateway share."""

    clock: Clock

    @property
    def power(self) -> PowerState: ...

    @property
    def depth(self) -> int:
        """Of nesting, at most."""

    def find(self, client: ClientView, tool: str) -> Found: ...

    def dispatch(self, exchange: Exchange) -> None: ...

    def hear(self, client: ClientView, tools: list[str], most_s: float, done: Callable[[], None]) -> bool:
        """Waits until the backends were heard that may have these tools. False: there is none of them to wait for."""

    def begun(self, backend: str, tool: str, most_s: float) -> None:
        """An attempt has, which takes at most so long. `ended` follows."""

    def ended(self, backend: str, tool: str, how: Ended) -> None: ...

    def lists_output(self, capability: str) -> bool:
        """Clients were told in which form `structuredContent` comes."""

    def publish(self, event: CapabilityServed) -> None: ...


class _Running:
    """The attempt that is under way."""

    __slots__ = ("began_s", "exchange", "found", "patience", "sign", "step", "timer")

    def __init__(self, step: Try, found: Found, began_s: float) -> None:
        self.step = step
        self.found = found
        self.began_s = began_s
        self.exchange: AttemptExchange | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.patience: asyncio.TimerHandle | None = None
        self.sign = False
        """The tool has shown that it works on it, or does so as soon as it has it."""

    def stop(self) -> None:
        """Its timers."""
        for timer in (self.timer, self.patience):
            if timer is not None:
                timer.cancel()


class Serving:
    """A call, and what was done for it so far."""

    def __init__(
        self,
        bench: Bench,
        capability: Capability,
        principal: Principal,
        client: ClientView,
        arguments: bytes,
        classes: tuple[str, ...],
        stays_for: str,
        *,
        token: bytes,
        progressed: Callable[[bytes], None] | None,
        deadline_s: float,
        answered: Callable[[bytes], None],
        failed: Callable[[TidegateError], None],
    ) -> None:
        """`client`: as whom tools are called. `stays_for`: the class of its data that may not leave; empty for none.
        `token`: raw, under which progress is told to `progressed`; that is None where the client does not want to
        know. `deadline_s`: on the bench's clock.
        """
        self._bench = bench
        self._capability = capability
        self._principal = principal
        self._client = client
        self._arguments = arguments
        self._classes = classes
        self._stays_for = stays_for
        self._token = token
        self._progressed = progressed
        self._deadline_s = deadline_s
        self._answered = answered
        self._failed = failed
        self._began_s = bench.clock.now_s()
        self._rules = Rules(
            order=capability.order,
            min_confidence=capability.min_confidence,
            busy_ms=capability.busy_ms,
            attempt_timeout_s=capability.attempt_timeout_s,
        )
        self._found: dict[str, Found] = {}
        self._planned: Step | None = None
        self._looked = False
        """Nothing has happened since, or nothing that matters any more."""
        self._tried: list[Tried] = []
        self._attempts: list[EndedAttempt] = []
        self._running: _Running | None = None
        self._stepping = False
        self._over = False
        self._streams = find_member(arguments, "messages") is not None
        """It is a chat, whose progress is the text of its answer."""
        self._spoken = False
        """The client has the beginning of an answer."""
        self._progress = -1.0

    def start(self) -> None:
        """First waits for backends that nobody has heard yet, if what they may have is preferred to what there is; not
        for long, if there is something.
        """
        step = self._next_step()
        tools = list(self._found)
        if isinstance(step, Try):
            tools = tools[: tools.index(step.tool)]
        most_s = self._rules.busy_ms / 1000 if isinstance(step, Try) else self._rules.attempt_timeout_s
        unknown = [tool for tool in tools if not self._found[tool].facts.listed]
        most_s = max(0.0, min(most_s, self._remaining_s()))
        if not unknown or not self._bench.hear(self._client, unknown, most_s, self._step):
            self._planned = step
            self._step()

    def _remaining_s(self) -> float:
        return self._deadline_s - _MARGIN_S - self._bench.clock.now_s()

    def cancel(self) -> None:
        """The client gave up, or its time is over. Nothing more is said."""
        self._over = True
        running = self._running
        self._stop()
        if running is not None:
            self._bench.ended(running.found.backend, running.step.tool, "withdrawn")

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop()
            exchange, running.exchange = running.exchange, None
            if exchange is not None:
                exchange.forget()

    # -- step by step -------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """Goes on until something is under way, or all is over."""
        if self._stepping:
            return
        self._stepping = True
        try:
            while not self._over and self._running is None:
                self._decide()
        finally:
            self._stepping = False

    def _decide(self) -> None:
        if self._principal.revoked:
            self._fail(Unauthorized("the token of this request is not valid any more"))
            return
        step, self._planned = self._planned or self._next_step(), None
        if isinstance(step, Try):
            self._begin(step)
        elif isinstance(step, Answer):
            self._answer(self._attempts[step.attempt], step.why)
        else:
            self._refuse(step)

    def _next_step(self) -> Step:
        bench = self._bench
        if not self._looked:
            self._found = {tool: bench.find(self._client, tool) for tool in self._rules.order}
        self._looked = False
        facts: dict[str, Facts] = {tool: found.facts for tool, found in self._found.items()}
        power = bench.power
        now = Now(
            now_s=bench.clock.now_s(),
            remaining_s=self._remaining_s(),
            stays=bool(self._stays_for),
            hot=power.hot,
            preference=power.preference,
        )
        return next_step(self._rules, facts, now, self._tried)

    def _begin(self, step: Try) -> None:
        bench = self._bench
        found = self._found[step.tool]
        running = self._running = _Running(step, found, bench.clock.now_s())
        # One with a queue of its own says by its progress that it has begun.
        waits = step.patience_ms is not None and found.may_queue
        running.sign = not waits
        try:
            exchange = AttemptExchange(
                step.tool,
                self._arguments,
                self._client,
                self._principal,
                partial(self._ended, running),
                partial(self._noticed, running),
                capability=self._capability.name,
                token=self._token if self._progressed is not None or waits else None,
                classes=self._classes if found.where == "local" else (),
                depth=bench.depth,
            )
        except TidegateError as error:
            self._running = None
            self._fail(error)
            return
        running.exchange = exchange
        loop = asyncio.get_running_loop()
        running.timer = loop.call_later(step.timeout_s, self._timed_out, running)
        if step.patience_ms is not None:
            running.patience = loop.call_later(step.patience_ms / 1000, self._waited, running)
        bench.begun(found.backend, step.tool, step.timeout_s)
        bench.dispatch(exchange)

    def _waited(self, running: _Running) -> None:
        """Patience is over, for a tool that does not even work on it yet."""
        exchange = running.exchange
        if running is not self._running or exchange is None:
            return
        if exchange.sent and running.sign:
            return
        self._stop()
        self._note(running, "withdrawn", "busy", None, None)
        self._step()

    def _timed_out(self, running: _Running) -> None:
        if running is not self._running:
            return
        self._stop()
        error = UpstreamTimeout(f"`{running.step.tool}` did not answer within {running.step.timeout_s:.3g} s")
        if self._spoken:
            self._cut(running, error)
            return
        self._note(running, "timeout", "timeout", None, error)
        self._step()

    def _ended(self, running: _Running, result: bytes | None, error: TidegateError | None) -> None:
        if running is not self._running or self._over:
            return
        self._running = None
        running.stop()
        exchange, running.exchange = running.exchange, None
        filtered = exchange is not None and bool(exchange.refused_by)
        if result is not None:
            self._judge(running, result, final=filtered)
        elif error is not None:
            slug = slug_of(error)
            if filtered or slug in FINAL or self._principal.revoked:
                self._note(running, "failed", slug, None, error)
                self._fail(error)
            elif self._spoken:
                self._cut(running, error)
            else:
                self._note(running, how_ended(slug), slug, None, error)
        self._step()

    def _judge(self, running: _Running, result: bytes, *, final: bool) -> None:
        """`final`: it is the word of a filter, which nobody gets round by asking another tool."""
        if says_failed(result):
            self._note(running, "tool_failed", "tool_error", result, None)
            if final or self._spoken:
                self._answer(self._attempts[-1], running.step.why)
            return
        confidence = confidence_of(result, self._capability.confidence) if self._rules.min_confidence else None
        if self._spoken:
            # Whatever it is, the client has it.
            confidence = None
        elif self._bench.lists_output(self._capability.name) and not is_structured(result):
            # It lacks what clients were told that they get; better than nothing, and worse than all else.
            confidence = _UNFIT
        unsure = confidence is not None and confidence < self._rules.min_confidence
        self._looked = not unsure
        self._note(running, "answered", "unsure" if unsure else "ok", result, None, confidence)

    def _note(
        self,
        running: _Running,
        how: Ended,
        outcome: str,
        result: bytes | None,
        error: TidegateError | None,
        confidence: float | None = None,
    ) -> None:
        tool, found = running.step.tool, running.found
        took_s = self._bench.clock.now_s() - running.began_s
        self._tried.append(Tried(tool, how, confidence))
        self._attempts.append(EndedAttempt(tool, found.backend, found.where, outcome, took_s, result, error))
        if how == "timeout" and running.step.timeout_s < self._rules.attempt_timeout_s:
            # That the call had little time left is not the tool's doing.
            how = "withdrawn"
        self._bench.ended(found.backend, tool, how)

    def _noticed(self, running: _Running, message: bytes, envelope: Envelope) -> None:
        if running is not self._running or self._over:
            return
        running.sign = True
        told = self._progressed
        # The token was written anew since the message was scanned, so offsets of then may be off.
        span = find_member(message, "params")
        if told is None or span is None:
            return
        at = find_member(message, "message", *span) if self._streams else None
        says = at is not None and at[1] - at[0] > len('""')
        at = find_member(message, "progress", *span)
        value = json_value(message[at[0] : at[1]]) if at is not None else None
        if not isinstance(value, int | float) or (value <= self._progress and not says):
            # Of another tool than the one before: for the client it goes on where that was.
            return
        self._progress = value
        self._spoken = self._spoken or says
        told(message)

    # -- the end ------------------------------------------------------------------------------------------------

    def _answer(self, one: EndedAttempt, why: Why) -> None:
        assert one.result is not None
        self._over = True
        served_by = {
            "backend": one.backend,
            "tool": one.tool,
            "where": one.where,
            "why": why,
            "duration_ms": milliseconds(self._took_s),
            "attempts": [attempt.told() for attempt in self._attempts],
        }
        self._publish(one.outcome, one, why)
        self._answered(with_served_by(one.result, served_by))

    def _fail(self, error: TidegateError) -> None:
        self._over = True
        self._publish(slug_of(error), None, "")
        self._failed(error)

    def _cut(self, running: _Running, error: TidegateError) -> None:
        self._note(running, "failed", slug_of(error), None, error)
        self._fail(cut(running.step.tool, error, self._capability, self._attempts))

    def _refuse(self, step: Refuse) -> None:
        self._fail(refused(step.error, self._capability, self._stays_for, self._attempts))

    @property
    def _took_s(self) -> float:
        return self._bench.clock.now_s() - self._began_s

    def _publish(self, outcome: str, one: EndedAttempt | None, why: str) -> None:
        self._bench.publish(
            CapabilityServed(
                capability=self._capability.name,
                tool=one.tool if one is not None else "",
                backend=one.backend if one is not None else "",
                where=one.where if one is not None else "",
                why=why,
                outcome=outcome,
                duration_s=self._took_s,
                attempts=len(self._attempts),
            )
        )
