"""Host and Origin checks against DNS rebinding (2026-07-28, transports/streamable-http, "Security & Endpoint").

A browser that was lured to a foreign name sends that name as Host and Origin, whatever address it reaches.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tidegate.config.snapshot import Listen
from tidegate.errors import Forbidden

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1", "[::1]"))


class OriginCheck:
    """Accepts loopback names, the addresses that are bound, and what the configuration adds."""

    def __init__(self, listen: Listen, bound_hosts: tuple[str, ...]) -> None:
        wildcards = {"0.0.0.0", "::", ""}  # noqa: S104  recognised, not bound
        self._any_host = any(host in wildcards for host in bound_hosts)
        self._hosts = (
            _LOOPBACK | {host.lower() for host in bound_hosts} | {host.lower() for host in listen.allowed_hosts}
        )
        self._origins = frozenset(origin.lower().rstrip("/") for origin in listen.allowed_origins)

    def check(self, host: str | None, origin: str | None) -> None:
        """Raises: Forbidden."""
        if host is not None and not self._any_host:
            name = _host_name(host)
            if name not in self._hosts and host.lower() not in self._hosts:
                raise Forbidden(f"`Host: {host[:100]}` is not allowed; add it to `listen.allowed_hosts` if it is yours")
        if origin is not None and origin.lower() not in self._origins and "*" not in self._origins:
            try:
                name = urlsplit(origin).hostname or ""
            except ValueError:
                name = ""
            if name not in _LOOPBACK:
                raise Forbidden(
                    f"`Origin: {origin[:100]}` is not allowed; add it to `listen.allowed_origins` if it is yours"
                )


def _host_name(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if host.count(":") == 1 else host
