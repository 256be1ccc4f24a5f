"""A loaded plugin, and the calls of it that run: the real side of `guest.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidegate.errors import (
    PluginBusy,
    PluginDeadline,
    PluginFailed,
    PluginGarbage,
    PluginNotGranted,
    PluginOutOfMemory,
    PluginOutputTooLarge,
    PluginRefused,
    PluginStackExhausted,
    PluginTrapped,
    TidegateError,
)
from tidegate.sandbox.guest import Caller, Job, Judged, Verdict, Which

if TYPE_CHECKING:
    from tidegate import _sandbox
    from tidegate.config.snapshot import Grants
    from tidegate.sandbox.manifest import Manifest
    from tidegate.sandbox.running import Sandbox

_ERRORS: Final[dict[str, type[PluginFailed]]] = {
    error.slug: error
    for error in (
        PluginTrapped,
        PluginDeadline,
        PluginOutOfMemory,
        PluginStackExhausted,
        PluginOutputTooLarge,
        PluginGarbage,
        PluginNotGranted,
        PluginBusy,
        PluginRefused,
    )
}

Served = Callable[[str, bool, TidegateError | None], None]
"""Told once how a tool's call ended: JSON that is not yet checked, or the tool's own words and True, or an error."""


class PluginCall:
    """One call of a plugin, from its start to its end. What it asks for meanwhile is done in its caller's name."""

    __slots__ = ("_ended", "_plugin", "caller", "questions", "token")

    def __init__(self, plugin: Plugin, caller: Caller, ended: Callable[[str, str, str], None]) -> None:
        self.caller = caller
        self.questions: list[Job] = []
        """Of the gateway, that it waits for: one at most, as a guest does one thing at a time."""
        self.token: int | None = None
        self._plugin: Plugin | None = plugin
        self._ended = ended

    @property
    def plugin(self) -> Plugin | None:
        """None once nobody waits for it."""
        return self._plugin

    def end(self, kind: str, first: str, second: str) -> None:
        self._drop_questions()
        if self._plugin is not None:
            self._plugin = None
            self._ended(kind, first, second)

    def cancel(self) -> None:
        plugin, self._plugin = self._plugin, None
        self._drop_questions()
        if plugin is not None and self.token is not None:
            plugin.sandbox.cancel(self.token)

    def _drop_questions(self) -> None:
        questions, self.questions = self.questions, []
        for job in questions:
            job.cancel()


class Plugin:
    """Implements `FilterGuest`. `tool` and `inspect` answer on the event loop, once, after they returned."""

    def __init__(
        self, name: str, sandbox: Sandbox, native: _sandbox.Plugin, manifest: Manifest, grants: Grants
    ) -> None:
        self.name = name
        self.sandbox = sandbox
        self.manifest = manifest
        self.grants = grants
        """Those of effect."""
        self.calls = 0
        self.failures: dict[str, int] = {}
        """By slug."""
        self.cpu_s = 0.0
        self._native = native

    def call_tool(self, name: str, arguments: bytes, caller: Caller, done: Served, timeout_s: float) -> PluginCall:
        """`arguments`: a JSON object."""

        def ended(kind: str, first: str, second: str) -> None:
            if kind == "failed":
                done("", False, self._error(first, second))
            else:
                done(first, kind == "error", None)

        call = PluginCall(self, caller, ended)
        return self.sandbox.begin(call, self._native.call_tool(name, arguments.decode(), timeout_s))

    def list_tools(self, caller: Caller, done: Served, timeout_s: float) -> PluginCall:
        """Of a component whose manifest names none."""

        def ended(kind: str, first: str, second: str) -> None:
            done(first, False, self._error(first, second) if kind == "failed" else None)

        return self.sandbox.begin(PluginCall(self, caller, ended), self._native.list_tools(timeout_s))

    def inspect(
        self, which: Which, call: bytes, result: bytes | None, caller: Caller, done: Judged, timeout_s: float
    ) -> PluginCall:
        def ended(kind: str, first: str, second: str) -> None:
            if kind == "failed":
                done(None, self._error(first, second))
            elif kind == "pass" or kind == "change" or kind == "refuse" or kind == "ask":
                done(Verdict(kind, first.encode()), None)

        judged = result.decode() if result is not None and which == "result" else None
        started = self._native.inspect(call.decode(), judged, timeout_s)
        return self.sandbox.begin(PluginCall(self, caller, ended), started)

    def _error(self, slug: str, words: str) -> PluginFailed:
        self.failures[slug] = self.failures.get(slug, 0) + 1
        return _ERRORS.get(slug, PluginFailed)(f"plugin `{self.name}` failed: {words}")

    def statistics(self) -> dict[str, object]:
        return {"calls": self.calls, "cpu_s": round(self.cpu_s, 6), "failures": dict(self.failures)}
