"""What a loaded plugin is to whoever uses it, and what whoever uses it is to the plugin.

`sandbox/plugin.py` has the real thing; the pipeline knows no more than what stands here, and its tests put other things
in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from tidegate.errors import NotArmed, TidegateError

Which = Literal["request", "result"]
Kind = Literal["pass", "change", "refuse", "ask"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says of a call, or of its result."""

    kind: Kind
    text: bytes = b""
    """Of `change` a JSON object, of `refuse` and `ask` words in UTF-8."""


class Job(Protocol):
    """Something that a plugin, or a call made for one, is busy with."""

    def cancel(self) -> None:
        """Nobody waits for it any more: its `done` is not called."""


Answered = Callable[[bytes | None, TidegateError | None], None]
"""Told once: a tool's result (a raw JSON object), or why there is none."""
Judged = Callable[[Verdict | None, TidegateError | None], None]
"""Told once: the verdict, or why there is none."""


class Caller(Protocol):
    """In whose name a plugin is called, and with whose rights it calls tools. All on the event loop."""

    @property
    def name(self) -> str:
        """For people, and for plugins: the name of the principal."""

    @property
    def depth(self) -> int:
        """How many plugins stand between the client and this one."""

    def call_tool(self, name: str, arguments: bytes, done: Answered) -> Job:
        """`arguments`: what the plugin wrote. `done` may be called before this returns."""

    def arm(self, key: str, after_ms: int, name: str, arguments: bytes) -> None:
        """Has the tool called after so long, unless this is called again for `key`, or `disarm`. Keys of other plugins
        are others.

        Raises: TidegateError.
        """

    def disarm(self, key: str) -> None: ...


class _Nobody:
    """Implements `Caller` for calls that no client made: nobody's rights are there to be used."""

    name = ""
    depth = 0

    def call_tool(self, name: str, arguments: bytes, done: Answered) -> Job:
        done(None, NotArmed(f"`{name}` is not called: no client's request is being served"))
        return self

    def arm(self, key: str, after_ms: int, name: str, arguments: bytes) -> None:
        raise NotArmed(f"`{name}` is not armed: no client's request is being served")

    def disarm(self, key: str) -> None:
        pass

    def cancel(self) -> None:
        pass


NOBODY: Final[Caller] = _Nobody()


class Manifest(Protocol):
    """What of a plugin's manifest those who put it before tools must know."""

    @property
    def inspects(self) -> Collection[str]:
        """Some of `Which`."""


class FilterGuest(Protocol):
    """A loaded filter. Its calls may be concurrent."""

    @property
    def manifest(self) -> Manifest: ...

    def inspect(
        self, which: Which, call: bytes, result: bytes | None, caller: Caller, done: Judged, timeout_s: float
    ) -> Job:
        """`call` and `result`: JSON objects, as `wasm/wit/plugin.wit` has them. `done` is called on the event loop,
        once, after this returned.
        """
