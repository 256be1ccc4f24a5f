"""The ways from a gateway to our everything-server, each as the backend table of a configuration.

`tcp` and `unix` reach it through a second gateway, whose listeners are the servers: no other program at hand serves
the stdio framing on a socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from everything import STDIO, everything_http
from gateway_process import UNHURRIED, backend, gateway

Upstream: TypeAlias = Literal["stdio", "http", "tcp", "unix"]
UPSTREAMS: tuple[Upstream, ...] = ("stdio", "http", "tcp", "unix")


@contextmanager
def upstream(kind: Upstream) -> Iterator[str]:
    """The text of a configuration with the everything-server behind this kind of connection."""
    if kind == "stdio":
        yield UNHURRIED + backend("everything", command=STDIO)
    elif kind == "http":
        with everything_http() as url:
            yield UNHURRIED + backend("everything", url=url)
    else:
        with gateway(UNHURRIED + backend("everything", command=STDIO)) as inner:
            if kind == "tcp":
                yield UNHURRIED + backend("everything", tcp=f"{inner.tcp[0]}:{inner.tcp[1]}")
            else:
                yield UNHURRIED + backend("everything", unix=inner.unix)
