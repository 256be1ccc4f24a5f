"""A loaded plugin, and the calls of it that run: the real side of `guest.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

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
from tidegate.sandbox.guest import Caller, Job, Judged, Kind, Verdict, Which

if TYPE_CHECKING:
    from tidegate import _sandbox
    from tidegate._sandbox import Wire as Wire
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

Told = Callable[[str, str, str], None]
"""Told once how a call ended: what, and two texts, as `_sandbox.Event` has them."""


class PluginCall:
    """One call of a plugin, from its start to its end. What it asks for meanwhile is done in its caller's name."""

    __slots__ = ("_ended", "_token", "caller", "plugin", "question")

    def __init__(self, plugin: Plugin, token: int, caller: Caller, ended: Told | None) -> None:
        self.caller = caller
        self.question: Job | None = None
        """Of the gateway, that it waits for: a guest does one thing at a time."""
        self.plugin = plugin
        self._token = token
        self._ended = ended

    def end(self, kind: str, first: str, second: str) -> None:
        self._drop_question()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(kind, first, second)

    def cancel(self) -> None:
        self._ended = None
        self._drop_question()
        self.plugin.sandbox.cancel(self._token)

    def _drop_question(self) -> None:
        job, self.question = self.question, None
        if job is not None:
            job.cancel()


class Plugin:
    """Implements `FilterGuest`. What is told is told on the event loop, once, after what asked for it returned."""

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
        self.receive: Callable[[bytes], None] | None = None
        """Told what it answers over its wire: whole lines."""
        self._native = native

    def wire(self, depth: int, timeout_s: float, most_bytes: int) -> Wire:
        """Over which its tools are called. One at a time has a use for what comes back."""
        return self._native.wire(self.name, depth, timeout_s, most_bytes)

    def list_tools(
        self, caller: Caller, done: Callable[[str, TidegateError | None], None], timeout_s: float
    ) -> PluginCall:
        """Of a component whose manifest names none: JSON, not yet checked."""

        def ended(kind: str, first: str, second: str) -> None:
            done(first, self._error(first, second) if kind == "failed" else None)

        return self.sandbox.attend(self, self._native.list_tools(timeout_s), caller, ended)

    def inspect(
        self, which: Which, call: bytes, result: bytes | None, caller: Caller, done: Judged, timeout_s: float
    ) -> PluginCall:
        def ended(kind: str, first: str, second: str) -> None:
            if kind == "failed":
                done(None, self._error(first, second))
            else:
                done(Verdict(cast(Kind, kind), first.encode()), None)

        judged = result.decode() if result is not None and which == "result" else None
        return self.sandbox.attend(self, self._native.inspect(call.decode(), judged, timeout_s), caller, ended)

    def ended(self, cpu_s: float, slug: str) -> None:
        """One call is over. `slug`: of what went wrong, or nothing."""
        self.calls += 1
        self.cpu_s += cpu_s
        if slug:
            self.failures[slug] = self.failures.get(slug, 0) + 1

    def _error(self, slug: str, words: str) -> PluginFailed:
        return _ERRORS.get(slug, PluginFailed)(f"plugin `{self.name}` failed: {words}", data={"reason": slug})

    def statistics(self) -> dict[str, object]:
        return {"calls": self.calls, "cpu_s": round(self.cpu_s, 6), "failures": dict(self.failures)}
