"""Requests to HTTP servers, by callbacks: no coroutine is needed to make one.

The links to Streamable HTTP and HTTP+SSE servers call `request`; below are a pool of kept-alive connections per
origin (`connection_pool.py`) and the protocol (`http_connection.py`). It follows no redirect, keeps no cookie, asks
for no content coding and trusts no proxy variable: the configuration names servers, and that is where calls go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import ShuttingDown, TidegateError, UpstreamUnreachable
from tidegate.pipeline.deadlines import Deadlines
from tidegate.pipeline.upstream.connection_pool import AddressGuard, ConnectionPool, Origin, PoolBounds
from tidegate.pipeline.upstream.http_call import HttpCall, ResponseReceiver

if TYPE_CHECKING:
    import ssl

    from tidegate.pipeline.codec import HttpPool
    from tidegate.pipeline.upstream.http_connection import HttpConnection
    from tidegate.pipeline.upstream.link import HttpRelay

__all__ = ["HttpCall", "HttpClient", "ResponseReceiver"]

_QUEUED_MAX: Final = 256
"""Calls that may wait for a connection to one origin."""
_DEADLINE_GRAIN_S: Final = 0.1
_FRAMING: Final = frozenset(("connection", "content-length", "host", "transfer-encoding", "upgrade"))
"""Fields that are this module's own."""
_PRINTABLE: Final = "/%:=&?~#+!$,;'@()*[]|"


