"""What a guest asks of the gateway while its thread waits: HTTP, calls of tools, calls that are armed.

Each is held against what its plugin was granted, done in the name of its caller, and told to whoever keeps account.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from tidegate.errors import Cancelled, PluginNotGranted, TidegateError
from tidegate.events import Events, PluginActed
from tidegate.sandbox.guest import Answered, Job

if TYPE_CHECKING:
    from tidegate import _sandbox
    from tidegate.sandbox.plugin import PluginCall

KINDS: Final = ("http", "call", "arm", "disarm")

Fetch = Callable[[str, str, tuple[str, ...], float, Answered], Job]
"""Makes an HTTP request: plugin, its words, the granted hosts, seconds. May answer before it returns."""

_LONGEST_WAIT_S: Final = 60.0
"""For what a guest asked; its own deadline ends before."""
_TARGET_CHARS: Final = 512
_READ_CHARS: Final = 64 * 1024


class Question:
    """One of them, as `Answered` and as a `Job`. It ends once: with an answer, or because nobody waits for one."""

    __slots__ = (
        "_began_s",
        "_caller",
        "_events",
        "_job",
        "_native",
        "_number",
        "_open",
        "_token",
        "plugin",
        "target",
        "what",
    )

    def __init__(
        self, native: _sandbox.Sandbox, events: Events, what: str, call: PluginCall, token: int, number: int
    ) -> None:
        self.what = what
        self.plugin = call.plugin
        self.target = ""
        """What it is about, for whoever keeps account."""
        self._caller = call.caller.name
        self._native = native
        self._events = events
        self._token = token
        self._number = number
        self._began_s = asyncio.get_running_loop().time()
        self._job: Job | None = None
        self._open = True

    def wait_for(self, job: Job) -> None:
        if self._open:
            self._job = job

    def __call__(self, answer: bytes | None, error: TidegateError | None) -> None:
        if not self._open:
            return
        if answer is None:
            self._native.answer(self._token, self._number, "", str(error))
        else:
            self._native.answer(self._token, self._number, answer.decode())
        self._over(error.slug if error is not None else "ok")

    def cancel(self) -> None:
        if self._open:
            job, self._job = self._job, None
            self._over(Cancelled.slug)
            if job is not None:
                job.cancel()

    def _over(self, outcome: str) -> None:
        self._open = False
        duration_s = asyncio.get_running_loop().time() - self._began_s
        target = self.target[:_TARGET_CHARS]
        self._events.publish(PluginActed(self.plugin.name, self.what, target, self._caller, outcome, duration_s))

    def may_call(self, name: str) -> bool:
        """Whether the plugin was granted this tool. If not, it is told."""
        if any(fnmatchcase(name, pattern) for pattern in self.plugin.grants.call):
            return True
        self(None, PluginNotGranted(f"`{name[:128]}` is not among the tools that it was granted"))
        return False


class Questions:
    """Those of all guests of a gateway."""

    def __init__(self, native: _sandbox.Sandbox, fetch: Fetch, events: Events) -> None:
        self._native = native
        self._fetch = fetch
        self._events = events

    def put(self, what: str, call: PluginCall, token: int, number: int, first: str, second: str, third: str) -> None:
        """`what`: one of `KINDS`; the texts are as `_sandbox.Event` has them."""
        question = call.question = Question(self._native, self._events, what, call, token, number)
        if what == "http":
            question.target = _meant(first)
            plugin = call.plugin
            question.wait_for(self._fetch(plugin.name, first, plugin.grants.http, _LONGEST_WAIT_S, question))
        elif what == "call":
            question.target = first
            if question.may_call(first):
                question.wait_for(call.caller.call_tool(first, second.encode(), question))
        elif what == "arm":
            after_ms, _, name = second.partition(" ")
            question.target = f"{name} for {first}"
            if question.may_call(name):
                _arm(call, question, first, int(after_ms), name, third)
        else:
            question.target = first
            call.caller.disarm(first)
            question(b"null", None)


def _arm(call: PluginCall, question: Question, key: str, after_ms: int, name: str, arguments: str) -> None:
    try:
        call.caller.arm(key, after_ms, name, arguments.encode())
    except TidegateError as error:
        question(None, error)
    else:
        question(b"null", None)


def _meant(request: str) -> str:
    """Method and URL of a guest's HTTP request, as far as it can be read."""
    try:
        asked = json.loads(request) if len(request) <= _READ_CHARS else {}
    except (ValueError, RecursionError):
        return ""
    return f"{asked.get('method', 'GET')} {asked.get('url', '')}" if isinstance(asked, dict) else ""
