"""Filters that say what the test wants, in the place of plugins, and gateways that have them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gateway import House, house
from heard import Heard, Json
from scripted_server import ScriptedServer, dump

from tidegate.config.snapshot import Filter, Grants, OnFailure, Plugin
from tidegate.errors import PluginTrapped, TidegateError
from tidegate.sandbox.guest import Caller, FilterGuest, Judged, Verdict, Which

Opinion = Verdict | TidegateError | None
"""None: the test says it later, by `Inspection.judge`."""

PASS = Verdict("pass")
TRAPPED = PluginTrapped("plugin `judge` failed: it divided by zero")


def change(value: Json) -> Verdict:
    return Verdict("change", dump(value))


def refuse(why: str) -> Verdict:
    return Verdict("refuse", why.encode())


def ask(question: str) -> Verdict:
    return Verdict("ask", question.encode())


class Inspection:
    """One thing that a filter was shown. Implements `Job`."""

    def __init__(self, which: Which, call: bytes, result: bytes | None, caller: Caller, done: Judged) -> None:
        self.which = which
        self.raw = call
        self.call: Json = json.loads(call)
        self.result: Json = json.loads(result) if result is not None else None
        self.caller = caller
        self.cancelled = False
        self._done = done

    @property
    def arguments(self) -> Json:
        return self.call["arguments"]

    def judge(self, opinion: Opinion) -> None:
        if self.cancelled or opinion is None:
            return
        if isinstance(opinion, Verdict):
            self._done(opinion, None)
        else:
            self._done(None, opinion)

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Said:
    """Implements `Manifest`."""

    inspects: tuple[Which, ...]


class Judge:
    """Implements `FilterGuest`."""

    def __init__(
        self,
        request: Callable[[Inspection], Opinion] = lambda seen: PASS,
        result: Callable[[Inspection], Opinion] | None = None,
    ) -> None:
        self.on_request = request
        self.on_result = result or (lambda seen: PASS)
        self.manifest = Said(("request", "result") if result else ("request",))
        self.seen: Heard[Inspection] = Heard()

    def inspect(
        self, which: Which, call: bytes, result: bytes | None, caller: Caller, done: Judged, timeout_s: float
    ) -> Inspection:
        seen = Inspection(which, call, result, caller, done)
        self.seen.add(seen)
        opinion = self.on_request(seen) if which == "request" else self.on_result(seen)
        asyncio.get_running_loop().call_soon(seen.judge, opinion)
        return seen

    def of(self, which: Which) -> list[Inspection]:
        return [seen for seen in self.seen if seen.which == which]


def only_results(result: Callable[[Inspection], Opinion]) -> Judge:
    judge = Judge(result=result)
    judge.manifest.inspects = ("result",)
    return judge


def configured(
    name: str, tools: Sequence[str] = ("*",), *, on_failure: OnFailure = "refuse", digest: str = "", time: bool = False
) -> Filter:
    """`time`: it may look at the clock, so what it says may be another thing later."""
    plugin = Plugin(f"/{name}.wasm", digest=digest, grants=Grants(time=time))
    return Filter(name, plugin, tuple(tools), on_failure)


def guarded(
    *servers: ScriptedServer,
    judges: dict[str, Judge | TidegateError],
    filters: Sequence[Filter] | None = None,
    **more: Json,
) -> AbstractAsyncContextManager[House]:
    """A gateway with these filters, in this order. `filters`: how they are configured, if not for all tools."""

    async def load(config: Filter) -> FilterGuest:
        found = judges[config.name]
        if isinstance(found, TidegateError):
            raise found
        return found

    chosen = filters if filters is not None else [configured(name) for name in judges]
    return house(*servers, filters=chosen, load=load, **more)