class HttpClient:
    """Connections to any number of origins."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        relay: HttpRelay | None = None,
        *,
        max_connections_per_origin: int = 64,
        max_queued_per_origin: int = _QUEUED_MAX,
        connect_timeout_s: float = 10.0,
        ca_file: str = "",
        guard: AddressGuard | None = None,
    ) -> None:
        """`ca_file`: PEM certificates trusted instead of the system's.

        `guard` is asked where a name leads, each time a connection is opened. None for names from the configuration.
        """
        self._limits = limits
        self._clock = clock
        self._relay = relay
        self._bounds = PoolBounds(max_connections_per_origin, max_queued_per_origin, connect_timeout_s)
        self._ca_file = ca_file
        self._guard = guard
        self._deadlines = Deadlines(clock, _DEADLINE_GRAIN_S)
        self._pools: dict[tuple[str, Origin], ConnectionPool] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def take_up(self, limits: Limits, *, max_connections_per_origin: int) -> None:
        """Other bounds from now on; `limits` for connections that are still to be opened."""
        self._limits = limits
        self._bounds = self._bounds._replace(connections=max_connections_per_origin)
        for pool in self._pools.values():
            pool.take_up(self._bounds, limits)

    def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        receiver: ResponseReceiver,
        *,
        deadline_s: float | None,
        repeatable: bool = True,
        tenant: str = "",
    ) -> HttpCall:
        """Sends a request on a connection that is free, or as soon as one is.

        `deadline_s`: seconds from now until the response must have ended; None for a stream without end.
        `repeatable`: may be sent again, once, when a reused connection turns out to be closed. Not for what acts:
        the server may have closed it by dying over this very request.
        `tenant`: whose request it is. Each has connections of its own, though the origin be the same.
        Whatever goes wrong is told to `receiver.request_failed`, never raised, and never before this returns.
        """
        try:
            origin, target, host = _parsed(url)
            wire = _wire(method, target, host, headers, body)
        except ValueError as error:
            call = HttpCall(method, url, b"", receiver, self._deadlines)
            self._fail_soon(call, UpstreamUnreachable(f"the request cannot be written: {error}"))
            return call
        call = HttpCall(method, str(origin), wire, receiver, self._deadlines)
        call.retryable = repeatable
        if self._closed:
            self._fail_soon(call, ShuttingDown("the gateway is closing"))
            return call
        if deadline_s is not None:
            call.limit_to(deadline_s, self._clock.now_s())
        pool = self._pool(tenant, origin)
        try:
            pool.submit(call)
        except TidegateError as error:
            self._fail_soon(call, error)
        return call

    def _pool(self, tenant: str, origin: Origin) -> ConnectionPool:
        pool = self._pools.get((tenant, origin))
        if pool is None:
            pool = self._pools[tenant, origin] = ConnectionPool(
                origin,
                self._bounds,
                self._limits,
                self._clock,
                self._deadlines,
                self._spawn,
                self._context,
                self._relay,
                self._guard,
            )
        return pool

    # -- for the relay ----------------------------------------------------------------------------------------

    def relay_pool(self, url: str, tenant: str) -> HttpPool | None:
        """Of the connections that requests to `url` go on."""
        try:
            origin = _parsed(url)[0]
        except ValueError:
            return None
        return self._pool(tenant, origin).relayed

    def request_head(self, method: str, url: str, headers: Sequence[tuple[str, str]]) -> bytes:
        """What `request` sends before the body, up to the number of its length. Raises: ValueError."""
        _, target, host = _parsed(url)
        return _wire(method, target, host, headers, b"").removesuffix(b"0\r\n\r\n")

    def resume(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        receiver: ResponseReceiver,
        *,
        repeatable: bool,
        connection: HttpConnection,
        began_s: float,
    ) -> HttpCall:
        """A request that the relay has sent, as `request` would have, on `connection`."""
        origin, target, host = _parsed(url)
        call = HttpCall(method, str(origin), _wire(method, target, host, headers, body), receiver, self._deadlines)
        call.retryable = repeatable
        connection.resume(call, began_s)
        return call

    async def aclose(self) -> None:
        """Fails what is in progress and closes every connection."""
        self._closed = True
        for pool in self._pools.values():
            pool.abort(ShuttingDown("the gateway is closing"))
        self._deadlines.stop()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await asyncio.sleep(0)
        self._pools.clear()

    def statistics(self) -> dict[str, dict[str, int]]:
        return {f"{tenant} {origin}".strip(): pool.statistics() for (tenant, origin), pool in self._pools.items()}

    def _fail_soon(self, call: HttpCall, error: TidegateError) -> None:
        asyncio.get_running_loop().call_soon(call.fail, error)

    def _spawn(self, opening: Coroutine[object, object, None], name: str) -> None:
        """Owned here and ended by `aclose`; a task group would need a task to hold it."""
        task = asyncio.get_running_loop().create_task(opening, name=name)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl  # only a gateway with an https backend carries it

            self._tls = ssl.create_default_context(cafile=self._ca_file or None)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


@lru_cache(maxsize=1024)
def _parsed(url: str) -> tuple[Origin, str, str]:
    """(origin, request target, Host). Raises: ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the URL is not an `http` or `https` one with a host")
    if parts.username is not None:
        raise ValueError("a URL with credentials in it; put them into a header")
    secure = parts.scheme == "https"
    host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
    port = parts.port or (443 if secure else 80)
    target = quote(parts.path or "/", safe=_PRINTABLE) + (
        f"?{quote(parts.query, safe=_PRINTABLE)}" if parts.query else ""
    )
    shown = f"[{host}]" if ":" in host else host
    return Origin(secure, host, port), target, shown if parts.port is None else f"{shown}:{port}"


def _wire(method: str, target: str, host: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """The request as it is sent. Raises: ValueError for a field that would break the head."""
    head = [f"{method} {target} HTTP/1.1\r\n"]
    for name, value in headers:
        lower = name.lower()
        if lower in _FRAMING:
            if lower == "host":
                host = value.strip()
            continue
        value = value.strip()
        if "\n" in value or "\r" in value or "\0" in value or not _is_token(name):
            raise ValueError(f"header `{name}` does not fit on a line")
        head.append(f"{name}: {value}\r\n")
    if "\n" in host or "\r" in host:
        raise ValueError("header `host` does not fit on a line")
    head.insert(1, f"host: {host}\r\n")
    if body or method in ("POST", "PUT", "PATCH"):
        head.append(f"content-length: {len(body)}\r\n")
    head.append("\r\n")
    return "".join(head).encode("latin-1") + body


@lru_cache(maxsize=256)
def _is_token(name: str) -> bool:
    """RFC 9110, 5.6.2."""
    return name != "" and name.isascii() and all(char.isalnum() or char in "!#$%&'*+-.^_`|~" for char in name)
