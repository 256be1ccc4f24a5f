"""Tools that plugins call: requests that the gateway makes in the name of whoever called the plugin.

Such a call goes the whole way of a client's: admission, rights, filters, limits, events. It differs in that nobody is
there to be asked anything, and that it counts how deep it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from tidegate.errors import CallTooDeep, InvalidParams, TidegateError
from tidegate.pipeline.armed_calls import ArmedCalls
from tidegate.pipeline.codec import scan
from tidegate.pipeline.era.inner import InnerExchange, inner_client, tool_call
from tidegate.pipeline.exchange import ClientView, Exchange
from tidegate.pipeline.principal import Principal
from tidegate.sandbox.guest import NOBODY, Answered, Caller

MOST_DEEP: Final = 4
"""Plugins that may stand one behind the other, between a client and a tool."""

Dispatch = Callable[[Exchange], None]


class Nothing:
    """A job that is over."""

    def cancel(self) -> None: ...


class Depth(Protocol):
    """What a message may have of nesting, at the moment."""

    @property
    def depth(self) -> int: ...


def inner_exchange(
    name: str, arguments: bytes, principal: Principal, plugin: str, depth: int, most_nested: int, done: Answered
) -> InnerExchange:
    """Raises: InvalidParams, for arguments that are no JSON object."""
    client = inner_client(principal, plugin, depth)
    arguments = arguments.strip(b" \t\r\n")
    message = tool_call(name, arguments, client)
    try:
        envelope = scan(message, most_nested)
    except TidegateError as error:
        raise InvalidParams(f"the arguments for `{name}` are not JSON: {error}") from error
    span = envelope.arguments_span
    if span is None or span[1] - span[0] != len(arguments) or not arguments.startswith(b"{"):
        raise InvalidParams(f"the arguments for `{name}` are not one JSON object")
    return InnerExchange(message, envelope, client, principal, done)


class PluginCaller:
    """Implements `Caller`: whoever called `plugin`."""

    __slots__ = ("_armed", "_depth_limit", "_dispatch", "_plugin", "_principal", "depth")

    def __init__(
        self,
        plugin: str,
        principal: Principal,
        depth: int,
        dispatch: Dispatch,
        armed: ArmedCalls,
        nested: Depth,
    ) -> None:
        """`plugin`: its kind and name, unlike those of any other."""
        self._plugin = plugin
        self._principal = principal
        self._dispatch = dispatch
        self._armed = armed
        self._depth_limit = nested
        self.depth = depth

    @property
    def name(self) -> str:
        return self._principal.name

    def call_tool(self, name: str, arguments: bytes, done: Answered) -> InnerExchangeJob | Nothing:
        if self.depth >= MOST_DEEP:
            done(None, CallTooDeep(f"`{name}` is not called: {MOST_DEEP} plugins have called each other already"))
            return Nothing()
        try:
            exchange = inner_exchange(
                name, arguments, self._principal, self._plugin, self.depth + 1, self._depth_limit.depth, done
            )
        except TidegateError as error:
            done(None, error)
            return Nothing()
        self._dispatch(exchange)
        return InnerExchangeJob(exchange)

    def arm(self, key: str, after_ms: int, name: str, arguments: bytes) -> None:
        """Raises: TidegateError."""
        if self.depth >= MOST_DEEP:
            raise CallTooDeep(f"`{name}` is not armed: {MOST_DEEP} plugins have called each other already")
        self._armed.arm(self._plugin, key, after_ms, name, arguments, self._principal, self.depth + 1)

    def disarm(self, key: str) -> None:
        self._armed.disarm(self._plugin, key)


class InnerExchangeJob:
    """Implements `Job` for a call that is on its way."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: InnerExchange) -> None:
        self._exchange = exchange

    def cancel(self) -> None:
        self._exchange.forget()


class InnerCalls:
    """Makes callers."""

    def __init__(self, dispatch: Dispatch, armed: ArmedCalls, nested: Depth) -> None:
        self._dispatch = dispatch
        self._armed = armed
        self._nested = nested

    def of_exchange(self, plugin: str, exchange: Exchange) -> PluginCaller:
        """For a plugin that this request came to, such as a filter."""
        return self._caller(plugin, exchange.principal, exchange.client.depth)

    def of_client(self, plugin: str, client: ClientView) -> Caller:
        """For a plugin that serves a request of this client, which may be the gateway itself."""
        if client.caller is None:
            return NOBODY
        return self._caller(plugin, client.caller, client.depth)

    def _caller(self, plugin: str, principal: Principal, depth: int) -> PluginCaller:
        return PluginCaller(plugin, principal, depth, self._dispatch, self._armed, self._nested)
