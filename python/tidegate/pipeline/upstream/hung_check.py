"""Finds servers that hang: a call met its deadline, and now the server does not even say that it is there.

One that works on a single thing at a time is only busy, so it has a while to answer; one that never does is ended and
started again, as one that died is. Costs nothing until a call meets its deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tidegate.config.snapshot import Transport
from tidegate.errors import TidegateError, UpstreamClosed, UpstreamTimeout
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.negotiate import own_meta

_PATIENCE_S: Final = 60.0
_TRANSPORTS: Final = ("stdio", "tcp", "unix")
"""Where one connection carries everything. Over HTTP each call has its own, and the server is not ours to end."""


class HungCheckHost(Protocol):
    """A service, as it is checked."""

    name: str

    @property
    def transport(self) -> Transport: ...

    def spawn(self, step: Callable[..., Awaitable[None]], *args: object, name: str) -> None: ...


class HungCheck:
    """Of one service."""

    def __init__(self, host: HungCheckHost) -> None:
        self._host = host
        self._asked: set[Connection] = set()

    def suspect(self, connection: Connection) -> None:
        """A call over this connection met its deadline."""
        if self._host.transport in _TRANSPORTS and connection not in self._asked and connection.dialect is not None:
            self._asked.add(connection)
            self._host.spawn(self._ask, connection, name=f"ping {self._host.name}")

    async def _ask(self, connection: Connection) -> None:
        method, params = ("ping", {}) if connection.keeps_session else ("server/discover", own_meta(connection.version))
        try:
            await connection.ask(method, params, _PATIENCE_S)
        except UpstreamTimeout:
            connection.lost(
                UpstreamClosed(
                    f"backend `{self._host.name}` hangs: a call met its deadline, and `{method}` after that was not "
                    f"answered within {_PATIENCE_S:g} s either; it is ended and started again"
                )
            )
        except TidegateError:
            # It was lost meanwhile, or refuses even this: then it is alive.
            pass
        finally:
            self._asked.discard(connection)
