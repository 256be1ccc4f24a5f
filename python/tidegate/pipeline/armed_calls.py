"""A dead man's switch: calls that plugins have armed, made when the plugin is not heard of in time.

They outlive the request that armed them and its client, with the rights that its caller had then. What ends them: the
plugin (`disarm`, or arming the same key again), a configuration without the plugin, and being made. When the gateway
stops, all that is armed is made at once, since nobody could disarm it any more; when it is killed, none is.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Final

from tidegate.errors import NotArmed, Source, TidegateError
from tidegate.pipeline.era.inner import InnerExchange, unheard
from tidegate.pipeline.principal import Principal
from tidegate.sandbox.guest import Answered

_log = logging.getLogger("tidegate.armed")

MOST_ARMED: Final = 64
"""Of one plugin."""
LONGEST_MS: Final = 24 * 3_600_000
_MAX_KEY_CHARS: Final = 512
_MAX_ARGUMENTS_BYTES: Final = 64 * 1024
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Before a call that failed is made again: a stop that does not arrive is worse than one that arrives twice."""

Make = Callable[[str, bytes, Principal, str, int, Answered], InnerExchange]
"""Tool, arguments, who, the plugin, how deep, and who is told. Raises: TidegateError."""
Send = Callable[[InnerExchange], None]


class Armed:
    """One call that may have to be made."""

    __slots__ = ("after_ms", "arguments", "attempts", "depth", "key", "plugin", "principal", "timer", "tool")

    def __init__(
        self, plugin: str, key: str, after_ms: int, tool: str, arguments: bytes, principal: Principal, depth: int
    ) -> None:
        self.plugin = plugin
        self.key = key
        self.after_ms = after_ms
        self.tool = tool
        self.arguments = arguments
        self.principal = principal
        self.depth = depth
        self.timer: asyncio.TimerHandle | None = None
        self.attempts = 0


class ArmedCalls:
    """All of one gateway, by plugin and key."""

    def __init__(self, make: Make, send: Send) -> None:
        """`send`: past the bounds on what is let in, which are for clients."""
        self._make = make
        self._send = send
        self._armed: dict[str, dict[str, Armed]] = {}
        self._made: set[Armed] = set()
        """Under way, or waiting for another attempt."""
        self._idle: asyncio.Event | None = None
        self.made = 0

    def __len__(self) -> int:
        return sum(len(mine) for mine in self._armed.values())

    def arm(
        self, plugin: str, key: str, after_ms: int, tool: str, arguments: bytes, principal: Principal, depth: int
    ) -> None:
        """Raises: NotArmed, InvalidParams."""
        if not 0 < after_ms <= LONGEST_MS:
            raise NotArmed(f"a call can be armed for 1 to {LONGEST_MS} ms from now, not for {after_ms}")
        if len(key) > _MAX_KEY_CHARS or len(arguments) > _MAX_ARGUMENTS_BYTES:
            raise NotArmed(f"a key has at most {_MAX_KEY_CHARS} characters, arguments {_MAX_ARGUMENTS_BYTES} bytes")
        if principal.revoked or not principal.may_use("tools", tool):
            raise NotArmed(f"whoever calls may not use `{tool}`")
        if self._idle is not None:
            raise NotArmed("the gateway is shutting down")
        mine = self._armed.setdefault(plugin, {})
        if key not in mine and len(mine) >= MOST_ARMED:
            raise NotArmed(f"the plugin has {MOST_ARMED} calls armed already")
        # What it may do is kept as it is now: a caller who leaves or is revoked must not take the stop along.
        armed = Armed(plugin, key, after_ms, tool, arguments, copy.copy(principal), depth)
        self._make(tool, arguments, armed.principal, plugin, depth, unheard)
        self.disarm(plugin, key)
        self._armed.setdefault(plugin, {})[key] = armed
        armed.timer = asyncio.get_running_loop().call_later(after_ms / 1000, self._fire, armed)

    def disarm(self, plugin: str, key: str) -> None:
        armed = self._take(plugin, key)
        if armed is not None and armed.timer is not None:
            armed.timer.cancel()

    def keep_only(self, plugins: set[str]) -> None:
        """Others are in no configuration any more."""
        for plugin in [name for name in self._armed if name not in plugins]:
            for armed in list(self._armed[plugin].values()):
                _log.warning("armed_call_dropped plugin=%s key=%r tool=%r", plugin, armed.key, armed.tool)
                self.disarm(plugin, armed.key)

    def _take(self, plugin: str, key: str) -> Armed | None:
        mine = self._armed.get(plugin, {})
        armed = mine.pop(key, None)
        if armed is not None and not mine:
            del self._armed[plugin]
        return armed

    # -- making them --------------------------------------------------------------------------------------------

    def _fire(self, armed: Armed) -> None:
        self._take(armed.plugin, armed.key)
        _log.warning(
            "armed_call_made plugin=%s key=%r tool=%r caller=%s after_ms=%d",
            armed.plugin,
            armed.key,
            armed.tool,
            armed.principal.name,
            armed.after_ms,
        )
        self.made += 1
        self._made.add(armed)
        self._attempt(armed)

    def _attempt(self, armed: Armed) -> None:
        armed.attempts += 1
        armed.timer = None

        def answered(result: bytes | None, error: TidegateError | None) -> None:
            if error is None:
                self._over(armed)
            elif error.source is not Source.DOWNSTREAM and armed.attempts <= len(_PAUSES_S):
                pause_s = _PAUSES_S[armed.attempts - 1]
                _log.warning("armed_call_failed tool=%r again_in_s=%g error=%s", armed.tool, pause_s, error)
                armed.timer = asyncio.get_running_loop().call_later(pause_s, self._attempt, armed)
            else:
                _log.error("armed_call_failed tool=%r error=%s", armed.tool, error)
                self._over(armed)

        try:
            exchange = self._make(armed.tool, armed.arguments, armed.principal, armed.plugin, armed.depth, answered)
        except TidegateError as error:
            answered(None, error)
        else:
            self._send(exchange)

    def _over(self, armed: Armed) -> None:
        self._made.discard(armed)
        if self._idle is not None and not self._made:
            self._idle.set()

    # -- the end ------------------------------------------------------------------------------------------------

    async def make_all(self) -> None:
        """Now, whatever their time: whoever could disarm them is not served any more. Until they are answered."""
        self._idle = asyncio.Event()
        for mine in list(self._armed.values()):
            for armed in list(mine.values()):
                if armed.timer is not None:
                    armed.timer.cancel()
                self._fire(armed)
        if self._made:
            await self._idle.wait()

    def close(self) -> None:
        for mine in self._armed.values():
            for armed in mine.values():
                if armed.timer is not None:
                    armed.timer.cancel()
        self._armed.clear()
        for armed in self._made:
            _log.error("armed_call_failed tool=%r error=the gateway stopped before it was answered", armed.tool)
            if armed.timer is not None:
                armed.timer.cancel()
        self._made.clear()

    def statistics(self) -> dict[str, object]:
        return {"armed": len(self), "made_total": self.made}
